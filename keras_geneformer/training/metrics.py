"""How well classes were told apart (definitions of scikit-learn)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
    roc_auc_score,
)

_PROBABILITY = "prob_"


def classification_metrics(true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Accuracy and macro-F1.

    Args:
        true: (cells,) class of every cell, as names or numbers.
        predicted: (cells,) class that was predicted.

    Returns:
        `accuracy` and `macro_f1`, which is the mean of the F1 scores of the classes that occur
        among the true or the predicted ones.

    Example:
        >>> classification_metrics(["B", "B", "T"], ["B", "T", "T"])["accuracy"]
        0.6666666666666666
    """
    return {
        "accuracy": float(accuracy_score(true, predicted)),
        "macro_f1": float(f1_score(true, predicted, average="macro", zero_division=0)),
    }


def confusion_table(
    true: np.ndarray, predicted: np.ndarray, classes: Sequence[str]
) -> pd.DataFrame:
    """Cells by true class (rows) and predicted class (columns), in the order of `classes`."""
    return pd.DataFrame(
        confusion_matrix(true, predicted, labels=list(classes)),
        index=pd.Index(classes, name="true"),
        columns=pd.Index(classes, name="predicted"),
    )


def class_table(predictions: pd.DataFrame, *, confidence: float = 0.95) -> pd.DataFrame:
    """How well each class was told from all others.

    Args:
        predictions: one row a cell (or gene) with columns `true`, `label` and, for the last two
            scores, `prob_<class>`. A label that is no class, such as `unassigned`, counts as wrong.
        confidence: of the interval of the recall.

    Returns:
        One row a class, those with probabilities in their order and then others that are true of
        some cell: `class`, `cells` (truly of the class), `precision`, `recall`, `recall_low` and
        `recall_high` (Wilson's interval: E. B. Wilson, J. Am. Stat. Assoc. 22, 209, 1927), `f1`,
        `roc_auc` and `average_precision` (one against the rest). NaN where a score is not defined:
        recall without a cell of the class, areas also without one of another class. Precision is 0
        where the class was never predicted, as in macro-F1.

    Raises:
        ValueError: there is no row, or no column `true` or `label`.

    Example:
        >>> table = pd.DataFrame({"true": ["B", "B", "T"], "label": ["B", "T", "T"]})
        >>> class_table(table)[["class", "cells", "precision", "recall"]].values.tolist()
        [['B', 2, 1.0, 0.5], ['T', 1, 0.5, 1.0]]
    """
    classes = classes_of(predictions)
    true = predictions["true"].astype(str).to_numpy()
    label = predictions["label"].astype(str).to_numpy()
    precision, recall, f1, support = precision_recall_fscore_support(
        true, label, labels=classes, zero_division=0
    )
    rows = []
    for number, name in enumerate(classes):
        of_class, cells = true == name, int(support[number])
        low, high = wilson_interval(int((label[of_class] == name).sum()), cells, confidence)
        row = {
            "class": name,
            "cells": cells,
            "precision": precision[number],
            "recall": recall[number] if cells else np.nan,
            "recall_low": low,
            "recall_high": high,
            "f1": f1[number],
            "roc_auc": np.nan,
            "average_precision": np.nan,
        }
        column = predictions.get(f"{_PROBABILITY}{name}")
        if column is not None and 0 < cells < len(true):
            row["roc_auc"] = roc_auc_score(of_class, column)
            row["average_precision"] = average_precision_score(of_class, column)
        rows.append(row)
    return pd.DataFrame(rows)


def classes_of(predictions: pd.DataFrame) -> list[str]:
    """The classes of a table of predictions: those with a probability, then other true ones.

    Raises:
        ValueError: there is no row, or no column `true` or `label`.
    """
    missing = {"true", "label"} - set(predictions.columns)
    if missing or predictions.empty:
        raise ValueError(
            "scores by class need columns 'true' and 'label' and a row at least, but the table has "
            f"{len(predictions)} rows and columns {list(map(str, predictions.columns))}"
        )
    named = [
        str(column).removeprefix(_PROBABILITY)
        for column in predictions.columns
        if str(column).startswith(_PROBABILITY)
    ]
    others = sorted(set(predictions["true"].astype(str)) - set(named))
    return named + others


def wilson_interval(right: int, cells: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share; (NaN, NaN) of no cells.

    Example:
        >>> [round(end, 3) for end in wilson_interval(9, 10)]
        [0.596, 0.982]
    """
    from scipy.stats import norm

    if cells == 0:
        return float("nan"), float("nan")
    z = float(norm.ppf(0.5 + confidence / 2))
    share = right / cells
    middle = (share + z**2 / (2 * cells)) / (1 + z**2 / cells)
    half = z / (1 + z**2 / cells) * np.sqrt(share * (1 - share) / cells + z**2 / (4 * cells**2))
    # The ends at 0 and 1 are exact; the formula misses them by a rounding.
    low = 0.0 if right == 0 else float(middle - half)
    high = 1.0 if right == cells else float(middle + half)
    return low, high
