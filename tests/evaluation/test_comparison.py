"""Methods on the same folds, with the network itself, tiny."""

import keras
import numpy as np
import pandas as pd
import pytest

from keras_geneformer.evaluation import comparison
from keras_geneformer.evaluation.comparison import compare
from keras_geneformer.testing import synthetic_cells, synthetic_dataset, tiny_backbone
from keras_geneformer.training.finetuning.cell_finetuning import finetune_cells
from keras_geneformer.training.finetuning.prediction import predict

pytestmark = pytest.mark.tensors

SETTINGS = {"epochs": 1, "batch_size": 10, "learning_rate": 1e-2, "progress": False}
BASELINES = ("logistic-regression", "knn")


@pytest.fixture(scope="module")
def backbone():
    keras.utils.set_random_seed(1)
    return tiny_backbone(num_layers=2, initializer_range=0.1)


@pytest.fixture(scope="module")
def cells():
    return synthetic_dataset(40)


@pytest.fixture(scope="module")
def compared(backbone, cells, tmp_path_factory):
    output = tmp_path_factory.mktemp("compared") / "run"
    shuffled = synthetic_cells(60)[np.random.default_rng(0).permutation(60)].copy()
    options = {"counts": shuffled, "folds": 2, "freeze_layers": 1, "output": output}
    options |= {"baselines": BASELINES, **SETTINGS}
    return compare(backbone, cells, "cell_type", **options), options


def test_all_methods_are_tested_on_the_same_cells(compared):
    found, options = compared
    assert found.table["method"].unique().tolist() == ["geneformer", *BASELINES]
    assert found.table.columns[:4].tolist() == ["method", "fold", "accuracy", "macro_f1"]
    for fold, (_, test) in enumerate(found.folds, start=1):
        for _, own in found.predictions[found.predictions["fold"] == fold].groupby("method"):
            assert own["cell"].tolist() == [f"cell{row}" for row in test]
    assert set(found.summary["method"]) == set(found.table["method"])
    assert (options["output"] / "verdict.txt").read_text().strip() == found.verdict
    assert pd.read_csv(options["output"] / "table.csv").shape == found.table.shape


def test_geneformers_row_is_fine_tuning_and_prediction(compared, backbone, cells):
    found, _ = compared
    own = {**SETTINGS, "freeze_layers": 1, "calibrate": False}
    training, test = found.folds[0]
    result = finetune_cells(backbone, cells.subset(training), "cell_type", **own)
    labels = predict(result.model, cells.subset(test))
    ours = found.predictions.query("method == 'geneformer' and fold == 1")
    assert ours["label"].tolist() == labels["label"].tolist()
    np.testing.assert_allclose(
        ours.filter(like="prob_"), labels.filter(like="prob_"), rtol=1e-3, atol=1e-5
    )


def test_more_baselines_run_without_the_others_again(compared, backbone, cells, monkeypatch):
    found, options = compared

    def none(*arguments, **named):
        raise AssertionError("a fold that was done is run again")

    monkeypatch.setattr(comparison, "finetuned_predictions", none)
    again = compare(
        backbone, cells, "cell_type", **(options | {"baselines": (*BASELINES, "majority")})
    )
    assert len(again.table) == 8
    kept = again.table["method"] != "majority"
    pd.testing.assert_frame_equal(again.table[kept], found.table)
    message = r"run \(geneformer\) holds a run of other data or settings: settings \(there"
    with pytest.raises(ValueError, match=message):
        compare(backbone, cells, "cell_type", **(options | {"epochs": 2}))


def test_untrained_networks_have_the_depth_they_are_named_with(backbone, cells, monkeypatch):
    seen = []

    def stand_in(model, chosen, label_key, fold, *, seed, progress, settings):
        seen.append((model.num_layers, model.hidden_dim, settings["freeze_layers"]))
        return pd.DataFrame({"label": chosen.labels[fold[1]]})

    monkeypatch.setattr(comparison, "finetuned_predictions", stand_in)
    baselines = ("untrained", "untrained-3")
    found = compare(
        backbone, cells, "cell_type", baselines=baselines, folds=2, freeze_layers=1, **SETTINGS
    )
    assert seen == [(2, 32, 1)] * 2 + [(2, 32, 0)] * 2 + [(3, 32, 0)] * 2
    assert found.table["accuracy"].tolist() == [1.0] * 6


def test_bad_input(backbone, cells):
    message = r"logistic-regression, svm look at counts: pass counts=, an AnnData or a file"
    with pytest.raises(ValueError, match=message):
        compare(backbone, cells, "cell_type", baselines=["logistic-regression", "svm", "knn"])
    with pytest.raises(ValueError, match="There is no baseline 'forest'"):
        compare(backbone, cells, "cell_type", baselines=["forest"])
    few = synthetic_cells(20)
    with pytest.raises(ValueError, match="adata has no counts of 20 of 40 cells, first 'cell20'"):
        compare(backbone, cells, "cell_type", baselines=["svm"], counts=few)
