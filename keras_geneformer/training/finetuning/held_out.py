"""Cells that a classifier is not trained on: what it says of them, and what follows from it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from keras import ops

from keras_geneformer.data.inference import compile_forward
from keras_geneformer.models.calibration import Calibration
from keras_geneformer.training.finetuning.calibration import (
    calibrate,
    expected_calibration_error,
    softmax,
)
from keras_geneformer.training.finetuning.labels import CellLabels
from keras_geneformer.training.finetuning.scores import (
    prediction_metrics,
    raw_scores,
    score_table,
    selection_score,
)

_CELLS_OF_A_CLASS = 100
"""Training cells of a class from which its mean and spread are taken."""


class HeldOut:
    """Validation or test cells of a fine-tuning.

    Args:
        classifier: it is called as it is when asked.
        cells: the whole `CellDataset`.
        labels: from `read_labels`.
        places: which of the labelled cells.
        objective: the loss that it trains with.
        told: called with each epoch's number and what these cells gave.
    """

    def __init__(
        self,
        classifier: Any,
        cells: Any,
        labels: CellLabels,
        places: np.ndarray,
        objective: Any,
        told: Callable[[int, dict[str, float]], None] | None = None,
    ) -> None:
        self._classifier = classifier
        self._labels = labels
        self._true = labels.values[places]
        self._cells = cells.subset(labels.rows[places])
        self._objective = objective
        self._told = told
        self._forward: Any = None

    def after_epoch(self, epoch: int) -> dict[str, float]:
        """Loss and metrics of an epoch, and the `score` that chooses among epochs."""
        scores = self.scores()
        table = score_table(self._classifier, scores, self._cells.obs.index)
        metrics = self._metrics(table)
        found = {"validation_loss": self._loss(scores)}
        found |= {f"validation_{name}": value for name, value in metrics.items()}
        found["score"] = selection_score(self._labels.task, metrics)
        if self._told is not None:
            self._told(epoch, dict(found))
        return found

    def judged(self) -> tuple[dict[str, float], pd.DataFrame]:
        """Metrics, and the predictions beside the truth."""
        if not len(self._true):
            return {}, pd.DataFrame()
        classifier, labels = self._classifier, self._labels
        scores = self.scores()
        table = score_table(classifier, scores, self._cells.obs.index)
        metrics = self._metrics(table)
        if labels.task == "regression":
            for number, name in reversed(list(enumerate(labels.names))):
                table.insert(0, f"true_{name}", self._true[:, number])
            return metrics, table
        part = CellLabels(labels.task, labels.names, self._true, np.arange(len(self._true)))
        table.insert(0, "true", part.text.astype(object))
        if classifier.calibration is not None:
            right = (table["true"] == table["label"]).to_numpy()
            confidence = table.filter(like="prob_").max(axis=1)
            metrics["ece"] = expected_calibration_error(confidence, right)
            metrics["ece_uncalibrated"] = expected_calibration_error(
                softmax(scores).max(axis=1), right
            )
        return metrics, table

    def scores(self) -> np.ndarray:
        """(cells, classes), before any softmax."""
        if self._forward is None:
            self._forward = compile_forward(self._classifier.network())
        classifier = self._classifier
        longest = classifier.backbone.max_sequence_length
        return raw_scores(self._forward, self._cells, classifier.num_classes, max_length=longest)

    def _metrics(self, table: pd.DataFrame) -> dict[str, float]:
        return prediction_metrics(self._labels.task, self._labels.names, self._true, table)

    def _loss(self, scores: np.ndarray) -> float:
        true = self._true
        if self._labels.task == "regression":
            true = (true - self._classifier.offsets) / self._classifier.scales
        kind = np.int32 if self._labels.task == "single-label" else np.float32
        weights = np.ones(len(true), dtype=np.float32)
        return float(ops.convert_to_numpy(self._objective(true.astype(kind), scores, weights)))


def calibrated(
    classifier: Any,
    cells: Any,
    labels: CellLabels,
    train: np.ndarray,
    validation: np.ndarray,
    seed: int,
) -> Calibration:
    """A classifier's calibration on its validation cells, distances from its training cells."""
    rng = np.random.default_rng(seed)
    known = np.concatenate(
        [
            rng.permutation(train[labels.values[train] == number])[:_CELLS_OF_A_CLASS]
            for number in range(len(labels.names))
        ]
    )
    forward = compile_forward(classifier.feature_model())
    backbone = classifier.backbone

    def features(places: np.ndarray) -> np.ndarray:
        part = cells.subset(labels.rows[places])
        longest = backbone.max_sequence_length
        return raw_scores(forward, part, backbone.hidden_dim, max_length=longest)

    of_validation = features(validation)
    kernel, bias = (np.asarray(w) for w in classifier.get_layer("scores").get_weights())
    return calibrate(
        of_validation @ kernel + bias,
        labels.values[validation],
        of_validation,
        features(known),
        labels.values[known],
    )
