import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, classification_report, roc_auc_score

from keras_geneformer.training.metrics import (
    class_table,
    classification_metrics,
    confusion_table,
    wilson_interval,
)


def test_metrics_of_a_hand_counted_case():
    true, predicted = ["B", "B", "B", "T"], ["B", "B", "T", "T"]
    metrics = classification_metrics(true, predicted)
    assert metrics["accuracy"] == 0.75
    assert metrics["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    table = confusion_table(true, predicted, ["B", "T", "monocyte"])
    assert table.to_numpy().tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert table.loc["B", "T"] == 1


@pytest.mark.parametrize("case", ["multiclass", "multiclass_absent_classes"])
def test_metrics_agree_with_the_published_package(reference, case):
    stored = json.loads((reference / "classifier" / "metrics.json").read_text())[case]
    predicted = np.asarray(stored["logits"]).argmax(axis=1)
    metrics = classification_metrics(np.asarray(stored["labels"]), predicted)
    assert metrics["accuracy"] == pytest.approx(stored["acc"], rel=1e-6)
    assert metrics["macro_f1"] == pytest.approx(stored["macro_f1"], rel=1e-6)
    table = confusion_table(stored["labels"], predicted, range(len(stored["conf_mat"])))
    assert table.to_numpy().tolist() == stored["conf_mat"]


def test_class_table_agrees_with_scikit_learn_and_counts_what_is_unassigned_as_wrong():
    rng = np.random.default_rng(1)
    truth = rng.choice(["B", "T"], 60)
    score = rng.random(60) * 0.6 + 0.4 * (truth == "T")
    label = np.where(score > 0.6, "T", "B").astype(object)
    label[:5] = "unassigned"
    table = pd.DataFrame({"true": truth, "label": label, "prob_B": 1 - score, "prob_T": score})
    rows = class_table(table).set_index("class")
    assert rows.index.tolist() == ["B", "T"]
    expected = classification_report(truth, label, output_dict=True, zero_division=0)
    for name in ("B", "T"):
        for ours, theirs in (
            ("cells", "support"),
            ("precision", "precision"),
            ("recall", "recall"),
            ("f1", "f1-score"),
        ):
            assert rows.loc[name, ours] == pytest.approx(expected[name][theirs])
    assert rows.loc["T", "roc_auc"] == pytest.approx(roc_auc_score(truth == "T", score))
    assert rows.loc["T", "average_precision"] == pytest.approx(
        average_precision_score(truth == "T", score)
    )
    assert (rows["recall_low"] < rows["recall"]).all()
    assert (rows["recall"] < rows["recall_high"]).all()


def test_class_table_says_what_is_not_defined():
    table = pd.DataFrame({"true": ["B", "C"], "label": ["B", "B"], "prob_B": 0.9, "prob_T": 0.1})
    rows = class_table(table).set_index("class")
    assert rows.index.tolist() == ["B", "T", "C"], "a class that the model does not know is last"
    assert rows.loc["T", ["recall", "recall_low", "roc_auc"]].isna().all()
    assert rows.loc["C", ["recall", "f1"]].tolist() == [0.0, 0.0]
    assert np.isnan(rows.loc["C", "roc_auc"])
    with pytest.raises(
        ValueError, match=r"the table has 2 rows and columns \['label', 'prob_B', 'prob_T'\]"
    ):
        class_table(table.drop(columns="true"))


def test_wilson_intervals_of_a_printed_table():
    # Newcombe, Stat. Med. 17, 857 (1998), table I, method 3.
    for right, cells, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert wilson_interval(right, cells) == pytest.approx((low, high), abs=5e-5)
    assert wilson_interval(20, 20)[1] == 1.0
    assert np.isnan(wilson_interval(0, 0)).all()
