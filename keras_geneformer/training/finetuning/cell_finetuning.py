"""Fine-tuning: from labelled cells to a model that labels cells."""

import logging
import os
import warnings
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_geneformer.data.compatibility import check_vocabulary
from keras_geneformer.data.inference import compile_forward
from keras_geneformer.data.loader import CellBatches
from keras_geneformer.models.backbone_of import backbone_of, copy_backbone
from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.models.presets import is_replaceable
from keras_geneformer.tokenization.publishing import check_destination
from keras_geneformer.training.finetuning.freezing import freeze_backbone
from keras_geneformer.training.finetuning.output import kept_vocabulary, write_output
from keras_geneformer.training.finetuning.prediction import class_probabilities, prediction_table
from keras_geneformer.training.loop import train
from keras_geneformer.training.metrics import classification_metrics, confusion_table
from keras_geneformer.training.optimizers import adamw
from keras_geneformer.training.schedules import WarmupSchedule
from keras_geneformer.training.splits import split_by_cell, split_by_group

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinetuneResult:
    """What fine-tuning leaves behind."""

    model: GeneformerCellClassifier
    """The classifier, with the weights of the best epoch; its `classes` name the scores."""
    history: pd.DataFrame
    """One row a step: `step`, `epoch`, `loss`, `accuracy`, `learning_rate`, and at the last step of
    each epoch `validation_loss`, `validation_accuracy` and `validation_macro_f1`."""
    metrics: dict[str, float]
    """`accuracy` and `macro_f1` on the validation cells."""
    predictions: pd.DataFrame
    """One row a validation cell: `true`, `label` (predicted) and `prob_<class>`."""
    confusion: pd.DataFrame
    """Validation cells by true class (rows) and predicted class (columns)."""


