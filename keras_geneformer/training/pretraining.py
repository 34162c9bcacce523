"""Pretraining: guess masked genes from the others."""

import math
import os
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_geneformer.compression.quantized_layers import refuse_quantized
from keras_geneformer.data.batch_source import BatchSource
from keras_geneformer.data.compatibility import check_vocabulary
from keras_geneformer.data.masking import Masking
from keras_geneformer.models.backbone import GeneformerBackbone
from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.training.checkpoints import Checkpoints
from keras_geneformer.training.distribution import Distribution, connect, whole_value
from keras_geneformer.training.ending import Ending
from keras_geneformer.training.loop import DRIVERS, fit, train
from keras_geneformer.training.lost_workers import workers_named
from keras_geneformer.training.optimizers import adamw
from keras_geneformer.training.pretraining_model import PretrainingModel
from keras_geneformer.training.run_log import RunLog
from keras_geneformer.training.schedules import WarmupSchedule
from keras_geneformer.training.step import Step, compile_distributed_step

_SPECIAL = ("<pad>", "<mask>", "<cls>", "<eos>")


@dataclass(frozen=True)
class PretrainResult:
    """What pretraining leaves behind."""

    model: GeneformerMaskedLM
    """The trained model."""
    history: pd.DataFrame
    """One row a step: `step`, `epoch`, `loss`, `accuracy`, `top5`, `learning_rate`, `tokens` (real
    ones), `seconds` since the start (of all sittings of a run), and, with
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
    packed: int | None = None,
    bucket_count: int | None = None,
    accumulate: int = 1,
    learning_rate: float = 1e-3,
    warmup: float = 0.1,
    decay: str = "linear",
    weight_decay: float = 0.001,
    clip_norm: float | None = 1.0,
    ema: float | None = None,
    mask_rate: float = 0.15,
    published: bool = False,
    chunk: int | None = None,
    recompute: bool = False,
    validation: Any = None,
    seed: int = 0,
    began_with: str | None = None,
    distribute: str | None = None,
    driver: str = "loop",
    callbacks: list | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1000,
    keep_checkpoints: int = 2,
    log: str | os.PathLike[str] | None = None,
    tensorboard: bool = False,
    progress: bool = True,
) -> PretrainResult:
    """Train a masked LM on cells: 15 % of a cell's genes are hidden, and guessed from the rest.

    The objective and optimizer of Theodoris et al. (Nature 2023): AdamW with a linear warm-up and
    decay, decoupled weight decay .001 on everything but biases and LayerNorm, gradients clipped to
    norm 1. Global random seeds (of Python, numpy and the backend) are set from `seed`.

    A step is one batch, whatever the number of devices and micro-batches: each takes a share of its
    rows, and the loss is the sum over all masked positions divided by their number. Without dropout
    the losses are those of one device, to rounding.

    Picture: `kg.plotting.loss_curve` of the history.

    Args:
        model: a `GeneformerMaskedLM`, or a `GeneformerBackbone`, which is given a masked-LM head.
            Its weights are trained in place.
        cells: a `CellDataset`.
        epochs: passes over the cells.
        steps: in place of `epochs`, batches to train on.
        batch_size: cells a batch, 12 by default (as published, on each of 12 GPUs); rows a batch
            where cells are packed. All devices together.
        max_tokens: in place of `batch_size`, padded tokens a batch at most.
        packed: put several cells in a row of so many tokens (see `BatchSource`); None for a row a
            cell.
        bucket_count: how many padded lengths there are. Default: 10 on JAX, which compiles a step
            for each, and 64 elsewhere.
        accumulate: micro-batches into which each device splits its share, so as to need less
            memory.
        learning_rate: the peak.
        warmup: share of the steps on which the rate rises from 0 to the peak; a whole number is the
            number of these steps.
        decay: how it falls afterwards: `"linear"`, `"cosine"` or `"constant"`.
        weight_decay: decoupled weight decay.
        clip_norm: greatest global norm of the gradients; None for no clipping.
        ema: momentum of a moving average of the weights (.999, say), which the trained model gets
            in the end; None for none. Validation during the run is of the weights themselves.
        mask_rate: share of a cell's genes that is masked.
        published: mask as the published package does (see `Masking`).
        chunk: positions scored at a time, so that a vocabulary's scores never exist for a whole
            batch; None for all at once.
        recompute: keep only each block's input, and compute the rest again on the way back: slower,
            and far less memory.
        validation: cells (a `CellDataset`) on which loss and accuracy are taken after each epoch,
            always masked alike.
        seed: of shuffling, masks and dropout.
        began_with: what the model's weights are (a preset's name and digest, say). Checkpoints of a
            run that began with others are refused.
        distribute: devices to train on (`keras_geneformer.training.distribution.connect`):
            `"mirrored"`, `"multiworker"` or `"tpu"` on TensorFlow, `"jax-data"` or `"jax-model"` on
            JAX; None for one. Where several processes train together, each calls this alike, with
            the same `checkpoints` directory, and `connect` comes before the model is made.
        driver: `"loop"`, or `"fit"` for Keras's own `fit`, which takes `callbacks`.
        callbacks: Keras callbacks, for `driver="fit"`. `model.masked_lm` is the model there.
        checkpoints: a directory in which the state of the run is kept. The same call with the
            same directory goes on where it was stopped, killed or pre-empted (SIGTERM saves the
            state and exits with code 0); on a CPU the result is that of the uninterrupted run,
            bit for bit. The number of devices, `accumulate`, `chunk` and `recompute` may be others
            then.
        checkpoint_every: steps from one state to the next.
        keep_checkpoints: how many states to keep.
        log: a directory for log.csv, a row a step.
        tensorboard: besides, TensorBoard scalars there.
        progress: show a bar.

    Returns:
        The model and its history.

    Raises:
        ValueError: `checkpoints` holds states of another run; the cells are of another
            vocabulary, too long, empty, or without the tokens
            `<pad>` and `<mask>`; or an option is out of range or not for this backend.
        FloatingPointError: the loss is no longer finite.
        ConnectionError: another process of the run was lost; the message says how to go on.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> result = pretrain(tiny_backbone(), synthetic_dataset(24), progress=False)
        >>> len(result.history)
        2
    """
    masked_lm = _masked_lm(model)
    for given in (cells, validation):
        if given is not None:
            _check_cells(masked_lm, given)
    _check_options(
        epochs=epochs,
        steps=steps,
        checkpoint_every=checkpoint_every,
        accumulate=accumulate,
        learning_rate=learning_rate,
        clip_norm=clip_norm,
        warmup=warmup,
    )
    if tensorboard and log is None:
        raise ValueError("tensorboard=True without log: give log the directory of the scalars.")
    distribution = connect(distribute)
    _check_driver(driver, callbacks, distribution)
    keras.utils.set_random_seed(seed)
    # A dataset that others wrote does not name its special tokens; the model knows their ids.
    special = cells.special_tokens or dict(zip(_SPECIAL, masked_lm.backbone.special_token_ids))
    size = masked_lm.backbone.vocabulary_size
    masking = Masking(size, special, mask_rate, published=published, seed=seed)
    shared = {
        "batch_size": batch_size,
        "max_tokens": max_tokens,
        "masking": masking,
        "pack": packed,
        "bucket_count": bucket_count or default_bucket_count(),
        "max_length": masked_lm.backbone.max_sequence_length,
        "part": distribution.part,
        "multiple": distribution.devices * accumulate,
    }
    batches = BatchSource(cells, shuffle=True, seed=seed, **shared)
    total = steps if steps is not None else epochs * len(batches)
    rise = warmup if isinstance(warmup, int) and warmup >= 1 else round(warmup * total)
    schedule = WarmupSchedule(learning_rate, total, rise, decay)
    if masked_lm.vocabulary_checksum is None and cells.vocabulary_checksum is not None:
        masked_lm.backbone.vocabulary_checksum = cells.vocabulary_checksum
        masked_lm.backbone.special_token_ids = tuple(sorted(cells.special_tokens.values()))
    run = {
        "cells": len(cells),
        "tokens": int(np.sum(cells.lengths, dtype=np.int64)),
        "vocabulary": cells.vocabulary_checksum,
        "validation_cells": 0 if validation is None else len(validation),
        "validation_tokens": 0 if validation is None else int(np.sum(validation.lengths)),
        "model": _shape(masked_lm),
        "began_with": began_with,
        "steps": total,
        "batch_size": batches.batch_size,
        "max_tokens": max_tokens,
        "packed": packed,
        "lengths": [int(length) for length in batches.buckets],
        "schedule": schedule.get_config(),
        "weight_decay": weight_decay,
        "clip_norm": clip_norm,
        "ema": ema,
        "masking": [mask_rate, published],
        "seed": seed,
    }
    with distribution.scope():
        trained = masked_lm if distribution.name is None else _copy(masked_lm)
        trained.backbone.recompute_blocks(recompute)
        training = PretrainingModel(trained, accumulate, chunk)
        # Lengths vary: where Keras drives, TensorFlow's compiler would start anew at each.
        jit = False if keras.config.backend() == "tensorflow" else "auto"
        training.compile(adamw(schedule, weight_decay, clip_norm, ema), jit_compile=jit)
        training.optimizer.build(training.trainable_variables)
    after_epoch = None
    if validation is not None:
        held = BatchSource(validation, **shared)
        test = compile_distributed_step(training, distribution, held[0], training=False)

        def after_epoch(epoch: int) -> dict[str, float]:
            return _validate(test, held)

    kept = ending = None
    if checkpoints is not None:
        kept = Checkpoints(
            checkpoints,
            run,
            keep_checkpoints,
            writes=distribution.is_chief,
            told_by_all=distribution.told_by_all,
        )
        ending = Ending(checkpoints if distribution.part[1] > 1 else None)
        ending.clear()
    options = {
        "progress": progress and distribution.is_chief,
        "description": "pretrain",
        "after_epoch": after_epoch,
        "checkpoints": kept,
        "checkpoint_every": checkpoint_every,
        "ending": ending,
    }
    if log is not None and distribution.is_chief:
        options["log"] = partial(RunLog, log, tensorboard=tensorboard)
    with workers_named(distribution, kept):
        if driver == "fit":
            with distribution.scope():
                history = fit(
                    training,
                    batches,
                    total,
                    rate=lambda step: float(schedule(step)),
                    callbacks=callbacks,
                    **options,
                )
        else:
            step = compile_distributed_step(training, distribution, batches[0])
            history = train(training, batches, total, step=step, **options)
    if ema is not None:
        training.optimizer.finalize_variable_values(training.trainable_variables)
    trained.backbone.recompute_blocks(False)
    if trained is not masked_lm:
        for own, there in zip(masked_lm.variables, trained.variables):
            own.assign(whole_value(there))
    return PretrainResult(masked_lm, history)


def default_bucket_count() -> int:
    """How many padded lengths: JAX compiles a step for each, the others do not."""
    return 10 if keras.config.backend() == "jax" else 64


def _check_options(
    *,
    epochs: int,
    steps: int | None,
    checkpoint_every: int,
    accumulate: int,
    learning_rate: float,
    clip_norm: float | None,
    warmup: float,
) -> None:
    if (epochs if steps is None else steps) < 1:
        raise ValueError(f"Nothing to train: epochs={epochs}, steps={steps}; expected 1 or more.")
    if checkpoint_every < 1:
        raise ValueError(f"Received checkpoint_every={checkpoint_every}; expected 1 or more steps.")
    if accumulate < 1:
        raise ValueError(f"Received accumulate={accumulate}; expected 1 or more micro-batches.")
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"Received learning_rate={learning_rate}; expected a number above 0.")
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(f"Received clip_norm={clip_norm}; expected a number above 0, or None.")
    if not (isinstance(warmup, int) and warmup >= 1) and not 0.0 <= warmup <= 1.0:
        raise ValueError(
            f"warmup is a share of the steps, between 0 and 1, or a number of steps, not {warmup}."
        )


def _shape(masked_lm: GeneformerMaskedLM) -> dict[str, Any]:
    """What of a model's configuration decides what training gives."""
    config = masked_lm.backbone.get_config()
    kept = set(config) - {"name", "trainable", "vocabulary_checksum", "special_token_ids", "dtype"}
    shape = {name: config[name] for name in sorted(kept)}
    return shape | {"dtype": masked_lm.backbone.dtype_policy.name}


