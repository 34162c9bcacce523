import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, f1_score

from keras_geneformer.training.finetuning.scores import prediction_metrics, scaled_error

NAMES = ["a", "b", "c"]


def table(probabilities):
    return pd.DataFrame(probabilities, columns=[f"prob_{name}" for name in NAMES])


def test_a_label_that_no_cell_has_and_none_gets_is_left_out_of_macro_scores():
    true = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]], dtype=np.float32)
    found = table([[0.9, 0.6, 0.1], [0.2, 0.8, 0.2], [0.4, 0.7, 0.3], [0.3, 0.1, 0.1]])
    metrics = prediction_metrics("multi-label", NAMES, true, found)
    said = found.to_numpy() >= 0.5
    assert metrics["macro_f1"] == f1_score(true[:, :2], said[:, :2], average="macro")
    expected = average_precision_score(true[:, :2], found.to_numpy()[:, :2], average="macro")
    assert metrics["macro_average_precision"] == pytest.approx(expected)
    assert metrics["accuracy"] == 0.5


def test_cells_without_any_label_have_an_accuracy_alone():
    metrics = prediction_metrics("multi-label", NAMES, np.zeros((2, 3)), table([[0.1] * 3] * 2))
    assert metrics["accuracy"] == 1.0
    assert np.isnan([metrics["macro_f1"], metrics["macro_average_precision"]]).all()


def test_no_column_of_a_regression_counts_for_more_by_its_units():
    true = np.array([[1.0, 1000.0], [2.0, 3000.0]])
    off = np.array([[0.5, -500.0], [0.0, 1000.0]])
    both = scaled_error(true, true + off, [1.0, 1000.0])
    assert both == scaled_error(true / [1, 1000], (true + off) / [1, 1000], [1.0, 1.0])
    assert both == pytest.approx(np.sqrt((0.25 + 0.25 + 0 + 1) / 4))
