"""Scores and predictions of folds as tables, and what they come to."""

import gc
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.evaluation.folds import Fold, held_groups
from keras_geneformer.evaluation.labelled_cells import LabelledCells
from keras_geneformer.evaluation.statistics import bootstrap_interval, cell_intervals
from keras_geneformer.models.backbone_of import backbone_of
from keras_geneformer.training.finetuning.cell_finetuning import finetune_cells
from keras_geneformer.training.finetuning.prediction import predict
from keras_geneformer.training.metrics import classification_metrics

GENEFORMER = "geneformer"
"""The method that is the model itself, fine-tuned."""

_LARGE = 2_000_000

METRICS = ("accuracy", "macro_f1")


def finetuned_predictions(
    model: Any,
    chosen: LabelledCells,
    label_key: str,
    fold: Fold,
    *,
    seed: int,
    progress: bool,
    settings: dict[str, Any],
) -> pd.DataFrame:
    """Fine-tune on the training cells of a fold, and label its test cells.

    Returns:
        One row a test cell: `label` and `prob_<class>`.
    """
    training, test = fold
    result = finetune_cells(
        model, chosen.cells.subset(training), label_key, seed=seed, progress=progress, **settings
    )
    said = predict(result.model, chosen.cells.subset(test))
    del result
    if backbone_of(model).count_params() > _LARGE:
        # A model refers to itself: left to Python, several of them may wait for their end.
        gc.collect()
    return said


def scored_fold(
    method: str,
    number: int,
    chosen: LabelledCells,
    fold: Fold,
    run: Callable[[], pd.DataFrame],
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Run a method on a fold, and score what it says.

    Args:
        method: its name.
        number: of the fold, from 1.
        chosen: the cells of all folds.
        fold: training and test rows.
        run: gives `label`, and `prob_<class>` where there are probabilities, of the test cells.

    Returns:
        The row of the table, and the predictions: `cell`, `method`, `fold`, `true`, `label`,
        `prob_<class>`.
    """
    training, test = fold
    began = time.perf_counter()
    said = run()
    seconds = time.perf_counter() - began
    true = chosen.labels[test]
    labels = said["label"].astype(str).to_numpy(dtype=str)
    row: dict[str, Any] = {"method": method, "fold": number}
    row |= classification_metrics(true, labels)
    row |= {"cells": len(test), "training_cells": len(training), "seconds": round(seconds, 3)}
    if chosen.groups is not None:
        row["held_out"] = held_groups(fold, chosen.groups)
    predictions = pd.DataFrame(
        {
            "cell": chosen.names[test],
            "method": method,
            "fold": number,
            "true": true.astype(object),
            "label": labels.astype(object),
        }
    )
    probabilities = said.filter(regex="^prob_").reset_index(drop=True)
    return row, pd.concat([predictions, probabilities], axis=1)


def joined_predictions(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Predictions of folds in one table, with NaN where a method gives no probability."""
    return pd.concat(parts, ignore_index=True)


def summary_of_folds(table: pd.DataFrame, predictions: pd.DataFrame, folds: int) -> pd.DataFrame:
    """What the folds of one method come to.

    Args:
        table: a row a fold.
        predictions: of its test cells.
        folds: in which every cell is tested once: repeats beyond them would count cells twice.

    Returns:
        A row for `accuracy` and for `macro_f1`: `mean` and `sd` over folds; `low`, `high`, the 95 %
        bootstrap interval of the mean over folds; `pooled`, over all cells tested in the first
        repeat, and `cells_low`, `cells_high`, its interval over cells.
    """
    once = predictions[predictions["fold"] <= folds]
    true, label = once["true"].to_numpy(dtype=str), once["label"].to_numpy(dtype=str)
    pooled, intervals = classification_metrics(true, label), cell_intervals(true, label)
    rows = []
    for metric in METRICS:
        scores = table[metric].to_numpy(dtype=np.float64)
        low, high = bootstrap_interval(scores)
        rows.append(
            {
                "metric": metric,
                "mean": scores.mean(),
                "sd": scores.std(ddof=1) if len(scores) > 1 else np.nan,
                "low": low,
                "high": high,
                "pooled": pooled[metric],
                "cells_low": intervals[metric][0],
                "cells_high": intervals[metric][1],
            }
        )
    return pd.DataFrame(rows)
