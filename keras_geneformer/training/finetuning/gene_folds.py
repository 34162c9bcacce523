"""Folds over genes, and what is said of genes held out: no gene is ever in two folds."""

import math

import numpy as np
import pandas as pd
from sklearn.metrics import auc as area_under_curve
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.model_selection import StratifiedKFold

from keras_geneformer.training.metrics import classification_metrics


def gene_folds(
    labels: np.ndarray, classes: tuple[str, ...], folds: int, seed: int = 0
) -> np.ndarray:
    """Which fold each gene is held out in.

    Every class is spread evenly over the folds (scikit-learn's `StratifiedKFold`, shuffled, as the
    published package has it with seed 0).

    Args:
        labels: (G,) number of each gene's class.
        classes: their names.
        folds: how many.
        seed: of the shuffling.

    Returns:
        (G,) int64 fold of each gene, from 1.

    Raises:
        ValueError: fewer than 2 folds, or a class with fewer genes than folds.

    Example:
        >>> gene_folds(np.array([0, 0, 1, 1, 1, 0]), ("a", "b"), 3)
        array([3, 2, 3, 1, 2, 1])
    """
    if folds < 2:
        raise ValueError(
            f"Received folds={folds}; expected 2 or more, or None to train on all genes alone."
        )
    counts = np.bincount(labels, minlength=len(classes))
    if counts.min() < folds:
        few = int(counts.argmin())
        said = f"{counts[few]} gene{'s' * int(counts[few] != 1)}"
        raise ValueError(
            f"The class {classes[few]!r} has {said} in the cells, and {folds} folds "
            f"need {folds} at least, one to hold out in each: take fewer folds, more cells or more "
            "genes."
        )
    fold_of = np.zeros(len(labels), dtype=np.int64)
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels)
    for number, (_, held) in enumerate(splits, start=1):
        fold_of[held] = number
    return fold_of


def area_under_roc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Area under the ROC curve; of several classes the unweighted mean of each against the rest.

    Args:
        labels: (G,) number of the class.
        probabilities: (G, classes).

    Returns:
        As scikit-learn's `roc_auc_score`, with `multi_class="ovr"` and `average="macro"` where
        there are more than two classes; NaN where a class is missing.

    Example:
        >>> area_under_roc(np.array([0, 1, 1]), np.array([[.6, .4], [.7, .3], [.1, .9]]))
        0.5
    """
    number = probabilities.shape[1]
    if len(np.unique(labels)) < number:
        return math.nan
    if number == 2:
        return float(roc_auc_score(labels == 1, probabilities[:, 1]))
    one_against_rest = [
        roc_auc_score(labels == index, probabilities[:, index]) for index in range(number)
    ]
    return float(np.mean(one_against_rest))


def position_roc(labels: np.ndarray, scores: np.ndarray) -> tuple[float, int]:
    """The published package's AUC of a fold, over every position, and its weight.

    Args:
        labels: (P,) number of the class of the gene at each position, 0 or 1.
        scores: (P,) probability of class 1.

    Returns:
        The area, and the number of points of the ROC curve, by which the published package weights
        its folds.
    """
    if not len(labels) or labels.min() == labels.max():
        return math.nan, 0
    false_positive, true_positive, _ = roc_curve(labels, scores)
    return float(area_under_curve(false_positive, true_positive)), len(true_positive)


def weighted_auc(areas: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation over folds as the published package gives them.

    Args:
        areas: (folds,) AUC of each.
        weights: (folds,) points of each ROC curve.

    Example:
        >>> weighted_auc(np.array([0.8, 0.6]), np.array([30, 10]))
        (0.75, 0.0866...)
    """
    mean = float(np.average(areas, weights=weights))
    return mean, math.sqrt(np.average((np.asarray(areas) - mean) ** 2, weights=weights))


def probabilities_of(predictions: pd.DataFrame, classes: tuple[str, ...]) -> np.ndarray:
    """(G, classes) probabilities from a table with `prob_<class>` columns."""
    return predictions[[f"prob_{name}" for name in classes]].to_numpy(dtype=np.float64)


def fold_table(predictions: pd.DataFrame, classes: tuple[str, ...]) -> pd.DataFrame:
    """What held-out genes say of each fold.

    Args:
        predictions: one row a gene: `fold`, `true`, `label` and `prob_<class>`.
        classes: names of the classes.

    Returns:
        One row a fold: `fold`, `genes` (held out), `auc`, `accuracy`, `macro_f1`.
    """
    rows = []
    for fold, held in predictions.groupby("fold", sort=True):
        labels = pd.Categorical(held["true"], categories=list(classes)).codes
        rows.append(
            {
                "fold": fold,
                "genes": len(held),
                "auc": area_under_roc(labels, probabilities_of(held, classes)),
                **classification_metrics(held["true"].to_numpy(), held["label"].to_numpy()),
            }
        )
    return pd.DataFrame(rows, columns=["fold", "genes", "auc", "accuracy", "macro_f1"])


def summary_of(
    predictions: pd.DataFrame, folds: pd.DataFrame, classes: tuple[str, ...]
) -> dict[str, float]:
    """The figures of a cross-validation, each named for how it was taken.

    Args:
        predictions: one row a held-out gene, of all folds.
        folds: from `fold_table`; with columns `position_auc` and `roc_points` too where the
            published figures are wanted.
        classes: names of the classes.

    Returns:
        `auc_mean_of_folds` and `auc_sd_of_folds` (over folds, each of its own model; the sample's
        standard deviation), `auc_pooled`, `accuracy_pooled`, `macro_f1_pooled` (all held-out genes
        together, whose probabilities come from several models), and where known
        `published_auc_mean` and `published_auc_sd` (over positions instead of genes, folds weighted
        by the points of their ROC curves).
    """
    labels = pd.Categorical(predictions["true"], categories=list(classes)).codes
    pooled = classification_metrics(predictions["true"].to_numpy(), predictions["label"].to_numpy())
    summary = {
        "auc_mean_of_folds": float(folds["auc"].mean()),
        "auc_sd_of_folds": float(folds["auc"].std(ddof=1)),
        "auc_pooled": area_under_roc(labels, probabilities_of(predictions, classes)),
        "accuracy_pooled": pooled["accuracy"],
        "macro_f1_pooled": pooled["macro_f1"],
    }
    if "roc_points" in folds:
        mean, deviation = weighted_auc(
            folds["position_auc"].to_numpy(), folds["roc_points"].to_numpy()
        )
        summary |= {"published_auc_mean": mean, "published_auc_sd": deviation}
    return summary
