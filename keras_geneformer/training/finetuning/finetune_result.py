"""What fine-tuning leaves behind."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from keras_geneformer.models.cell_classifier import GeneformerCellClassifier


@dataclass(frozen=True)
class FinetuneResult:
    """A classifier, and how it did on cells that it was not trained on.

    Tables of predictions have one row a cell, its name as the index. Of classes: `true`, `label`
    (predicted) and `prob_<class>`; of a regression `true_<column>` and `value_<column>`.
    """

    model: GeneformerCellClassifier
    """The classifier, with the weights of the best epoch; its `classes` name the scores."""
    history: pd.DataFrame
    """One row a step: `step`, `epoch`, `loss`, `accuracy`, `learning_rate`, and at the last step of
    each epoch `validation_loss`, `validation_accuracy` and `validation_macro_f1`."""
    metrics: dict[str, float]
    """On the validation cells, which chose the epoch and the calibration: `accuracy` and
    `macro_f1`; `ece`, the expected calibration error, and `ece_uncalibrated`, that before it. Of
    other tasks, see `scores.prediction_metrics`."""
    predictions: pd.DataFrame
    """Of the validation cells."""
    confusion: pd.DataFrame
    """Validation cells by true class (rows) and predicted class (columns); empty without them."""
    test_metrics: dict[str, float] = field(default_factory=dict)
    """On the test cells, which chose nothing."""
    test_predictions: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Of the test cells."""
    parts: pd.Series = field(default_factory=lambda: pd.Series(dtype=object))
    """`train`, `validation` or `test` for each cell that took part, its name as the index."""
    run: dict[str, Any] = field(default_factory=dict)
    """What was asked for: label column, task, cells of each class, and all settings."""
