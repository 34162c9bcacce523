"""Methods on the same folds; where the network would be trained, a stand-in is."""

import numpy as np
import pandas as pd
import pytest

from keras_geneformer.evaluation import comparison
from keras_geneformer.evaluation.comparison import compare
from keras_geneformer.testing import synthetic_cells, synthetic_dataset, tiny_backbone

SETTINGS = {"epochs": 1, "freeze_layers": 1}
BASELINES = ("logistic-regression", "knn", "untrained", "untrained-3")


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone(num_layers=2)


@pytest.fixture(scope="module")
def cells():
    return synthetic_dataset(40)


@pytest.fixture
def trained(monkeypatch):
    """Networks that were to be trained: layers, width and settings of each."""
    seen = []

    def stand_in(model, chosen, label_key, fold, *, seed, progress, settings):
        seen.append((model.num_layers, model.hidden_dim, settings))
        true = chosen.labels[fold[1]]
        return pd.DataFrame({"label": np.where(np.arange(len(true)) % 4, true, "B cell")})

    monkeypatch.setattr(comparison, "finetuned_predictions", stand_in)
    return seen


def run(backbone, cells, **options):
    shuffled = synthetic_cells(60)[np.random.default_rng(0).permutation(60)].copy()
    options = {"counts": shuffled, "folds": 2, "baselines": BASELINES, **SETTINGS} | options
    return compare(backbone, cells, "cell_type", progress=False, **options)


def test_all_methods_are_tested_on_the_same_cells(backbone, cells, trained, tmp_path):
    found = run(backbone, cells, output=tmp_path / "run")
    assert found.table["method"].unique().tolist() == ["geneformer", *BASELINES]
    assert found.table.columns[:4].tolist() == ["method", "fold", "accuracy", "macro_f1"]
    for fold, (_, test) in enumerate(found.folds, start=1):
        for _, own in found.predictions[found.predictions["fold"] == fold].groupby("method"):
            assert own["cell"].tolist() == [f"cell{row}" for row in test]
    scores = found.table.groupby("method")["accuracy"].mean()
    assert scores["logistic-regression"] > scores["geneformer"]
    assert found.verdict.startswith("A baseline wins: logistic-regression has")
    assert (tmp_path / "run" / "verdict.txt").read_text().strip() == found.verdict
    written = pd.read_csv(tmp_path / "run" / "table.csv", float_precision="round_trip")
    assert written["macro_f1"].tolist() == found.table["macro_f1"].tolist()
    assert not (tmp_path / "run" / "table.partial.csv").exists()


def test_untrained_networks_have_the_depth_they_are_named_with(backbone, cells, trained):
    run(backbone, cells)
    layers = [(layers, width, settings["freeze_layers"]) for layers, width, settings in trained]
    assert layers == [(2, 32, 1)] * 2 + [(2, 32, 0)] * 2 + [(3, 32, 0)] * 2
    assert {settings["epochs"] for _, _, settings in trained} == {1}


def test_more_baselines_run_without_the_others_again(backbone, cells, trained, tmp_path):
    found = run(backbone, cells, output=tmp_path / "run")
    trained.clear()
    again = run(backbone, cells, output=tmp_path / "run", baselines=(*BASELINES, "majority"))
    assert trained == []
    assert len(again.table) == 12
    pd.testing.assert_frame_equal(again.table[again.table["method"] != "majority"], found.table)
    message = r"run \(geneformer\) holds a run of other data or settings: settings \(there"
    with pytest.raises(ValueError, match=message):
        run(backbone, cells, output=tmp_path / "run", epochs=2)
    other = synthetic_cells(60)
    other.X = other.X * 2
    message = r"run \(logistic-regression\) holds a run of other data or settings: counts \(there"
    with pytest.raises(ValueError, match=message):
        run(backbone, cells, output=tmp_path / "run", counts=other)


def test_bad_input(backbone, cells, trained):
    message = r"logistic-regression, svm look at counts: pass counts=, an AnnData or a file"
    names = ["logistic-regression", "svm", "knn"]
    with pytest.raises(ValueError, match=message):
        run(backbone, cells, counts=None, baselines=names)
    with pytest.raises(ValueError, match="There is no baseline 'forest'"):
        run(backbone, cells, baselines=["forest"])
    with pytest.raises(ValueError, match="adata has no counts of 20 of 40 cells, first 'cell20'"):
        run(backbone, cells, counts=synthetic_cells(20))
    assert trained == []
