import importlib.util

import anndata
import numpy as np
import pytest

from keras_geneformer.evaluation.baselines import (
    BaselineInputs,
    check_baselines,
    run_baseline,
    untrained_layers,
)
from keras_geneformer.evaluation.count_features import aligned_counts
from keras_geneformer.evaluation.folds import make_folds
from keras_geneformer.testing import synthetic_cells

METHODS = ("logistic-regression", "svm", "svm-linear", "random-forest", "xgboost", "knn")
TRAINING, TEST = np.arange(90), np.arange(90, 120)


@pytest.fixture(scope="module")
def inputs():
    adata = synthetic_cells(120)
    labels = adata.obs["cell_type"].to_numpy(dtype=str)
    return BaselineInputs(
        labels, aligned_counts(adata, adata.obs_names), np.asarray(adata.X.toarray())
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_baseline_learns_the_types_and_never_sees_the_test_labels(inputs, method):
    if method == "xgboost" and importlib.util.find_spec("xgboost") is None:
        pytest.skip("the extra [baselines] is not installed")
    if method == "random-forest":
        inputs = BaselineInputs(inputs.labels, inputs.counts)
    found = run_baseline(method, inputs, TRAINING, TEST, seed=1)
    assert (found["label"] == inputs.labels[TEST]).mean() > 0.8
    if "svm" not in method:
        probabilities = found.filter(like="prob_")
        assert list(probabilities) == ["prob_B cell", "prob_T cell", "prob_monocyte"]
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    hidden = inputs.labels.copy()
    hidden[TEST] = "hidden"
    again = BaselineInputs(hidden, inputs.counts, inputs.embedding)
    assert run_baseline(method, again, TRAINING, TEST, seed=1).equals(found)


def test_majority_is_the_commonest_class(inputs):
    found = run_baseline("majority", inputs, np.array([0, 1, 3, 4, 7]), TEST)
    assert set(found["label"]) == {"T cell"}


def test_names():
    assert untrained_layers("untrained-4", 6) == 4
    assert untrained_layers("untrained", 6) == 6
    assert check_baselines("knn") == ("knn",)
    message = (
        r"There is no baseline 'forest'; expected one of majority, logistic-regression, svm, "
        r"svm-linear, random-forest, xgboost, knn, untrained, or untrained-N with N encoder blocks"
    )
    with pytest.raises(ValueError, match=message):
        check_baselines(["svm", "forest"])
    with pytest.raises(ValueError, match="There is no baseline 'untrained-0'"):
        check_baselines(["untrained-0"])
    with pytest.raises(ValueError, match="The baseline 'svm' is given twice; expected each once"):
        check_baselines(["svm", "svm"])


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = r"xgboost needs XGBoost: pip install 'keras_geneformer\[baselines\]', or leave it out"
    with pytest.raises(ImportError, match=message):
        check_baselines(["knn", "xgboost"])


def test_what_a_baseline_looks_at_must_be_given(inputs):
    nothing = BaselineInputs(inputs.labels)
    with pytest.raises(ValueError, match="looks at counts, and none were given"):
        run_baseline("svm", nothing, TRAINING, TEST)
    with pytest.raises(ValueError, match="looks at an embedding, and none was given"):
        run_baseline("knn", nothing, TRAINING, TEST)


def test_other_technologies_are_labelled_as_well_as_expected(counts):
    adata = anndata.read_h5ad(counts / "pancreas_4tech.h5ad")
    labels = adata.obs["cell_type"].to_numpy(dtype=str)
    inputs = BaselineInputs(labels, aligned_counts(adata, adata.obs_names))
    right = [
        run_baseline("logistic-regression", inputs, *fold)["label"] == labels[fold[1]]
        for fold in make_folds(labels, adata.obs["tech"], "leave-one-out")
    ]
    assert np.concatenate(right).mean() == pytest.approx(0.96, abs=0.02)
