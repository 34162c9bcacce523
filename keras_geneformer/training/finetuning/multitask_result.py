"""What multi-task fine-tuning leaves behind."""

import json
import os
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from keras_geneformer.models.multitask_classifier import GeneformerMultiTaskClassifier
from keras_geneformer.models.preset_format import is_replaceable
from keras_geneformer.tokenization.publishing import publish_directory


@dataclass(frozen=True)
class MultiTaskResult:
    """A multi-task classifier, and how it did on cells that it was not trained on.

    Tables of predictions have one row a cell with a label of the task, its name as the index:
    `true`, `label` (predicted) and `prob_<class>`.
    """

    model: GeneformerMultiTaskClassifier
    """The classifier, with the weights of the best epoch; its `tasks` name the scores."""
    history: pd.DataFrame
    """One row a step: `step`, `epoch`, `loss`, `learning_rate`, and at the last step of each epoch
    `validation_loss` (the tasks' losses, weighed), and for each task `validation_macro_f1_<task>`
    and `weight_<task>`."""
    metrics: pd.DataFrame
    """One row a task, on the validation cells, which chose the epoch: `classes`, `cells` (with a
    label), `accuracy`, `macro_f1`, and `weight`, what its loss was multiplied by at the end."""
    predictions: dict[str, pd.DataFrame]
    """By task, of the validation cells."""
    confusions: dict[str, pd.DataFrame]
    """By task, validation cells by true class (rows) and predicted class (columns)."""
    test_metrics: pd.DataFrame = field(default_factory=pd.DataFrame)
    """As `metrics`, on the test cells, which chose nothing."""
    test_predictions: dict[str, pd.DataFrame] = field(default_factory=dict)
    """By task, of the test cells."""
    run: dict[str, Any] = field(default_factory=dict)
    """What was asked for: label columns, classes, number of cells, and all settings."""


def write_tasks(result: MultiTaskResult, output: str | os.PathLike, vocabulary: Any = None) -> None:
    """Write the classifier's preset and its tables, all at once or not at all.

    Args:
        result: what is written.
        output: the directory; an earlier preset there is replaced.
        vocabulary: the `GeneVocabulary` to keep in the preset.
    """
    with publish_directory(output, is_replaceable) as partial:
        result.model.save_to_preset(partial, vocabulary=vocabulary)
        result.history.to_csv(partial / "history.csv", index=False)
        if result.predictions:
            result.metrics.to_csv(partial / "metrics.csv")
            side_by_side(result.predictions).to_csv(partial / "predictions.csv")
            tidy(result.confusions).to_csv(partial / "confusion.csv", index=False)
        if result.test_predictions:
            result.test_metrics.to_csv(partial / "test_metrics.csv")
            side_by_side(result.test_predictions).to_csv(partial / "test_predictions.csv")
        (partial / "run.json").write_text(json.dumps(result.run, indent=2) + "\n")


def side_by_side(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One table of several tasks', with columns `<task>_label`, `<task>_prob_<class>`...

    A cell without a label of a task has no values there.

    Example:
        >>> tables = {"sex": pd.DataFrame({"label": ["f"]}, index=["cell0"])}
        >>> side_by_side(tables).columns.tolist()
        ['sex_label']
    """
    named = [table.add_prefix(f"{task}_") for task, table in tables.items()]
    return pd.concat(named, axis=1) if named else pd.DataFrame()


def tidy(confusions: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Confusions of several tasks as rows of `task`, `true`, `predicted` and `cells`."""
    rows = [
        {"task": task, "true": true, "predicted": predicted, "cells": int(cells)}
        for task, confusion in confusions.items()
        for true, of_true in confusion.iterrows()
        for predicted, cells in of_true.items()
    ]
    return pd.DataFrame(rows, columns=["task", "true", "predicted", "cells"])