def finetune_cells(
    model_or_preset: Any,
    cells: Any,
    label_key: str,
    *,
    validation: float | str = 0.1,
    epochs: int = 1,
    batch_size: int = 12,
    learning_rate: float = 5e-4,
    warmup: float = 0.1,
    weight_decay: float = 0.001,
    freeze_layers: int = 0,
    head_layers: int = 0,
    pooling: str = "first",
    seed: int = 0,
    progress: bool = True,
    output: str | os.PathLike | None = None,
    vocabulary: Any = None,
) -> FinetuneResult:
    """Train a cell classifier on labelled cells, from a pretrained (or random) backbone.

    The classifier is built on a copy of the backbone: what was passed in is not changed. The
    weights kept are those of the epoch with the best macro-F1 on the validation cells (with several
    epochs, that score is therefore somewhat flattering). Global random seeds (of Python, numpy and
    the backend) are set from `seed`.

    Args:
        model_or_preset: a `GeneformerBackbone`, or a model on one (a masked LM, a classifier whose
            head is left behind), or the name or directory of a preset.
        cells: a `CellDataset`.
        label_key: column of `cells.obs` with the classes. Cells without a label (NaN, None) are
            left out, with a warning that counts them.
        validation: share of every class's cells to hold out; or a column of `cells.obs` (donor,
            batch) of which whole groups are held out, about a tenth of the cells in all.
        epochs: passes over the training cells.
        batch_size: cells a batch.
        learning_rate: the peak; it rises over `warmup` and falls linearly to 0.
        warmup: share of the steps on which it rises.
        weight_decay: decoupled, on everything but biases and LayerNorm.
        freeze_layers: encoder blocks, from the input, that stay as they are, with the embeddings.
        head_layers: new encoder blocks between the backbone and the classes.
        pooling: `"first"` token, as published; `"mean"` over genes; `"cls"`.
        seed: of the split, the head's weights, the shuffling and dropout.
        progress: show a bar.
        output: a directory to write: the classifier's preset, and history.csv, metrics.json,
            predictions.csv and confusion.csv beside it.
        vocabulary: the `GeneVocabulary` to keep in `output`; that of a given preset by default.

    Returns:
        The classifier and how it did.

    Raises:
        ValueError: no such column, no labelled cell, one class only, a class with one cell, no
            group that can be held out, an option out of range, or cells of another vocabulary.
        FileExistsError: `output` holds something that is not a preset.
        FloatingPointError: the loss is no longer finite.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> cells = synthetic_dataset(60)
        >>> result = finetune_cells(tiny_backbone(), cells, "cell_type", progress=False)
        >>> result.model.classes
        ['B cell', 'T cell', 'monocyte']
    """
    labels, labelled = _labels(cells, label_key)
    if not labelled.all():
        cells = cells.subset(labelled)
    classes, targets = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"All labelled cells are of one class ({str(classes[0])!r} in obs[{label_key!r}]): a "
            "classifier needs two at least."
        )
    if epochs < 1 or batch_size < 1:
        raise ValueError(
            f"epochs={epochs} and batch_size={batch_size}; expected 1 or more of each."
        )
    if not 0.0 <= warmup <= 1.0:
        raise ValueError(f"warmup is a share of the steps, between 0 and 1, not {warmup}.")
    training_rows, validation_rows = _split(cells, labels, validation, seed)
    if output is not None:
        check_destination(output, is_replaceable)
    given = backbone_of(model_or_preset)
    check_vocabulary(
        cells,
        given.vocabulary_checksum,
        given.vocabulary_size,
        given.max_sequence_length,
        given.special_token_ids,
    )
    if output is not None:
        vocabulary = kept_vocabulary(model_or_preset, vocabulary, given)

    keras.utils.set_random_seed(seed)
    backbone = copy_backbone(given)
    if backbone.vocabulary_checksum is None and cells.vocabulary_checksum is not None:
        backbone.vocabulary_checksum = cells.vocabulary_checksum
        backbone.special_token_ids = tuple(sorted(cells.special_tokens.values()))
    classifier = GeneformerCellClassifier(
        backbone, classes=classes.tolist(), pooling=pooling, head_layers=head_layers
    )
    freeze_backbone(backbone, freeze_layers)
    batches = CellBatches(
        cells.subset(training_rows),
        batch_size=batch_size,
        labels=targets[training_rows],
        shuffle=True,
        seed=seed,
        max_length=backbone.max_sequence_length,
    )
    steps = epochs * len(batches)
    schedule = WarmupSchedule(learning_rate, steps, round(warmup * steps))
    classifier.compile(
        optimizer=adamw(schedule, weight_decay),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    held = _Validation(classifier, cells.subset(validation_rows), labels[validation_rows])
    history = train(
        classifier,
        batches,
        steps,
        progress=progress,
        description="fine-tune",
        after_epoch=held.after_epoch,
    )
    classifier.set_weights(held.best_weights)
    predictions = prediction_table(held.best, classifier.classes, held.cells.obs.index)
    predictions.insert(0, "true", held.labels)
    result = FinetuneResult(
        model=classifier,
        history=history,
        metrics=classification_metrics(held.labels, predictions["label"].to_numpy()),
        predictions=predictions,
        confusion=confusion_table(held.labels, predictions["label"].to_numpy(), classifier.classes),
    )
    if output is not None:
        write_output(result, output, vocabulary)
    return result


class _Validation:
    """Scores the validation cells after each epoch, and remembers the best weights."""

    def __init__(self, classifier: GeneformerCellClassifier, cells: Any, labels: np.ndarray):
        self.classifier = classifier
        self.cells = cells
        self.labels = labels
        self.best = np.empty(0)
        self.best_weights: list[np.ndarray] = []
        self._best_score = -1.0
        self._forward = compile_forward(classifier)

    def after_epoch(self, epoch: int) -> dict[str, float]:
        model = self.classifier
        probabilities = class_probabilities(
            self._forward,
            self.cells,
            model.num_classes,
            max_length=model.backbone.max_sequence_length,
        )
        classes = np.asarray(model.classes)
        metrics = classification_metrics(self.labels, classes[probabilities.argmax(axis=1)])
        of_truth = probabilities[np.arange(len(self.labels)), np.searchsorted(classes, self.labels)]
        if metrics["macro_f1"] > self._best_score:
            self._best_score = metrics["macro_f1"]
            self.best = probabilities
            self.best_weights = model.get_weights()
        _logger.info("epoch %d: validation %s", epoch, metrics)
        loss = float(-np.log(np.maximum(of_truth, 1e-300)).mean())
        return {"validation_loss": loss} | {f"validation_{k}": v for k, v in metrics.items()}


def _labels(cells: Any, label_key: str) -> tuple[np.ndarray, np.ndarray]:
    """The labels of the labelled cells, as text, and which cells they are."""
    if label_key not in cells.obs:
        raise ValueError(
            f"The cells have no column {label_key!r} in obs; it has "
            f"{', '.join(map(str, cells.obs.columns)) or 'no columns'}."
        )
    column = cells.obs[label_key]
    labelled = column.notna().to_numpy()
    if not labelled.any():
        raise ValueError(f"No cell has a label in obs[{label_key!r}].")
    if not labelled.all():
        warnings.warn(
            f"{int((~labelled).sum())} of {len(labelled)} cells have no label in "
            f"obs[{label_key!r}] and are left out.",
            stacklevel=3,
        )
    return column[labelled].astype(str).to_numpy(dtype=str), labelled


def _split(
    cells: Any, labels: np.ndarray, validation: float | str, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(validation, str):
        return split_by_cell(labels, validation, seed)
    if validation not in cells.obs:
        raise ValueError(
            f"The cells have no column {validation!r} in obs to split by; it has "
            f"{', '.join(map(str, cells.obs.columns))}."
        )
    groups = cells.obs[validation]
    if groups.isna().any():
        raise ValueError(
            f"{int(groups.isna().sum())} cells have no group in obs[{validation!r}]: drop them, or "
            "name their group."
        )
    counts = pd.Series(labels).value_counts()
    if counts.min() < 2:
        raise ValueError(
            f"Only one cell is of class {counts.index[-1]}: a class needs two cells at least. Drop "
            "the class or merge it with another."
        )
    return split_by_group(labels, groups.astype(str).to_numpy(dtype=str), seed=seed)
