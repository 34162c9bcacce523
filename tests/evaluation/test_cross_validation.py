"""How folds are run, kept and taken up again; a stand-in is trained in place of the network."""

import json

import numpy as np
import pandas as pd
import pytest

from keras_geneformer.evaluation import cross_validation, grid
from keras_geneformer.evaluation.cross_validation import cross_validate
from keras_geneformer.evaluation.folds import make_folds
from keras_geneformer.testing import synthetic_dataset, tiny_backbone
from keras_geneformer.training.metrics import classification_metrics


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone(num_layers=1)


@pytest.fixture
def trained(monkeypatch):
    """Trainings that were asked for; each labels more cells rightly the higher its rate."""
    asked = []

    def stand_in(model, chosen, label_key, fold, *, seed, progress, settings):
        asked.append((fold, settings))
        true = chosen.labels[fold[1]]
        wrong = np.arange(len(true)) % 10 >= settings.get("learning_rate", 0.5) * 10
        return pd.DataFrame({"label": np.where(wrong, "B cell", true), "prob_B cell": wrong * 1.0})

    monkeypatch.setattr(cross_validation, "finetuned_predictions", stand_in)
    monkeypatch.setattr(grid, "finetuned_predictions", stand_in)
    return asked


def run(backbone, cells=None, **options):
    cells = synthetic_dataset(60) if cells is None else cells
    return cross_validate(backbone, cells, "cell_type", progress=False, **options)


def test_every_cell_is_tested_once_and_scored_as_it_was_labelled(backbone, trained):
    found = run(backbone, folds=3, epochs=2)
    assert found.predictions["cell"].nunique() == len(found.predictions) == 60
    for row in found.table.to_dict("records"):
        own = found.predictions[found.predictions["fold"] == row["fold"]]
        assert classification_metrics(own["true"], own["label"]).items() <= row.items()
    accuracy = found.summary.set_index("metric").loc["accuracy"]
    assert accuracy["mean"] == pytest.approx(found.table["accuracy"].mean())
    assert accuracy["low"] <= accuracy["mean"] <= accuracy["high"]
    assert accuracy["cells_low"] < accuracy["pooled"] < accuracy["cells_high"]
    assert [settings for _, settings in trained] == [{"epochs": 2}] * 3


def test_one_donor_at_a_time_is_held_out(backbone, trained):
    found = run(backbone, folds="leave-one-out", group_key="donor")
    assert found.table["held_out"].tolist() == [f"donor{number}" for number in range(4)]
    donors = synthetic_dataset(60).obs["donor"]
    for training, test in found.folds:
        assert not set(donors.iloc[training]) & set(donors.iloc[test])


def test_repeats_are_pooled_once(backbone, trained):
    found = run(backbone, folds=2, repeats=2)
    assert len(found.table) == 4
    assert len(found.predictions) == 120
    first = found.predictions[found.predictions["fold"] <= 2]
    pooled = found.summary.set_index("metric").loc["accuracy", "pooled"]
    assert pooled == (first["true"] == first["label"]).mean()