def _check_cells(masked_lm: GeneformerMaskedLM, cells: Any) -> None:
    backbone = masked_lm.backbone
    check_vocabulary(
        cells,
        masked_lm.vocabulary_checksum,
        backbone.vocabulary_size,
        backbone.max_sequence_length,
        backbone.special_token_ids,
    )


def _check_driver(driver: str, callbacks: list | None, distribution: Distribution) -> None:
    if driver not in DRIVERS:
        raise ValueError(f"Received driver={driver!r}; expected one of {', '.join(DRIVERS)}.")
    if callbacks and driver != "fit":
        raise ValueError("callbacks are Keras's: give driver='fit' with them.")
    if driver == "fit" and distribution.strategy is not None and distribution.part[1] > 1:
        raise ValueError(
            f"Keras's fit does not train under {distribution.name!r}: leave out driver='fit'."
        )


def _copy(masked_lm: GeneformerMaskedLM) -> GeneformerMaskedLM:
    """The same model with variables of the scope in force."""
    copied = GeneformerMaskedLM.from_config(masked_lm.get_config())
    copied.set_weights(masked_lm.get_weights())
    return copied


def _masked_lm(model: Any) -> GeneformerMaskedLM:
    if isinstance(model, keras.Model):
        refuse_quantized(model, "trained")
    if isinstance(model, GeneformerMaskedLM):
        return model
    if isinstance(model, GeneformerBackbone):
        return GeneformerMaskedLM(model)
    raise ValueError(
        f"Received a {type(model).__name__} to pretrain; expected a GeneformerMaskedLM or a "
        "GeneformerBackbone (from_preset loads either)."
    )


def _validate(step: Step, batches: BatchSource) -> dict[str, float]:
    """Loss and metrics over all masked positions of the validation cells."""
    sums: dict[str, float] = {}
    masked = 0.0
    for index in range(len(batches)):
        means = step(batches[index])
        weight = means.pop("masked")
        masked += weight
        for name, value in means.items():
            sums[name] = sums.get(name, 0.0) + weight * value
    # Published masks are drawn one by one: of very few cells, none may be.
    number = masked or math.nan
    shown = {f"validation_{name}": total / number for name, total in sums.items()}
    # Beyond e**700 a float is infinite, as is what a loss so high says.
    return shown | {"validation_perplexity": math.exp(min(shown["validation_loss"], 700.0))}
