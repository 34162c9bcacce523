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
    scaled_error,
    score_table,
)

_CELLS_OF_A_CLASS = 100
"""Training cells of a class from which its mean and spread are taken."""


class CellReader:
    """What a classifier's last layer sees of cells, and its scores, from one compiled pass.

    Args:
        classifier: a `GeneformerCellClassifier`, read as it is when asked.
    """

    def __init__(self, classifier: Any) -> None:
        self.classifier = classifier
        self.renew()

    def renew(self) -> None:
        """Compile again at the next call, for layers that compute otherwise than before."""
        self._forward: Any = None

    def features(self, cells: Any) -> np.ndarray:
        """(cells, hidden_dim) float32."""
        if self._forward is None:
            self._forward = compile_forward(self.classifier.feature_model())
        backbone = self.classifier.backbone
        longest = backbone.max_sequence_length
        return raw_scores(self._forward, cells, backbone.hidden_dim, max_length=longest)

    def scores(self, features: np.ndarray) -> np.ndarray:
        """(cells, classes) float32, before any softmax."""
        kernel, bias = (np.asarray(w) for w in self.classifier.get_layer("scores").get_weights())
        return features @ kernel + bias


class HeldOut:
    """Validation or test cells of a fine-tuning.

    Args:
        reader: of the classifier.
        cells: the whole `CellDataset`.
        labels: from `read_labels`.
        places: which of the labelled cells.
        objective: the loss that it trains with.
        told: called with each epoch's number and what these cells gave.
    """

    def __init__(
        self,
        reader: CellReader,
        cells: Any,
        labels: CellLabels,
        places: np.ndarray,
        objective: Any,
        told: Callable[[int, dict[str, float]], None] | None = None,
    ) -> None:
        self._reader = reader
        self._classifier = reader.classifier
        self._labels = labels
        self._true = labels.values[places]
        self._cells = cells.subset(labels.rows[places])
        self._objective = objective
        self._told = told

    def after_epoch(self, epoch: int) -> dict[str, float]:
        """Loss and metrics of an epoch, and the `score` that chooses among epochs."""
        scores = self.scores()
        table = score_table(self._classifier, scores, self._cells.obs.index)
        metrics = self._metrics(table)
        found = {"validation_loss": self._loss(scores)}
        found |= {f"validation_{name}": value for name, value in metrics.items()}
        if self._labels.task == "regression":
            found["score"] = -scaled_error(self._true, table.to_numpy(), self._classifier.scales)
        else:
            found["score"] = metrics["macro_f1"]
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
        return self._reader.scores(self._reader.features(self._cells))

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
    reader: CellReader,
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
    of_validation = reader.features(cells.subset(labels.rows[validation]))
    return calibrate(
        reader.scores(of_validation),
        labels.values[validation],
        of_validation,
        reader.features(cells.subset(labels.rows[known])),
        labels.values[known],
    )
