"""Fine-tuning on several obs columns at once: one backbone, a head a column."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import ops

from keras_geneformer.data.compatibility import check_vocabulary
from keras_geneformer.data.inference import Forward, compile_forward
from keras_geneformer.models.backbone_of import backbone_of, copy_backbone
from keras_geneformer.models.multitask_classifier import GeneformerMultiTaskClassifier
from keras_geneformer.training.distribution import connect
from keras_geneformer.training.finetuning.batches import TargetBatches
from keras_geneformer.training.finetuning.class_weights import class_weights
from keras_geneformer.training.finetuning.losses import make_loss
from keras_geneformer.training.finetuning.multitask_prediction import task_scores, task_table
from keras_geneformer.training.finetuning.multitask_result import MultiTaskResult, write_tasks
from keras_geneformer.training.finetuning.output import check_output, kept_vocabulary
from keras_geneformer.training.finetuning.running import check_stopping, run_finetuning
from keras_geneformer.training.finetuning.settings import FinetuneSettings
from keras_geneformer.training.finetuning.task_labels import (
    TaskLabels,
    read_task_labels,
    split_task_cells,
)
from keras_geneformer.training.finetuning.task_objective import TaskObjective
from keras_geneformer.training.metrics import classification_metrics, confusion_table


def finetune_multitask(
    model_or_preset: Any,
    cells: Any,
    label_keys: Sequence[str],
    *,
    task_weights: str | Mapping[str, float] | None = "uncertainty",
    validation: Any = 0.1,
    test: Any = None,
    group_key: str | None = None,
    output: str | os.PathLike | None = None,
    vocabulary: Any = None,
    progress: bool = True,
    **settings: Any,
) -> MultiTaskResult:
    """Train a classifier of several obs columns at once, from a pretrained (or random) backbone.

    The classifier is built on a copy of the backbone, with its weights: what was passed in is not
    changed. A cell without a label in some columns trains the others alone. The weights kept are
    those of the epoch with the best macro-F1, averaged over tasks, on the validation cells. Global
    random seeds (of Python, numpy and the backend) are set from `seed`.

    Picture: `kg.plotting.learning_curves`, and of each task `class_recall`, `confusion_matrix`.

    Args:
        model_or_preset: a `GeneformerBackbone`, or a model on one, or the name or directory of a
            preset.
        cells: a `CellDataset`.
        label_keys: columns of `cells.obs`, a task each. Cells without a label in any are left out,
            with a warning.
        task_weights: `"uncertainty"`, learnt (`TaskObjective`); a number for each column; or None,
            1 each.
        validation: share of the cells to hold out, of every combination of labels alike; or what
            else `finetune_cells` takes.
        test: cells that are looked at once, at the end, given in the same ways; None for none.
        group_key: column of `cells.obs` of which no value may be on two sides of the split.
        output: a directory to write: the classifier's preset, and history.csv, metrics.csv,
            predictions.csv, confusion.csv and run.json beside it.
        vocabulary: the `GeneVocabulary` to keep in `output`; that of a given preset by default.
        progress: show a bar.
        **settings: how to train, as in `FinetuneSettings`; `pooling` is `"attention"` unless given.
            `sampling` is not for several tasks, and class weights are found, not given by name.

    Returns:
        The classifier and how it did, a row a task.

    Raises:
        ValueError: columns that are not there or hold one class only, cells on two sides of the
            split, an option out of range or of no use here, or cells of another vocabulary.
        FileExistsError: `output` holds something that is not a preset.
        FloatingPointError: the loss is no longer finite.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> cells = synthetic_dataset(60)
        >>> result = finetune_multitask(
        ...     tiny_backbone(), cells, ["cell_type", "donor"], progress=False)
        >>> result.metrics.index.tolist()
        ['cell_type', 'donor']
    """
    chosen = FinetuneSettings(**{"pooling": "attention", **settings})
    _check_settings(chosen)
    labels = read_task_labels(cells, label_keys)
    split = split_task_cells(
        cells, labels, validation=validation, test=test, group_key=group_key, seed=chosen.seed
    )
    check_stopping(chosen, split.validation)
    losses = _losses(labels, split.train, chosen)
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
        classifier = _classifier(given, cells, labels, chosen)
        objective = TaskObjective(losses, task_weights)
    batches = _training_batches(cells, labels, split.train, classifier, chosen, distribution)
    forward = compile_forward(classifier.joined_scores())
    held = _HeldOut(classifier, cells, labels, split.validation, objective)
    history = run_finetuning(
        classifier,
        batches,
        chosen,
        objective=objective,
        after_epoch=partial(held.after_epoch, forward) if len(split.validation) else None,
        distribution=distribution,
        progress=progress,
    )
    if chosen.lora is not None:
        # A graph of the adapters, which are merged by now.
        forward = compile_forward(classifier.joined_scores())
    metrics, predictions = held.judged(forward)
    tested = _HeldOut(classifier, cells, labels, split.test, objective)
    test_metrics, test_predictions = tested.judged(forward)
    result = MultiTaskResult(
        model=classifier,
        history=history,
        metrics=metrics,
        predictions=predictions,
        confusions={
            task: confusion_table(
                table["true"].to_numpy(), table["label"].to_numpy(), labels.names[task]
            )
            for task, table in predictions.items()
            if len(table)
        },
        test_metrics=test_metrics,
        test_predictions=test_predictions,
        run={
            "label_keys": list(labels.names),
            "classes": labels.names,
            "cells": len(labels.rows),
            "training_cells": len(split.train),
            "task_weights": (
                task_weights if isinstance(task_weights, str) else objective.task_weights()
            ),
            "settings": dataclasses.asdict(chosen),
        },
    )
    if output is not None:
        write_tasks(result, output, vocabulary)
    return result


class _HeldOut:
    """Validation or test cells, and what the classifier says of them when asked."""

    def __init__(
        self,
        classifier: GeneformerMultiTaskClassifier,
        cells: Any,
        labels: TaskLabels,
        places: np.ndarray,
        objective: TaskObjective,
    ) -> None:
        self._classifier = classifier
        self._true = labels.values[places]
        self._cells = cells.subset(labels.rows[places])
        self._objective = objective

    def after_epoch(self, forward: Forward, epoch: int) -> dict[str, float]:
        """Loss, macro-F1 and weight of each task, and the `score` that chooses among epochs."""
        scores = task_scores(self._classifier, forward, self._cells)
        tables = self._tables(scores)
        metrics = self._metrics(tables)
        told = _by_task(self._true, self._classifier.tasks)
        loss = self._objective(told[0], scores, told[1])
        found = {"validation_loss": float(ops.convert_to_numpy(loss))}
        for task, row in metrics.iterrows():
            found[f"validation_macro_f1_{task}"] = row["macro_f1"]
            found[f"weight_{task}"] = row["weight"]
        found["score"] = float(metrics["macro_f1"].mean())
        return found

    def judged(self, forward: Forward) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
        """Metrics, a row a task, and the predictions beside the truth."""
        if not len(self._true):
            return pd.DataFrame(), {}
        tables = self._tables(task_scores(self._classifier, forward, self._cells))
        return self._metrics(tables), tables

    def _tables(self, scores: dict[str, np.ndarray]) -> dict[str, pd.DataFrame]:
        """By task the predictions of the cells that have a label, beside it."""
        tables = {}
        for number, (task, classes) in enumerate(self._classifier.tasks.items()):
            labelled = self._true[:, number] >= 0
            table = task_table(scores[task][labelled], classes, self._cells.obs.index[labelled])
            true = np.asarray(classes, dtype=object)[self._true[labelled, number]]
            table.insert(0, "true", true)
            tables[task] = table
        return tables

    def _metrics(self, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
        weights = self._objective.task_weights()
        rows = {}
        for task, table in tables.items():
            found = {"accuracy": np.nan, "macro_f1": np.nan}
            if len(table):
                found = classification_metrics(
                    table["true"].to_numpy(dtype=str), table["label"].to_numpy(dtype=str)
                )
            counted = {"classes": len(self._classifier.tasks[task]), "cells": len(table)}
            rows[task] = counted | found | {"weight": weights[task]}
        metrics = pd.DataFrame.from_dict(rows, orient="index").rename_axis("task")
        return metrics.astype({"classes": int, "cells": int})


def _check_settings(settings: FinetuneSettings) -> None:
    if settings.sampling is not None:
        raise ValueError(
            f"Received sampling={settings.sampling!r} for several tasks: cells are sampled by "
            "their class, of which they have several here. Use class_weights='balanced'."
        )
    if isinstance(settings.class_weights, Mapping):
        raise ValueError(
            "Received class_weights by name for several tasks; expected 'balanced' or "
            "'effective_number', which are found for each task, or None."
        )


def _losses(labels: TaskLabels, train: np.ndarray, settings: FinetuneSettings) -> dict[str, Any]:
    losses = {}
    for number, (task, classes) in enumerate(labels.names.items()):
        weights = None
        if settings.class_weights is not None:
            weights = class_weights(
                labels.values[train, number], len(classes), settings.class_weights
            )
        losses[task] = make_loss(
            settings.loss,
            task="single-label",
            num_classes=len(classes),
            class_weights=weights,
            label_smoothing=settings.label_smoothing,
            focal_gamma=settings.focal_gamma,
        )
    return losses


def _classifier(
    given: Any, cells: Any, labels: TaskLabels, settings: FinetuneSettings
) -> GeneformerMultiTaskClassifier:
    """A classifier with new heads on a copy of a backbone."""
    backbone = copy_backbone(given)
    if backbone.vocabulary_checksum is None and cells.vocabulary_checksum is not None:
        backbone.vocabulary_checksum = cells.vocabulary_checksum
        backbone.special_token_ids = tuple(sorted(cells.special_tokens.values()))
    return GeneformerMultiTaskClassifier(
        backbone,
        tasks=labels.names,
        pooling=settings.pooling,
        head_layers=settings.head_layers,
        head_dropout=settings.head_dropout,
    )


def _training_batches(
    cells: Any,
    labels: TaskLabels,
    train: np.ndarray,
    classifier: GeneformerMultiTaskClassifier,
    settings: FinetuneSettings,
    distribution: Any,
) -> TargetBatches:
    values = labels.values[train]

    def targets(rows: np.ndarray, token_ids: np.ndarray) -> tuple[dict, dict]:
        return _by_task(values[rows], labels.names)

    return TargetBatches(
        cells.subset(labels.rows[train]),
        targets,
        multiple=distribution.devices,
        batch_size=settings.batch_size,
        shuffle=True,
        seed=settings.seed,
        max_length=classifier.backbone.max_sequence_length,
    )


def _by_task(
    values: np.ndarray, tasks: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Labels, and weights, 0 where there is no label, as dicts by task."""
    labels = {task: np.maximum(values[:, number], 0) for number, task in enumerate(tasks)}
    weights = {
        task: (values[:, number] >= 0).astype(np.float32) for number, task in enumerate(tasks)
    }
    return labels, weights
