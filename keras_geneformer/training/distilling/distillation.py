"""Distillation: a small model learns to give what a large one gives."""

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_geneformer.data.batch_source import BatchSource
from keras_geneformer.data.masking import Masking
from keras_geneformer.models.any_model import model_of
from keras_geneformer.models.backbone_of import backbone_of, copy_backbone
from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.models.preset_format import is_replaceable
from keras_geneformer.models.presets import check_model_vocabulary
from keras_geneformer.tokenization.publishing import check_destination, publish_directory
from keras_geneformer.training.distilling.card import card_text
from keras_geneformer.training.distilling.checks import (
    SETTINGS,
    check_cells,
    check_parts,
    check_student,
    check_teacher,
    student_settings,
)
from keras_geneformer.training.distilling.distill_result import DistillResult
from keras_geneformer.training.distilling.held_out import HeldOutCells, HeldOutGenes
from keras_geneformer.training.distilling.objective import DistillationObjective
from keras_geneformer.training.distilling.students import (
    TaughtStudent,
    chosen_blocks,
    frozen_teacher,
    shallower,
    student_of,
)
from keras_geneformer.training.finetuning.batches import TargetBatches
from keras_geneformer.training.finetuning.held_out import CellReader
from keras_geneformer.training.finetuning.labels import CellLabels, read_labels
from keras_geneformer.training.finetuning.running import check_stopping, run_finetuning
from keras_geneformer.training.finetuning.settings import FinetuneSettings
from keras_geneformer.training.finetuning.splitting import split_cells
from keras_geneformer.training.pretraining import default_bucket_count

_SPECIAL = ("<pad>", "<mask>", "<cls>", "<eos>")


def distill(
    teacher: Any,
    cells: Any,
    *,
    layers: int | Sequence[int] | None = None,
    student: Any = None,
    label_key: str | None = None,
    temperature: float = 2.0,
    soft: float = 5.0,
    hard: float | None = None,
    hidden: float = 1.0,
    validation: Any = 0.1,
    output: str | os.PathLike | None = None,
    vocabulary: Any = None,
    progress: bool = True,
    **settings: Any,
) -> DistillResult:
    """Train a smaller model on what a larger one says of cells.

    Of a masked LM the student learns the teacher's scores at masked genes, of a classifier of cells
    its scores of classes; besides, the truth and the teacher's hidden states
    (`DistillationObjective`). The teacher runs beside the student, without dropout. Global random
    seeds (of Python, numpy and the backend) are set from `seed`.

    Picture: `kg.plotting.teacher_and_student`, and `learning_curves` of the history.

    Args:
        teacher: a `GeneformerMaskedLM`, a `GeneformerCellClassifier` of single labels, or the name
            or directory of a preset of one. It is not changed.
        cells: a `CellDataset`. They need no labels.
        layers: blocks of the student: how many, spread evenly over the teacher's, or their numbers
            from 1. It begins with these blocks, the teacher's embeddings and its head.
        student: in place of `layers`, a backbone of the same vocabulary, or a model or preset of
            one; it is copied. Where its width is the teacher's, it gets the teacher's head.
        label_key: for a classifier, the column of `cells.obs` with the true classes; cells of
            others are left out. Without, the teacher's classes stand for the truth.
        temperature: by which scores are divided.
        soft, hard, hidden: how much scores, truth and hidden states count: 5, 2 and 1, as in
            DistilBERT. By default the truth counts nothing for a classifier without `label_key`.
        validation: cells that choose the epoch, as in `finetune_cells`; for a masked LM a share of
            the cells; None for none.
        output: a preset to write, with README.md, history.csv, metrics.json and run.json.
        vocabulary: the `GeneVocabulary` to keep in `output`; that of a given preset by default.
        progress: show a bar.
        **settings: how to train, as in `FinetuneSettings`: `epochs`, `batch_size` (12; less for a
            masked LM of a large vocabulary, whose scores exist twice), `learning_rate`,
            `early_stopping`, `seed` and others of `SETTINGS`.

    Returns:
        The student and how it does beside its teacher.

    Raises:
        ValueError: a teacher that is neither, a student of another vocabulary, both or neither of
            `layers` and `student`, an option out of range, or cells of another vocabulary; or a
            teacher that is quantized or has adapters.
        FileExistsError: `output` holds something that is not a preset.
        FloatingPointError: the loss is no longer finite.

    Source: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network" (2015); Sanh et
        al., "DistilBERT" (2019); Jiao et al., "TinyBERT" (2020).

    Example:
        >>> from keras_geneformer import GeneformerMaskedLM
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> result = distill(
        ...     GeneformerMaskedLM(tiny_backbone()), synthetic_dataset(24), layers=1,
        ...     progress=False)
        >>> result.model.backbone.num_layers
        1
    """
    chosen = student_settings(settings)
    check_parts(temperature, soft, hard, hidden)
    if (layers is None) == (student is None):
        raise ValueError("Give either layers, of the teacher's blocks, or a student.")
    if output is not None:
        check_destination(output, is_replaceable)
    teacher, vocabulary = model_of(teacher, vocabulary)
    check_teacher(teacher, label_key)
    if vocabulary is not None:
        check_model_vocabulary(teacher, vocabulary)
    check_cells(cells, teacher)
    blocks = None if layers is None else chosen_blocks(layers, teacher.backbone.num_layers)
    keras.utils.set_random_seed(chosen.seed)
    if blocks is not None:
        backbone = shallower(teacher.backbone, blocks)
    else:
        backbone = copy_backbone(backbone_of(student))
        check_student(backbone, teacher.backbone)
    learner = student_of(teacher, backbone)
    classifier = isinstance(teacher, GeneformerCellClassifier)
    if hard is None:
        hard = 0.0 if classifier and label_key is None else 2.0
    prepare = _cell_batches if classifier else _gene_batches
    batches, held = prepare(learner, teacher, cells, label_key, validation, chosen)
    history = run_finetuning(
        TaughtStudent(learner, frozen_teacher(teacher), hidden > 0),
        batches,
        chosen,
        objective=DistillationObjective(temperature, soft, hard, hidden),
        after_epoch=None if held is None else held.after_epoch,
        progress=progress,
        description="distill",
    )
    result = DistillResult(
        model=learner,
        history=history,
        metrics={} if held is None else held.judged(),
        parameters=int(learner.count_params()),
        teacher_parameters=int(teacher.count_params()),
        run={
            "cells": len(cells),
            "label_key": label_key,
            "teacher": type(teacher).__name__,
            "teacher_blocks": teacher.backbone.num_layers,
            "blocks": list(blocks) if blocks is not None else backbone.num_layers,
            "temperature": temperature,
            "soft": soft,
            "hard": hard,
            "hidden": hidden,
            "settings": {
                name: value
                for name, value in dataclasses.asdict(chosen).items()
                if name in SETTINGS
            },
        },
    )
    if output is not None:
        _write(result, output, vocabulary)
    return result