def test_a_grid_is_searched_within_the_training_cells(backbone, trained):
    cells = synthetic_dataset(60)
    found = run(backbone, cells, folds=2, grid={"learning_rate": [0.3, 0.9, 0.9]}, inner_folds=3)
    assert found.table["learning_rate"].tolist() == [0.9, 0.9]
    assert len(found.search) == 6
    assert (found.search["inner_macro_f1"] <= 1).all()
    outer = make_folds(cells.obs["cell_type"], folds=2)
    assert len(trained) == 2 * (3 * 3 + 1)
    for number, (fold, settings) in enumerate(trained):
        training, test = outer[number // 10]
        if number % 10 == 9:
            assert fold[1].tolist() == test.tolist()
        else:
            assert not set(np.concatenate(fold)) - set(training)
            assert settings["calibrate"] is False


def test_a_run_that_was_ended_goes_on_at_the_next_fold(backbone, trained, tmp_path, monkeypatch):
    options = {"folds": 3, "output": tmp_path / "run", "grid": {"learning_rate": [0.4, 0.8]}}
    stand_in = cross_validation.finetuned_predictions

    def dies(model, chosen, label_key, fold, **rest):
        if len(list((tmp_path / "run").glob("*.json"))) == 2:
            raise KeyboardInterrupt
        return stand_in(model, chosen, label_key, fold, **rest)

    monkeypatch.setattr(cross_validation, "finetuned_predictions", dies)
    with pytest.raises(KeyboardInterrupt):
        run(backbone, **options)
    assert not (tmp_path / "run" / "folds.csv").exists()
    assert len(pd.read_csv(tmp_path / "run" / "folds.partial.csv")) == 1
    monkeypatch.setattr(cross_validation, "finetuned_predictions", stand_in)
    trained.clear()
    found = run(backbone, **options)
    assert len(trained) == 2 * (2 * 3 + 1)
    whole = run(backbone, folds=3, grid=options["grid"])
    pd.testing.assert_frame_equal(
        found.table.drop(columns="seconds"), whole.table.drop(columns="seconds")
    )
    pd.testing.assert_frame_equal(found.predictions, whole.predictions)
    written = pd.read_csv(tmp_path / "run" / "folds.csv", float_precision="round_trip")
    assert written["macro_f1"].tolist() == found.table["macro_f1"].tolist()
    assert sorted(path.suffix for path in (tmp_path / "run").iterdir()) == sorted(
        [".json"] * 4 + [".parquet"] * 3 + [".csv"] * 4
    )


def test_a_run_of_something_else_is_refused_by_name(backbone, trained, tmp_path):
    run(backbone, folds=2, output=tmp_path / "run", epochs=1)
    message = (
        r"holds a run of other data or settings: settings \(there \{\"epochs\": 1\}, here "
        r"\{\"epochs\": 2\}\)\. Give what it was begun with, or another place\."
    )
    with pytest.raises(ValueError, match=message):
        run(backbone, folds=2, output=tmp_path / "run", epochs=2)
    with pytest.raises(ValueError, match=r"other data or settings: cells \(there"):
        run(backbone, synthetic_dataset(60, 1), folds=2, output=tmp_path / "run", epochs=1)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds something else than a run of folds; nothing"):
        run(backbone, folds=2, output=tmp_path / "notes")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["what"] == "cross-validation"


def test_cells_without_a_label_are_left_out_and_counted(backbone, trained):
    cells = synthetic_dataset(60)
    cells.obs["type"] = cells.obs["cell_type"].where(np.arange(60) % 4 > 0)
    message = r"15 of 60 cells have no label in obs\['type'\] and are left out\."
    with pytest.warns(UserWarning, match=message):
        found = cross_validate(backbone, cells, "type", folds=2, progress=False)
    assert found.table["cells"].sum() == 45


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "regression"}, "Received task='regression'; folds are scored by classes"),
        ({"test": 0.1}, "Received test; the folds say which cells are tested"),
        ({"rate": 1}, "Received rate, which finetune_cells does not take; its settings are"),
        ({"epochs": 0}, "expected more than 0 epochs"),
        ({"grid": {"epochs": 3}}, "The grid has epochs: 3; expected a list of values to try"),
        ({"grid": {"epochs": [1]}, "epochs": 1}, "epochs is in the grid and fixed to 1 as well"),
        ({"group_key": "batch"}, r"The cells have no column 'batch' in obs to split by; it has"),
        ({"folds": 30}, r"Too few cells for 30 folds are of class B cell \(20\)"),
    ],
)
def test_bad_input(backbone, trained, options, message):
    with pytest.raises(ValueError, match=message):
        run(backbone, **options)
    assert trained == []


def test_groups_must_be_known(backbone, trained):
    cells = synthetic_dataset(60)
    cells.obs.loc["cell3", "donor"] = None
    with pytest.raises(ValueError, match=r"1 labelled cells have no group in obs\['donor'\]"):
        run(backbone, cells, group_key="donor")
