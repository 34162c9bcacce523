"""Definitions of metrics against the published package's, and scikit-learn's."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from keras_geneformer.training.metrics import class_table, confusion_table


@pytest.fixture(scope="module")
def stored(reference):
    return json.loads((reference / "classifier" / "metrics.json").read_text())


def _predictions(case) -> pd.DataFrame:
    logits = np.asarray(case["logits"])
    # Without the maximum taken off, as published: which equal scores tie hangs on rounding.
    exponents = np.exp(logits)
    probabilities = exponents / exponents.sum(axis=1, keepdims=True)
    table = pd.DataFrame(probabilities).rename(columns=lambda number: f"prob_{number}")
    table.insert(0, "label", logits.argmax(axis=1).astype(str))
    table.insert(0, "true", np.asarray(case["labels"]).astype(str))
    return table


@pytest.mark.parametrize("name", ["multiclass", "multiclass_absent_classes"])
def test_macro_f1_is_the_mean_of_the_classes_that_occur(stored, name):
    case = stored[name]
    table = _predictions(case)
    rows = class_table(table)
    occurs = (rows["cells"] > 0) | rows["class"].isin(table["label"])
    assert rows.loc[occurs, "f1"].mean() == pytest.approx(case["macro_f1"])
    counts = np.asarray(case["conf_mat"])
    assert rows["cells"].tolist() == counts.sum(axis=1).tolist()
    recall = rows.loc[rows["cells"] > 0, "recall"].to_numpy()
    present = counts.sum(axis=1) > 0
    np.testing.assert_allclose(recall, (counts.diagonal() / counts.sum(axis=1).clip(1))[present])


def test_areas_and_confusion_of_two_classes(stored):
    for fold in stored["binary_cv"]["folds"]:
        table = _predictions(fold)
        rows = class_table(table).set_index("class")
        truth = table["true"].to_numpy() == "1"
        # Whether scores a few last digits apart tie hangs on NumPy's exp, which depends on the
        # processor: the published figures are of one with AVX-512. Each such pair is half a step.
        score = table["prob_1"].to_numpy()
        near = np.abs(score[truth][:, None] - score[~truth]) < 4 * np.finfo(float).eps
        error = abs(rows.loc["1", "roc_auc"] - fold["roc_metrics"]["auc"])
        assert error <= 0.5 * near.sum() / near.size + 1e-9
        assert rows.loc["1", "roc_auc"] == pytest.approx(roc_auc_score(truth, table["prob_1"]))
        found = confusion_table(table["true"].to_numpy(), table["label"].to_numpy(), ["0", "1"])
        assert found.to_numpy().tolist() == fold["conf_mat"]