def _cell_batches(
    student: Any,
    teacher: Any,
    cells: Any,
    label_key: str | None,
    validation: Any,
    settings: FinetuneSettings,
) -> tuple[Any, HeldOutCells | None]:
    """Batches of cells with their classes, and what judges the student."""
    labels = _classes(teacher, cells, label_key)
    split = split_cells(cells, _present(labels), validation=validation, seed=settings.seed)
    check_stopping(settings, split.validation)
    values = labels.values[split.train]

    def targets(rows: np.ndarray, token_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return values[rows], np.ones(len(rows), dtype=np.float32)

    batches = TargetBatches(
        cells.subset(labels.rows[split.train]),
        targets,
        batch_size=settings.batch_size,
        shuffle=True,
        seed=settings.seed,
        max_length=teacher.backbone.max_sequence_length,
    )
    if not len(split.validation):
        return batches, None
    return batches, HeldOutCells(student, teacher, cells, labels, split.validation)


def _classes(teacher: Any, cells: Any, label_key: str | None) -> CellLabels:
    """Classes by the teacher's numbers: the true ones, or those it gives itself."""
    names = teacher.classes or [str(number) for number in range(teacher.num_classes)]
    if label_key is None:
        reader = CellReader(teacher)
        given = reader.scores(reader.features(cells)).argmax(axis=1).astype(np.int32)
        # Of a class with one cell none could be held out.
        several = np.flatnonzero(np.bincount(given, minlength=len(names))[given] > 1)
        return CellLabels("single-label", names, given[several], several)
    labels = read_labels(cells, label_key)
    known = np.isin(labels.text, names)
    if not known.any():
        raise ValueError(
            f"No cell of {label_key!r} is of a class of the teacher, which are {', '.join(names)}."
        )
    values = np.array([names.index(name) for name in labels.text[known]], dtype=np.int32)
    return CellLabels("single-label", names, values, labels.rows[known])


def _present(labels: CellLabels) -> CellLabels:
    """Labels of the same cells, by the classes that occur among them."""
    found, numbers = np.unique(labels.values, return_inverse=True)
    names = [labels.names[number] for number in found]
    return CellLabels(labels.task, names, numbers.astype(np.int32), labels.rows)


def _gene_batches(
    student: Any,
    teacher: Any,
    cells: Any,
    label_key: str | None,
    validation: Any,
    settings: FinetuneSettings,
) -> tuple[Any, HeldOutGenes | None]:
    """Batches of cells with masked genes, and what judges the student."""
    if validation is not None and not (isinstance(validation, float) and 0 < validation < 1):
        raise ValueError(
            f"Received validation={validation!r} for a masked LM; expected a share of the cells "
            "between 0 and 1, or None."
        )
    backbone = teacher.backbone
    order = np.random.default_rng(settings.seed).permutation(len(cells))
    held = 0 if validation is None else max(1, round(validation * len(cells)))
    check_stopping(settings, order[:held])
    if held >= len(cells):
        raise ValueError(f"Received {len(cells)} cell: of so few none is left to learn from.")
    special = cells.special_tokens or dict(zip(_SPECIAL, backbone.special_token_ids))
    options = {
        "batch_size": settings.batch_size,
        "masking": Masking(backbone.vocabulary_size, special, seed=settings.seed),
        "bucket_count": default_bucket_count(),
        "max_length": backbone.max_sequence_length,
    }
    batches = BatchSource(
        cells.subset(np.sort(order[held:])), shuffle=True, seed=settings.seed, **options
    )
    if not held:
        return batches, None
    return batches, HeldOutGenes(student, teacher, cells.subset(np.sort(order[:held])), options)


def _write(result: DistillResult, output: str | os.PathLike, vocabulary: Any) -> None:
    """The student's preset and its tables, all at once or not at all."""
    with publish_directory(output, is_replaceable) as partial:
        result.model.save_to_preset(partial, vocabulary=vocabulary)
        result.history.to_csv(partial / "history.csv", index=False)
        (partial / "metrics.json").write_text(json.dumps(result.metrics, indent=2) + "\n")
        (partial / "run.json").write_text(json.dumps(result.run, indent=2) + "\n")
        (partial / "README.md").write_text(card_text(result, os.path.basename(output)))
