import json
import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from keras_geneformer.training.finetuning.gene_folds import (
    area_under_roc,
    fold_table,
    gene_folds,
    position_roc,
    summary_of,
    weighted_auc,
)
from keras_geneformer.training.metrics import classification_metrics, confusion_table

CLASSES = ("a", "b", "c")


def softmax(scores):
    # Without the maximum taken off, as published: which equal scores tie hangs on rounding.
    exponents = np.exp(np.asarray(scores))
    return exponents / exponents.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def expected(reference):
    return json.loads((reference / "classifier" / "metrics.json").read_text())


def test_every_gene_is_held_out_once_and_classes_are_even():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [31, 12, 7]))
    fold_of = gene_folds(labels, CLASSES, 5, seed=3)
    assert sorted(set(fold_of)) == [1, 2, 3, 4, 5]
    for index, number in enumerate([31, 12, 7]):
        per_fold = np.bincount(fold_of[labels == index])[1:]
        assert per_fold.sum() == number
        assert per_fold.max() - per_fold.min() <= 1
    np.testing.assert_array_equal(fold_of, gene_folds(labels, CLASSES, 5, seed=3))
    assert (fold_of != gene_folds(labels, CLASSES, 5, seed=4)).any()


def test_folds_are_the_published_ones(reference):
    splits = json.loads((reference / "classifier" / "splits.json").read_text())
    fold_of = gene_folds(np.repeat([0, 1], [40, 60]), ("a", "b"), 5)
    for number, fold in enumerate(splits["gene_folds"]["train0.8_eval0.2_test0"]["folds"], 1):
        assert np.flatnonzero(fold_of == number).tolist() == fold["eval"]


def test_too_few_genes_or_folds():
    labels = np.repeat([0, 1], [9, 4])
    message = (
        r"The class 'b' has 4 genes in the cells, and 5 folds need 5 at least, one to hold out in "
        r"each: take fewer folds, more cells or more genes\."
    )
    with pytest.raises(ValueError, match=message):
        gene_folds(labels, CLASSES[:2], 5)
    with pytest.raises(ValueError, match=r"Received folds=1; expected 2 or more, or None to train"):
        gene_folds(labels, CLASSES[:2], 1)


def test_area_is_scikit_learns():
    rng = np.random.default_rng(1)
    labels = rng.integers(3, size=60)
    probabilities = softmax(rng.normal(size=(60, 3)))
    ours = area_under_roc(labels, probabilities)
    assert ours == pytest.approx(roc_auc_score(labels, probabilities, multi_class="ovr"))
    two = softmax(probabilities[:, :2])
    binary = (labels == 1).astype(int)
    assert area_under_roc(binary, two) == pytest.approx(roc_auc_score(binary, two[:, 1]))
    assert math.isnan(area_under_roc(np.zeros(4, int), two[:4]))


def pairs_that_rounding_ties(labels, scores):
    """Pairs of a gene of each class whose scores are a few last digits apart.

    Whether they tie hangs on the last digit of NumPy's exp, which depends on the processor: the
    published figures are of one with AVX-512.
    """
    apart = np.abs(scores[labels == 1][:, None] - scores[labels == 0])
    return int((apart < 4 * np.finfo(float).eps).sum())


def test_figures_are_the_published_ones(expected):
    case = expected["binary_cv"]
    areas, points = [], []
    for fold in case["folds"]:
        labels = np.array(fold["labels"])
        probabilities = softmax(fold["logits"])
        area, number = position_roc(labels, probabilities[:, 1])
        published = fold["roc_metrics"]
        pairs = pairs_that_rounding_ties(labels, probabilities[:, 1])
        half_a_step = 0.5 / (labels.sum() * (1 - labels).sum())
        # Where as many points are left as were published, the ties are the published ones.
        room = 0 if number == published["tpr_wt"] else pairs * half_a_step
        assert abs(area - published["auc"]) <= room + 1e-9
        assert abs(number - published["tpr_wt"]) <= 2 * pairs
        assert area == pytest.approx(area_under_roc(labels, probabilities))
        areas.append(published["auc"])
        points.append(published["tpr_wt"])
        ours = classification_metrics(labels, np.array(fold["pred"]))
        assert ours["accuracy"] == pytest.approx(fold["acc"])
        assert ours["macro_f1"] == pytest.approx(fold["macro_f1"])
        table = confusion_table(labels, np.array(fold["pred"]), [0, 1])
        assert table.to_numpy().tolist() == fold["conf_mat"]
    mean, deviation = weighted_auc(np.array(areas), np.array(points))
    assert mean == pytest.approx(case["roc_auc"])
    assert deviation == pytest.approx(case["roc_auc_sd"])


def test_tables_of_folds_and_of_all():
    predictions = pd.DataFrame(
        {
            "fold": [1, 1, 1, 2, 2, 2],
            "true": ["a", "b", "b", "a", "a", "b"],
            "label": ["a", "b", "a", "b", "a", "b"],
            "prob_a": [0.9, 0.2, 0.6, 0.4, 0.8, 0.1],
        }
    ).assign(prob_b=lambda table: 1 - table["prob_a"])
    folds = fold_table(predictions, CLASSES[:2])
    assert folds["genes"].tolist() == [3, 3]
    assert folds["auc"].tolist() == [1.0, 1.0]
    assert folds["accuracy"].tolist() == pytest.approx([2 / 3, 2 / 3])
    summary = summary_of(predictions, folds, CLASSES[:2])
    # b at .6 of fold 1 stands above a at .4 of fold 2: pooled is below each fold's own.
    assert summary["auc_pooled"] == pytest.approx(8 / 9)
    assert summary["auc_mean_of_folds"] == 1.0
    assert summary["auc_sd_of_folds"] == 0.0
    assert summary["accuracy_pooled"] == pytest.approx(4 / 6)
    folds = folds.assign(position_auc=[0.8, 0.6], roc_points=[30, 10])
    published = summary_of(predictions, folds, CLASSES[:2])
    assert published["published_auc_mean"] == pytest.approx(0.75)
