"""Pictures of a classifier: their numbers are those of the table, and of scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from keras_geneformer import plotting


@pytest.fixture(scope="module")
def predictions():
    rng = np.random.default_rng(0)
    classes = np.array(["B cell", "T cell", "platelet"])
    truth = rng.choice(3, 80, p=[0.5, 0.4, 0.1])
    scores = rng.dirichlet(np.ones(3), 80) + np.eye(3)[truth] * 0.5
    table = pd.DataFrame(scores / scores.sum(1, keepdims=True))
    table.columns = [f"prob_{name}" for name in classes]
    table.insert(0, "label", classes[scores.argmax(1)])
    table.insert(0, "true", classes[truth])
    return table


def _legend(figure) -> list[str]:
    legends = [*figure.legends, *(a.get_legend() for a in figure.axes)]
    return [text.get_text() for legend in legends if legend for text in legend.get_texts()]


@pytest.mark.parametrize(
    ("draw", "area", "score"),
    [
        (plotting.roc_curves, "AUC", roc_auc_score),
        (plotting.precision_recall_curves, "AP", average_precision_score),
    ],
)
def test_curves_say_the_area_of_each_class(tmp_path, predictions, draw, area, score):
    absent = predictions.assign(prob_neutrophil=0.0)
    axes = draw(absent, tmp_path / "curves.png")
    truth = predictions["true"] == "platelet"
    value = score(truth, predictions["prob_platelet"])
    said = _legend(axes.figure)
    assert f"platelet {area} {value:.3f} ({truth.sum()})" in said
    assert f"neutrophil {area} – (0)" in said
    with pytest.raises(ValueError, match=r"the table has 80 rows and columns \['true', 'label'\]"):
        draw(predictions[["true", "label"]], tmp_path / "x.png")
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]


def test_class_recall_has_the_largest_class_on_top(tmp_path, predictions):
    axes = plotting.class_recall(predictions)
    counts = predictions["true"].value_counts()
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [f"{name} ({number})" for name, number in counts.items()]
    dots = axes.get_lines()[0].get_xdata()
    top = predictions["true"] == counts.index[0]
    assert dots[0] == (predictions["label"][top] == counts.index[0]).mean()


def test_a_normalised_confusion_matrix_writes_per_cents(tmp_path):
    counts = pd.DataFrame([[199, 1], [1, 3]], index=["B", "T"], columns=["B", "T"])
    axes = plotting.confusion_matrix(counts, normalised=True)
    said = [text.get_text() for text in axes.texts]
    assert said == ["100", "25", "75"]
    assert axes.get_ylabel() == "true (% of the row)"


def test_learning_curves_place_scores_at_the_ends_of_epochs(tmp_path):
    history = pd.DataFrame({"step": range(1, 7), "epoch": [1] * 3 + [2] * 3, "loss": 1.0})
    history["validation_loss"] = [np.nan, np.nan, 0.9, np.nan, np.nan, 0.8]
    history["validation_macro_f1"] = [np.nan, np.nan, 0.5, np.nan, np.nan, 0.6]
    losses, scores = plotting.learning_curves(history)
    assert [line.get_label() for line in losses.get_lines()[2:]] == ["training", "validation"]
    score = scores.get_lines()[-1]
    assert (list(score.get_xdata()), list(score.get_ydata())) == ([3, 6], [0.5, 0.6])
    assert len(plotting.learning_curves(history[["loss"]])) == 1
    with pytest.raises(ValueError, match=r"a column 'loss', but the history has 6 rows"):
        plotting.learning_curves(history[["step"]], tmp_path / "x.png")


def test_the_reliability_diagram_says_the_error_over_cells(tmp_path):
    bins = pd.DataFrame(
        {"confidence": [0.55, np.nan, 0.9], "accuracy": [0.5, np.nan, 1.0], "cells": [10, 0, 30]}
    )
    upper, _ = plotting.reliability_diagram(bins)
    error = (10 * 0.05 + 30 * 0.1) / 40
    assert upper.texts[0].get_text() == f"ECE {error:.3f}\n40 cells"
    with pytest.raises(ValueError, match="a bin with cells, but the table has 3 rows"):
        plotting.reliability_diagram(bins.assign(cells=0), tmp_path / "x.png")


def test_two_maps_show_the_same_cells_in_the_same_colours(tmp_path):
    table = pd.DataFrame({"true": ["B", "B", "T"], "label": ["B", "T", "unassigned"]})
    xy = pd.DataFrame(np.eye(3)[:, :2], columns=["umap1", "umap2"])
    left, right = plotting.truth_and_prediction(xy, table)
    assert [a.get_title() for a in (left, right)] == ["truth", "prediction"]
    assert _legend(left.figure) == ["B (2, 1)", "T (1, 1)", "unassigned (0, 1)"]
    for side in (left, right):
        assert sum(len(dots.get_offsets()) for dots in side.collections) == 3
    colours = [[tuple(d.get_facecolor()[0]) for d in a.collections] for a in (left, right)]
    assert colours[0] == colours[1]
    with pytest.raises(ValueError, match="got 3 rows of coordinates and 2 of predictions"):
        plotting.truth_and_prediction(xy, table[:2], tmp_path / "x.png")


def test_comparison_bars_are_means_and_dots_are_folds(tmp_path):
    table = pd.DataFrame(
        {
            "method": ["plain", "plain", "ours", "ours"],
            "fold": [0, 1, 0, 1],
            "accuracy": [0.7, 0.9, 0.9, 1.0],
            "macro_f1": [0.5, 0.7, 0.8, 0.9],
        }
    )
    axes = plotting.comparison_bars(table)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ours", "plain"]
    widths = [bar.get_width() for bar in axes.patches]
    np.testing.assert_allclose(widths, [0.95, 0.8, 0.85, 0.6])
    assert sorted(axes.get_lines()[0].get_xdata()) == [0.9, 1.0]
    with pytest.raises(ValueError, match="needs a row and columns method, accuracy, macro_f1"):
        plotting.comparison_bars(table.drop(columns="method"), tmp_path / "x.png")


def test_fold_scores_say_mean_and_sd(tmp_path):
    table = pd.DataFrame({"fold": ["a", "b", "c"], "auc": [0.7, 0.8, 0.9]})
    axes = plotting.fold_scores(table, scores=["auc"])
    assert _legend(axes.figure) == ["auc 0.800 ± 0.100"]
    axes = plotting.fold_scores(table[:1], scores=["auc"])
    assert _legend(axes.figure) == ["auc 0.700"]


def test_change_bars_take_the_largest_of_either_sign(tmp_path):
    changes = pd.DataFrame({"gene": list("abcd"), "change": [0.01, -0.3, 0.2, np.nan]})
    axes = plotting.change_bars(changes, number=2)
    assert [t.get_text() for t in axes.get_yticklabels()] == ["c", "b"]
