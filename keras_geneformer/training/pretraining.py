"""Pretraining: guess masked genes from the others."""

import math
import os
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_geneformer.data.compatibility import check_vocabulary
from keras_geneformer.data.loader import CellBatches
from keras_geneformer.data.masking import Masking
from keras_geneformer.models.backbone import GeneformerBackbone
from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.training.checkpoints import Checkpoints
from keras_geneformer.training.loop import train
from keras_geneformer.training.objective import masked_lm_loss, masked_lm_metrics
from keras_geneformer.training.optimizers import adamw
from keras_geneformer.training.schedules import WarmupSchedule
from keras_geneformer.training.step import Step, compile_step

_SPECIAL = ("<pad>", "<mask>", "<cls>", "<eos>")


@dataclass(frozen=True)
class PretrainResult:
    """What pretraining leaves behind."""

    model: GeneformerMaskedLM
    """The trained model."""
    history: pd.DataFrame
    """One row a step: `step`, `epoch`, `loss`, `accuracy`, `top5`, `learning_rate`, and, with
    validation cells, `validation_loss`, `validation_accuracy`, `validation_top5` and
    `validation_perplexity` at the last step of each epoch. Losses are mean cross-entropies (nats)
    over masked positions, accuracy and top5 the shares of these whose gene has the highest score,
    or one of the five highest; perplexity is e to the loss: among so many genes, equally likely,
    one would guess as well."""


