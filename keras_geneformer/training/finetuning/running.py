"""A fine-tuning run: what learns, at which rate, from which batches, and when it ends."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_geneformer.compression.gradual_pruning import GradualPruning
from keras_geneformer.training.distribution import Distribution, connect
from keras_geneformer.training.finetuning.batches import TargetBatches
from keras_geneformer.training.finetuning.determinism import deterministic
from keras_geneformer.training.finetuning.finetuning_model import FinetuningModel, Objective
from keras_geneformer.training.finetuning.freezing import freeze_at
from keras_geneformer.training.finetuning.frozen_states import frozen_states
from keras_geneformer.training.finetuning.layer_rates import layer_rates
from keras_geneformer.training.finetuning.learnable import finish_learnable, prepare_learnable
from keras_geneformer.training.finetuning.optimizer_state import carry_moments
from keras_geneformer.training.finetuning.settings import FinetuneSettings
from keras_geneformer.training.loop import train
from keras_geneformer.training.optimizers import adamw
from keras_geneformer.training.step import Step, compile_distributed_step

AfterEpoch = Callable[[int], dict[str, float]]


def run_finetuning(
    model: Any,
    batches: TargetBatches,
    settings: FinetuneSettings,
    *,
    objective: Objective,
    after_epoch: AfterEpoch | None = None,
    distribution: Distribution | None = None,
    progress: bool = False,
    description: str = "fine-tune",
) -> pd.DataFrame:
    """Train a model with a head, in place.

    Args:
        model: has a `backbone`, and where it can do with less than a call of itself, a method
            `network(above)` (`GeneformerCellClassifier.network`).
        batches: what it learns from.
        settings: how.
        objective: `objective(labels, scores, weights)`.
        after_epoch: called with the epoch's number, from 1; gives what is noted of the epoch. Of
            a `score` among it, greater is better: the weights of the best epoch are kept, and
            `settings.early_stopping` counts from it.
        distribution: from `connect`, in whose scope the model was made.
        progress: show a bar.
        description: of the bar.

    Returns:
        One row a step, as `loop.train` gives it.
    """
    distribution = connect(None) if distribution is None else distribution
    prepare_learnable(model, settings)
    above = 0
    states = frozen_states(model, batches, settings)
    if states is not None:
        above, batches = settings.freeze_layers, states
    network = model.network(above) if hasattr(model, "network") else model
    steps = settings.steps(batches.steps_per_epoch)
    stages = _Stages(network, model.backbone, batches, settings, objective, steps, distribution)
    best = _Best(model, after_epoch, settings.early_stopping, stages.pruning)
    with deterministic() if settings.deterministic else nullcontext():
        history = train(
            stages.model,
            batches,
            steps,
            step=stages,
            progress=progress,
            description=description,
            after_epoch=None if after_epoch is None else best,
        )
    best.restore()
    finish_learnable(model, settings)
    return history


def check_stopping(settings: FinetuneSettings, validation: Any) -> None:
    """Refuse early stopping where no cell can tell when.

    Args:
        settings: of the run.
        validation: places of the validation cells.

    Raises:
        ValueError: `early_stopping` is set, and there are none.
    """
    if settings.early_stopping is not None and not len(validation):
        raise ValueError(
            f"Received early_stopping={settings.early_stopping} without validation cells, whose "
            "score it goes by: hold some out, or leave it out."
        )


class _Stages:
    """The compiled step, made anew each time that more blocks begin to learn."""

    def __init__(
        self,
        network: Any,
        backbone: Any,
        batches: TargetBatches,
        settings: FinetuneSettings,
        objective: Objective,
        steps: int,
        distribution: Distribution,
    ) -> None:
        self._backbone = backbone
        self._first = batches[0]
        self._settings = settings
        self._schedule = settings.schedule(steps)
        self._distribution = distribution
        self._done = 0
        self.pruning: GradualPruning | None = None
        if settings.prune is not None and settings.prune_schedule is not None:
            self.pruning = GradualPruning(backbone, settings.prune, settings.prune_steps(steps))
        self._epoch_length = batches.steps_per_epoch
        with distribution.scope():
            self.model = FinetuningModel(network, objective)
            self._compile()

    def __call__(self, batch: tuple) -> dict[str, float]:
        epoch = self._done / self._epoch_length
        if self._settings.unfreeze is not None and freeze_at(self._backbone, self._settings, epoch):
            before = self.model.optimizer
            with self._distribution.scope():
                self._compile()
                carry_moments(before, self.model.optimizer)
        self._done += 1
        logs = self._step(batch)
        if self.pruning is not None:
            logs = logs | {"pruned": self.pruning.after(self._done)}
        return logs

    def _compile(self) -> None:
        settings = self._settings
        optimizer = adamw(self._schedule, settings.weight_decay, settings.clip_norm)
        if settings.layer_decay < 1:
            optimizer.rates = layer_rates(self.model, self._backbone, settings.layer_decay)
        jit = False if keras.config.backend() == "tensorflow" else "auto"
        self.model.compile(optimizer=optimizer, jit_compile=jit)
        optimizer.build(self.model.trainable_variables)
        self._step: Step = compile_distributed_step(self.model, self._distribution, self._first)


class _Best:
    """The weights of the best epoch, and whether a better one is still hoped for."""

    def __init__(
        self,
        model: Any,
        after_epoch: AfterEpoch | None,
        patience: int | None,
        pruning: GradualPruning | None = None,
    ) -> None:
        self._model = model
        self._after_epoch = after_epoch
        self._patience = patience
        self._pruning = pruning
        self._score = -np.inf
        self._epoch = 0
        self._weights: list[np.ndarray] | None = None

    def __call__(self, epoch: int) -> dict[str, Any]:
        found = dict(self._after_epoch(epoch)) if self._after_epoch is not None else {}
        score = found.pop("score", None)
        if score is None:
            return found
        if self._pruning is not None and not self._pruning.finished:
            # Weights of which fewer are 0 than were asked for are no candidates.
            self._epoch = epoch
            return found
        if score > self._score:
            self._score, self._epoch = score, epoch
            self._weights = self._model.get_weights()
        if self._patience is not None and epoch - self._epoch >= self._patience:
            found["stop"] = True
        return found

    def restore(self) -> None:
        if self._weights is not None:
            self._model.set_weights(self._weights)
