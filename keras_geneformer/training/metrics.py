"""How well classes were told apart (definitions of scikit-learn)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score


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
