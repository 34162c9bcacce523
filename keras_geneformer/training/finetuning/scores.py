"""From a classifier's raw scores to labels, probabilities and numbers, and how good they are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    mean_absolute_error,
    r2_score,
    root_mean_squared_error,
)

from keras_geneformer.data.inference import Forward, inference_batches, run_batches
from keras_geneformer.training.finetuning.calibration import softmax
from keras_geneformer.training.finetuning.labels import joined
from keras_geneformer.training.metrics import classification_metrics


def raw_scores(
    forward: Forward,
    cells: Any,
    width: int,
    batch_size: int | None = None,
    max_length: int | None = None,
    progress: bool = False,
) -> np.ndarray:
    """(cells, width) float32, what a compiled model gives for each cell, in their order."""
    scores = np.empty((len(cells), width), dtype=np.float32)
    batches = inference_batches(cells, batch_size, max_length)
    for rows, _, found in run_batches(forward, batches, progress, "predict"):
        scores[rows] = found
    return scores


def score_table(model: Any, scores: np.ndarray, index: pd.Index) -> pd.DataFrame:
    """What scores say of each cell.

    Args:
        model: a `GeneformerCellClassifier`.
        scores: (cells, classes), before any softmax.
        index: names of the cells.

    Returns:
        Single-label: `label` and `prob_<class>`, by the model's temperature where it is calibrated.
        Multi-label: `label`, the names of probability .5 or more joined by `;`, and `prob_<name>`.
        Regression: `value_<column>`, in the units of the data.
    """
    names = model.classes or [str(number) for number in range(model.num_classes)]
    if model.task == "regression":
        values = scores * np.asarray(model.scales) + np.asarray(model.offsets)
        return pd.DataFrame(values, index=index, columns=[f"value_{name}" for name in names])
    if model.task == "multi-label":
        probabilities = 1.0 / (1.0 + np.exp(-scores.astype(np.float64)))
        labels = np.asarray(joined(probabilities >= 0.5, names), dtype=object)
    else:
        temperature = 1.0 if model.calibration is None else model.calibration.temperature
        probabilities = softmax(scores / temperature)
        labels = np.asarray(names, dtype=object)[probabilities.argmax(axis=1)]
    columns = [f"prob_{name}" for name in names]
    table = pd.DataFrame(probabilities, index=index, columns=columns)
    table.insert(0, "label", labels)
    return table


def prediction_metrics(
    task: str, names: Sequence[str], true: np.ndarray, table: pd.DataFrame
) -> dict[str, float]:
    """How well a table of `score_table` fits the truth.

    Args:
        task: of the classifier.
        names: classes, or columns of a regression.
        true: of `CellLabels.values`.
        table: of the same cells.

    Returns:
        Single-label: `accuracy`, `macro_f1`. Multi-label: `accuracy` (all labels of a cell right),
        `macro_f1` over labels that occur among the true or the predicted ones, and
        `macro_average_precision` over those that cells have. Regression: `r2` (mean over
        columns), `mae` and `rmse` in the units of the data, and `pearson`.
    """
    if task == "single-label":
        text = np.asarray(names, dtype=str)[true]
        return classification_metrics(text, table["label"].to_numpy(dtype=str))
    if task == "multi-label":
        probabilities = table[[f"prob_{name}" for name in names]].to_numpy()
        said = probabilities >= 0.5
        has = true > 0.5
        accuracy = float((said == has).all(axis=1).mean())
        occurs, counts = has.any(axis=0), (has | said).any(axis=0)
        # Of no label at all neither has a value.
        f1 = precision = float("nan")
        if counts.any():
            f1 = f1_score(has[:, counts], said[:, counts], average="macro", zero_division=0)
        if occurs.any():
            precision = average_precision_score(has[:, occurs], probabilities[:, occurs])
        return {
            "accuracy": accuracy,
            "macro_f1": float(f1),
            "macro_average_precision": float(precision),
        }
    values = table[[f"value_{name}" for name in names]].to_numpy()
    found = {
        "r2": float(r2_score(true, values)) if len(true) > 1 else float("nan"),
        "mae": float(mean_absolute_error(true, values)),
        "rmse": float(root_mean_squared_error(true, values)),
    }
    spreads = true.std(axis=0) * values.std(axis=0)
    if (spreads > 0).all():
        products = ((true - true.mean(axis=0)) * (values - values.mean(axis=0))).mean(axis=0)
        found["pearson"] = float((products / spreads).mean())
    return found


def scaled_error(true: np.ndarray, values: np.ndarray, scales: Sequence[float]) -> float:
    """Root of the mean squared error where each column is in units of its spread, so that of
    several none counts for more by its own units.

    Args:
        true, values: (cells, columns).
        scales: (columns,) spread of each.

    Example:
        >>> scaled_error(np.array([[1.0, 100.0]]), np.array([[2.0, 200.0]]), [1.0, 100.0])
        1.0
    """
    return float(np.sqrt(np.mean(((values - true) / np.asarray(scales)) ** 2)))
