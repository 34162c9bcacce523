import json

import numpy as np
import pytest

from keras_geneformer.training.metrics import classification_metrics, confusion_table


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
