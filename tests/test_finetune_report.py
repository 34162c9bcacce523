"""The report of a fine-tuning run: from its result and from its files, the same."""

import json
import types

import numpy as np
import pandas as pd
import pytest

from keras_geneformer.finetune_record import FinetuneRecord
from keras_geneformer.finetune_report import PICTURES, write_report


def _predictions(cells: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    names = np.array(["1", "B", "NA"])
    truth = rng.choice(3, cells, p=[0.75, 0.2, 0.05])
    truth[:3] = [0, 1, 2]
    scores = rng.dirichlet(np.ones(3), cells) + np.eye(3)[truth]
    table = pd.DataFrame(scores / 2, columns=[f"prob_{name}" for name in names])
    table.insert(0, "label", names[scores.argmax(1)])
    table.insert(0, "true", names[truth])
    table.index = [f"cell{seed}_{number}" for number in range(cells)]
    return table


@pytest.fixture
def result():
    predictions, tested = _predictions(40, 0), _predictions(50, 1)
    parts = pd.Series("train", index=[f"t{number}" for number in range(60)], name="part")
    parts = pd.concat([parts, pd.Series("validation", predictions.index)])
    parts = pd.concat([parts, pd.Series("test", tested.index)]).rename("part")
    return types.SimpleNamespace(
        history=pd.DataFrame({"step": [1, 2], "epoch": [1, 1], "loss": [1.0, 0.5]}),
        metrics={"accuracy": 0.8, "macro_f1": 0.7, "ece": 0.1, "ece_uncalibrated": 0.2},
        test_metrics={"accuracy": 0.75, "macro_f1": 0.6},
        predictions=predictions,
        test_predictions=tested,
        parts=parts,
        run={
            "label_key": "<kind>",
            "task": "single-label",
            "classes": ["1", "B", "NA"],
            "validation": 0.1,
            "test": 0.1,
            "group_key": None,
            "backbone": {"layers": 3, "hidden_dim": 128, "weights": 1000},
            "settings": {"epochs": 2.0, "freeze_layers": 1, "clip_norm": 1.0},
        },
    )


def _write(result, directory) -> None:
    """As `finetune_cells(output=...)` writes a run."""
    directory.mkdir()
    for name in ("predictions", "test_predictions", "parts"):
        getattr(result, name).to_csv(directory / f"{name}.csv")
    result.history.to_csv(directory / "history.csv", index=False)
    metrics = result.metrics | {f"test_{name}": v for name, v in result.test_metrics.items()}
    (directory / "metrics.json").write_text(json.dumps(metrics))
    (directory / "run.json").write_text(json.dumps(result.run))


def test_files_tell_of_a_run_what_its_result_tells(result, tmp_path):
    _write(result, tmp_path / "run")
    memory, disk = FinetuneRecord.of(result), FinetuneRecord.of(tmp_path / "run")
    for name in ("predictions", "test_predictions", "history"):
        pd.testing.assert_frame_equal(getattr(memory, name), getattr(disk, name))
    for name in ("metrics", "test_metrics", "parts", "described"):
        assert getattr(memory, name) == getattr(disk, name)


def test_the_report_says_what_its_numbers_rest_on(result, tmp_path):
    page = write_report(result, tmp_path, title="Kinds").read_text()
    assert "150 (60 train, 40 validation, 50 test)" in page
    assert "obs[&#x27;&lt;kind&gt;&#x27;]" in page
    assert "clip norm" not in page, "what is the default is not told"
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"report.html", *PICTURES} - {"truth_and_prediction.png", "values.png"}
    assert page.count("<img") == len(written) - 1


def test_what_is_not_known_is_said(result):
    said = " ".join(FinetuneRecord.of(result).caveats())
    counts = result.test_predictions["true"].value_counts()
    assert f"Fewer than 20 held-out cells: B ({counts['B']}), NA ({counts['NA']})" in said
    assert f"{counts['1'] / 50:.0%} of the held-out cells are of one class, 1" in said
    assert "cells of one donor or batch may be on both sides" in said
    assert "chose the epoch" not in said

    result.test_predictions = result.test_predictions[:0]
    result.run |= {"group_key": "donor", "classes": ["1", "B", "NA", "T"]}
    said = " ".join(FinetuneRecord.of(result).caveats())
    assert "The validation cells chose the epoch" in said
    assert "No held-out cell is of the class T." in said
    assert "donor or batch" not in said


def test_numbers_have_a_picture_of_their_own(result, tmp_path):
    values = pd.DataFrame({"true_dose": [0.0, 1.0, 2.0], "value_dose": [0.1, 0.8, 2.2]})
    result.predictions, result.test_predictions = values, values[:0]
    result.metrics, result.test_metrics = {"r2": 0.9}, {}
    result.run |= {"task": "regression", "label_key": ["dose"], "classes": ["dose"]}
    write_report(result, tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"report.html", "values.png", "learning.png"}


def test_what_cannot_be_reported_is_refused(result, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no history\.csv: it is not what finetune"):
        write_report(tmp_path, tmp_path / "report")
    result.predictions = result.test_predictions = result.predictions[:0]
    with pytest.raises(ValueError, match="no cell was held out of this run"):
        write_report(result, tmp_path / "report")
    assert not (tmp_path / "report").exists()
