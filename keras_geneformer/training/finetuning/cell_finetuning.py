"""Fine-tuning: from labelled cells to a model that labels cells."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_geneformer.data.compatibility import check_vocabulary
from keras_geneformer.models.backbone_of import backbone_of, copy_backbone
from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.training.distribution import Distribution, connect
from keras_geneformer.training.finetuning.batches import TargetBatches
from keras_geneformer.training.finetuning.class_weights import class_weights
from keras_geneformer.training.finetuning.finetune_result import FinetuneResult
from keras_geneformer.training.finetuning.held_out import CellReader, HeldOut, calibrated
from keras_geneformer.training.finetuning.labels import CellLabels, read_labels
from keras_geneformer.training.finetuning.losses import LOSSES_OF, make_loss
from keras_geneformer.training.finetuning.output import check_output, kept_vocabulary, write_output
from keras_geneformer.training.finetuning.running import check_stopping, run_finetuning
from keras_geneformer.training.finetuning.sampling import resample
from keras_geneformer.training.finetuning.settings import FinetuneSettings
from keras_geneformer.training.finetuning.splitting import split_cells
from keras_geneformer.training.metrics import confusion_table


def finetune_cells(
    model_or_preset: Any,
    cells: Any,
    label_key: str | Sequence[str],
    *,
    task: str = "single-label",
    validation: Any = 0.1,
    test: Any = None,
    group_key: str | None = None,
    keep: Mapping[str, Any] | None = None,
    rare_threshold: float = 0.0,
    max_cells: int | None = None,
    calibrate: bool = True,
    output: str | os.PathLike | None = None,
    vocabulary: Any = None,
    after_epoch: Callable[[int, dict[str, float]], None] | None = None,
    progress: bool = True,
    **settings: Any,
) -> FinetuneResult:
    """Train a cell classifier on labelled cells, from a pretrained (or random) backbone.

    The classifier is built on a copy of the backbone: what was passed in is not changed. The
    weights kept are those of the epoch with the best macro-F1 on the validation cells (with several
    epochs, that score is therefore somewhat flattering; hold out test cells for one that is not).
    Global random seeds (of Python, numpy and the backend) are set from `seed`.

    Picture: `kg.plotting.learning_curves`, `class_recall`, `confusion_matrix`,
    `reliability_diagram`.

    Args:
        model_or_preset: a `GeneformerBackbone`, or a model on one (a masked LM, a classifier whose
            head is left behind), or the name or directory of a preset.
        cells: a `CellDataset`.
        label_key: column of `cells.obs` with the classes. Cells without a label (NaN, None) are
            left out, with a warning that counts them. For other tasks, see `labels.read_labels`.
        task: `"single-label"`; `"multi-label"`: any number of labels a cell; `"regression"`: a
            number (drug dose, pseudotime), standardized by the training cells.
        validation: share of every class's cells to hold out; or a column of `cells.obs` (donor,
            batch) of which whole groups are held out, about a tenth of the cells in all; or
            `{column: values}`; or a list of cell names; or None: the last weights are kept.
        test: cells that are looked at once, at the end, given in the same ways; None for none.
        group_key: column of `cells.obs` of which no value may be on two sides of the split; what
            would leak is refused.
        keep: the cells that take part: for each obs column named, a value or a list of them.
        rare_threshold: classes with a smaller share of the cells are left out.
        max_cells: of each class at most so many cells, drawn by `seed`.
        calibrate: fit temperature, threshold and distances (`Calibration`) on the validation cells.
        output: a directory to write: the classifier's preset, and history.csv, metrics.json,
            predictions.csv, confusion.csv, parts.csv and run.json beside it.
        vocabulary: the `GeneVocabulary` to keep in `output`; that of a given preset by default.
        after_epoch: called with the epoch's number and what the validation cells gave.
        progress: show a bar.
        **settings: how to train: `epochs`, `batch_size`, `learning_rate`, `loss`, `freeze_layers`
            and all others of `FinetuneSettings`.

    Returns:
        The classifier and how it did.

    Raises:
        ValueError: no such column, no labelled cell, one class only, a class with one cell, no
            group that can be held out, cells on two sides of the split, an option out of range, or
            cells of another vocabulary.
        FileExistsError: `output` holds something that is not a preset.
        FloatingPointError: the loss is no longer finite.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> cells = synthetic_dataset(60)
        >>> result = finetune_cells(tiny_backbone(), cells, "cell_type", progress=False)
        >>> result.model.classes
        ['B cell', 'T cell', 'monocyte']
    """
    if task != "single-label" and "loss" not in settings and task in LOSSES_OF:
        settings["loss"] = LOSSES_OF[task][0]
    chosen = FinetuneSettings(**settings)
    labels = read_labels(
        cells,
        label_key,
        task=task,
        keep=keep,
        rare_threshold=rare_threshold,
        max_cells=max_cells,
        seed=chosen.seed,
    )
    split = split_cells(
        cells, labels, validation=validation, test=test, group_key=group_key, seed=chosen.seed
    )
    check_stopping(chosen, split.validation)
    objective = _objective(labels, split.train, chosen)
    if output is not None:
        check_output(output, chosen)
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

    distribution = connect(chosen.distribute)
    keras.utils.set_random_seed(chosen.seed)
    with distribution.scope():
        classifier = _classifier(given, cells, labels, split.train, chosen)
    batches = _training_batches(cells, labels, split.train, classifier, chosen, distribution)
    reader = CellReader(classifier)
    held = HeldOut(reader, cells, labels, split.validation, objective, after_epoch)
    history = run_finetuning(
        classifier,
        batches,
        chosen,
        objective=objective,
        after_epoch=held.after_epoch if len(split.validation) else None,
        distribution=distribution,
        progress=progress,
    )
    if chosen.lora is not None:
        reader.renew()
    if calibrate and task == "single-label" and len(split.validation):
        classifier.calibration = calibrated(
            reader, cells, labels, split.train, split.validation, chosen.seed
        )
    metrics, predictions = held.judged()
    tested = HeldOut(reader, cells, labels, split.test, objective).judged()
    parts = pd.Series("train", index=cells.obs.index[labels.rows], name="part", dtype=object)
    parts.iloc[split.validation] = "validation"
    parts.iloc[split.test] = "test"
    confusion = pd.DataFrame()
    if task == "single-label" and len(predictions):
        confusion = confusion_table(
            predictions["true"].to_numpy(), predictions["label"].to_numpy(), labels.names
        )
    result = FinetuneResult(
        model=classifier,
        history=history,
        metrics=metrics,
        predictions=predictions,
        confusion=confusion,
        test_metrics=tested[0],
        test_predictions=tested[1],
        parts=parts,
        run=_described(label_key, labels, given, chosen, validation, test, group_key),
    )
    if output is not None:
        write_output(result, output, vocabulary)
    return result


def _classifier(
    given: Any, cells: Any, labels: CellLabels, train: np.ndarray, settings: FinetuneSettings
) -> GeneformerCellClassifier:
    """A classifier with a new head on a copy of a backbone."""
    backbone = copy_backbone(given)
    if backbone.vocabulary_checksum is None and cells.vocabulary_checksum is not None:
        backbone.vocabulary_checksum = cells.vocabulary_checksum
        backbone.special_token_ids = tuple(sorted(cells.special_tokens.values()))
    offsets = scales = None
    if labels.task == "regression":
        # Of float64: in float32 equal numbers have a spread, of rounding.
        values = labels.values[train].astype(np.float64)
        offsets, scales = values.mean(axis=0), values.std(axis=0)
        if not (scales > 0).all():
            raise ValueError(
                f"All training cells have the same {labels.names[int(scales.argmin())]!r}: there "
                "is nothing to learn."
            )
    return GeneformerCellClassifier(
        backbone,
        classes=labels.names,
        pooling=settings.pooling,
        head_layers=settings.head_layers,
        head_dropout=settings.head_dropout,
        task=labels.task,
        offsets=offsets,
        scales=scales,
    )


def _training_batches(
    cells: Any,
    labels: CellLabels,
    train: np.ndarray,
    classifier: GeneformerCellClassifier,
    settings: FinetuneSettings,
    distribution: Distribution,
) -> TargetBatches:
    """Batches of the training cells, and of no other."""
    if settings.sampling is not None and labels.task != "single-label":
        raise ValueError(
            f"Received sampling={settings.sampling!r} for a {labels.task} task: cells are sampled "
            "by their class, of which they have one each only in a single-label task."
        )
    places = train
    if settings.sampling in ("upsample", "downsample"):
        places = train[resample(labels.values[train], settings.sampling, settings.seed)]
    values = labels.values[places]
    if labels.task == "regression":
        values = ((values - classifier.offsets) / classifier.scales).astype(np.float32)

    def targets(rows: np.ndarray, token_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return values[rows], np.ones(len(rows), dtype=np.float32)

    return TargetBatches(
        cells.subset(labels.rows[places]),
        targets,
        classes=values if settings.sampling == "balanced" else None,
        multiple=distribution.devices,
        batch_size=settings.batch_size,
        shuffle=True,
        seed=settings.seed,
        max_length=classifier.backbone.max_sequence_length,
    )


def _objective(labels: CellLabels, train: np.ndarray, settings: FinetuneSettings) -> Any:
    weights = None
    if settings.class_weights is not None and labels.task == "regression":
        raise ValueError(
            f"Received class_weights={settings.class_weights!r} for a regression, which has no "
            "classes: leave it out."
        )
    if settings.class_weights is not None:
        weights = class_weights(
            labels.values[train], len(labels.names), settings.class_weights, classes=labels.names
        )
    return make_loss(
        settings.loss,
        task=labels.task,
        num_classes=len(labels.names),
        class_weights=weights,
        label_smoothing=settings.label_smoothing,
        focal_gamma=settings.focal_gamma,
    )


def _described(
    label_key: Any,
    labels: CellLabels,
    backbone: Any,
    settings: FinetuneSettings,
    validation: Any,
    test: Any,
    group_key: str | None,
) -> dict[str, Any]:
    """The run in plain values, for run.json and the report."""

    def said(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {
                str(column): str(held) if np.isscalar(held) else sorted(map(str, held))
                for column, held in value.items()
            }
        if value is None or isinstance(value, (str, float, int)):
            return value
        return f"{len(value)} cells by name"

    described: dict[str, Any] = {
        "label_key": label_key if isinstance(label_key, str) else list(label_key),
        "task": labels.task,
        "classes": labels.names,
        "cells": len(labels.rows),
        "validation": said(validation),
        "test": said(test),
        "group_key": group_key,
        "backbone": {
            "layers": backbone.num_layers,
            "hidden_dim": backbone.hidden_dim,
            "weights": int(backbone.count_params()),
            "vocabulary": backbone.vocabulary_checksum,
        },
        "settings": dataclasses.asdict(settings),
    }
    if labels.task == "single-label":
        counts = np.bincount(labels.values, minlength=len(labels.names))
        described["cells_of_class"] = dict(zip(labels.names, counts.tolist()))
    return described