def pretrain(
    model: Any,
    cells: Any,
    *,
    epochs: int = 1,
    steps: int | None = None,
    batch_size: int | None = None,
    max_tokens: int | None = None,
    learning_rate: float = 1e-3,
    warmup: float = 0.1,
    decay: str = "linear",
    weight_decay: float = 0.001,
    mask_rate: float = 0.15,
    published: bool = False,
    validation: Any = None,
    seed: int = 0,
    checkpoints: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1000,
    keep_checkpoints: int = 2,
    progress: bool = True,
) -> PretrainResult:
    """Train a masked LM on cells: 15 % of a cell's genes are hidden, and guessed from the rest.

    The objective and optimizer of Theodoris et al. (Nature 2023): AdamW with a linear warm-up and
    decay, decoupled weight decay .001 on everything but biases and LayerNorm, gradients clipped to
    norm 1. Global random seeds (of Python, numpy and the backend) are set from `seed`.

    Args:
        model: a `GeneformerMaskedLM`, or a `GeneformerBackbone`, which is given a masked-LM head.
            Its weights are trained in place.
        cells: a `CellDataset`.
        epochs: passes over the cells.
        steps: in place of `epochs`, batches to train on.
        batch_size: cells a batch, 12 by default (as published).
        max_tokens: in place of `batch_size`, padded tokens a batch at most.
        learning_rate: the peak.
        warmup: share of the steps on which the rate rises from 0 to the peak.
        decay: how it falls afterwards: `"linear"`, `"cosine"` or `"constant"`.
        weight_decay: decoupled weight decay.
        mask_rate: share of a cell's genes that is masked.
        published: mask as the published package does (see `Masking`).
        validation: cells (a `CellDataset`) on which loss and accuracy are taken after each epoch,
            always masked alike.
        seed: of shuffling, masks and dropout.
        checkpoints: a directory in which the state of the run is kept. The same call with the
            same directory goes on where it was stopped, killed or pre-empted (SIGTERM saves the
            state and exits with code 0); on a CPU the result is that of the uninterrupted run,
            bit for bit.
        checkpoint_every: steps from one state to the next.
        keep_checkpoints: how many states to keep.
        progress: show a bar.

    Returns:
        The model and its history.

    Raises:
        ValueError: `checkpoints` holds states of another run; the cells are of another
            vocabulary, too long, empty, or without the tokens
            `<pad>` and `<mask>`; or an option is out of range.
        FloatingPointError: the loss is no longer finite.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> result = pretrain(tiny_backbone(), synthetic_dataset(24), progress=False)
        >>> len(result.history)
        2
    """
    masked_lm = _masked_lm(model)
    backbone = masked_lm.backbone
    for given in (cells, validation):
        if given is not None:
            check_vocabulary(
                given,
                masked_lm.vocabulary_checksum,
                backbone.vocabulary_size,
                backbone.max_sequence_length,
                backbone.special_token_ids,
            )
    if (epochs if steps is None else steps) < 1:
        raise ValueError(f"Nothing to train: epochs={epochs}, steps={steps}; expected 1 or more.")
    if checkpoint_every < 1:
        raise ValueError(f"Received checkpoint_every={checkpoint_every}; expected 1 or more steps.")
    if not 0.0 <= warmup <= 1.0:
        raise ValueError(f"warmup is a share of the steps, between 0 and 1, not {warmup}.")
    keras.utils.set_random_seed(seed)
    # A dataset that others wrote does not name its special tokens; the model knows their ids.
    special = cells.special_tokens or dict(zip(_SPECIAL, backbone.special_token_ids))
    masking = Masking(backbone.vocabulary_size, special, mask_rate, published=published, seed=seed)
    batches = CellBatches(
        cells,
        batch_size=batch_size,
        max_tokens=max_tokens,
        masking=masking,
        shuffle=True,
        seed=seed,
        max_length=backbone.max_sequence_length,
    )
    total = steps if steps is not None else epochs * len(batches)
    schedule = WarmupSchedule(learning_rate, total, round(warmup * total), decay)
    masked_lm.compile(
        optimizer=adamw(schedule, weight_decay),
        loss=masked_lm_loss(),
        weighted_metrics=masked_lm_metrics(),
    )
    if backbone.vocabulary_checksum is None and cells.vocabulary_checksum is not None:
        backbone.vocabulary_checksum = cells.vocabulary_checksum
        backbone.special_token_ids = tuple(sorted(cells.special_tokens.values()))
    after_epoch = None
    if validation is not None:
        held = CellBatches(
            validation,
            batch_size=batches.batch_size,
            max_tokens=max_tokens,
            masking=masking,
            max_length=backbone.max_sequence_length,
        )
        test = compile_step(masked_lm, held[0], training=False)

        def after_epoch(epoch: int) -> dict[str, float]:
            return _validate(test, held)

    kept = None
    if checkpoints is not None:
        run = {
            "cells": len(cells),
            "tokens": int(np.sum(cells.lengths, dtype=np.int64)),
            "vocabulary": cells.vocabulary_checksum,
            "validation_cells": 0 if validation is None else len(validation),
            "steps": total,
            "batch_size": batches.batch_size,
            "max_tokens": max_tokens,
            "schedule": schedule.get_config(),
            "weight_decay": weight_decay,
            "masking": [mask_rate, published],
            "seed": seed,
        }
        kept = Checkpoints(checkpoints, run, keep_checkpoints)
    history = train(
        masked_lm,
        batches,
        total,
        progress=progress,
        description="pretrain",
        after_epoch=after_epoch,
        checkpoints=kept,
        checkpoint_every=checkpoint_every,
    )
    return PretrainResult(masked_lm, history)


def _masked_lm(model: Any) -> GeneformerMaskedLM:
    if isinstance(model, GeneformerMaskedLM):
        return model
    if isinstance(model, GeneformerBackbone):
        return GeneformerMaskedLM(model)
    raise ValueError(
        f"Received a {type(model).__name__} to pretrain; expected a GeneformerMaskedLM or a "
        "GeneformerBackbone (from_preset loads either)."
    )


def _validate(step: Step, batches: CellBatches) -> dict[str, float]:
    """Loss and metrics over all masked positions of the validation cells."""
    sums: dict[str, float] = {}
    masked = 0.0
    for index in range(len(batches)):
        batch = batches[index]
        number = float(batch[2].sum())
        masked += number
        for name, value in step(batch).items():
            sums[name] = sums.get(name, 0.0) + number * value
    means = {f"validation_{name}": total / masked for name, total in sums.items()}
    # Beyond e**700 a float is infinite, as is what a loss so high says.
    return means | {"validation_perplexity": math.exp(min(means["validation_loss"], 700.0))}
