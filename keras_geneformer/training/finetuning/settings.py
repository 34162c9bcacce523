"""How a fine-tuning run trains: every option in one place, checked before any work is done."""

import dataclasses
import math
import typing
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_geneformer.training.schedules import DECAYS, WarmupSchedule

CLASS_WEIGHTS = ("balanced", "effective_number")
SAMPLING = ("upsample", "downsample", "balanced")
QUANTIZED = ("int8", "int4")
PRUNE_SCHEDULES = ("cubic",)
DISTRIBUTED = ("mirrored", "tpu", "jax-data")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """How to train. `finetune_cells`, `finetune_genes`, `finetune_multitask`, `cross_validate`,
    `compare` and `search` take all of these as keywords.

    Example:
        >>> FinetuneSettings(epochs=3, loss="focal", freeze_layers=2).schedule(100).warmup_steps
        10
    """

    epochs: float = 1.0
    """Passes over the training cells; .6 ends within the first."""
    batch_size: int = 12
    """Cells a batch."""
    learning_rate: float = 5e-4
    """The peak. The published package has 5e-5, its tuned runs 8.04e-4 (with 6 layers)."""
    warmup: float = 0.1
    """Share of the steps on which the rate rises from 0; a whole number is the steps themselves. A
    rise longer than the run never reaches the peak, as in transformers."""
    decay: str = "linear"
    """What follows: `"linear"` or `"cosine"` to 0, `"polynomial"` (linear to 1e-7, as transformers'
    default), `"constant"`."""
    weight_decay: float = 0.001
    """Decoupled, on everything but biases and LayerNorm."""
    clip_norm: float | None = 1.0
    """Greatest global norm of the gradients; None for no clipping."""
    loss: str = "cross_entropy"
    """By name, as in `losses.LOSSES`."""
    label_smoothing: float = 0.0
    """Share of the truth that is spread over all classes (cross-entropy)."""
    focal_gamma: float = 2.0
    """How little easy examples count under focal loss."""
    class_weights: str | Mapping[str, float] | None = None
    """`"balanced"` (inverse frequency), `"effective_number"` (Cui et al. 2019), or a weight for
    each class by name."""
    sampling: str | None = None
    """Of the training cells alone: `"upsample"`, `"downsample"`, or `"balanced"` batches."""
    freeze_layers: int = 0
    """Encoder blocks, from the input up, that keep their weights, with the embeddings below."""
    freeze_embeddings: bool | None = None
    """None: where any block is frozen."""
    unfreeze: float | None = None
    """Gradual unfreezing: the head learns alone at first; each time so many epochs are over, one
    more block learns, from the top, down to `freeze_layers`."""
    layer_decay: float = 1.0
    """Discriminative rates: each block learns at this share of the rate of the one above it."""
    lora: int | None = None
    """Rank of low-rank adapters beside the backbone's projections, which itself is frozen."""
    lora_alpha: float | None = None
    """Scale of the adapters; the rank where None."""
    lora_targets: tuple[str, ...] = ("query", "value")
    """Names of the projections that get adapters."""
    quantize: str | None = None
    """`"int8"` or `"int4"`: the frozen backbone under the adapters is held so (QLoRA)."""
    merge: bool = True
    """Fold the adapters into the backbone at the end; False leaves them, for `save_adapters`."""
    prune: float | None = None
    """Share of the backbone's smallest weights that are 0 from the start and stay so."""
    prune_schedule: str | None = None
    """`"cubic"`: they become 0 little by little instead (Zhu and Gupta 2017), while the others
    learn to do without them. The epochs before all of them are 0 are not kept."""
    prune_end: float = 0.5
    """Share of the steps after which all of them are 0, under a schedule."""
    early_stopping: int | None = None
    """Epochs without a better validation score after which training ends."""
    head_layers: int = 0
    """New encoder blocks between the backbone and the head."""
    head_dropout: float | None = None
    """Rate before the last layer; the backbone's where None."""
    pooling: str = "first"
    """What stands for a cell: its `"first"` token, as published, the `"mean"` over its genes, or
    `"cls"`."""
    deterministic: bool = False
    """Deterministic operations: the same weights to the bit, on one kind of CPU and number of
    threads."""
    cache: bool | None = None
    """Keep what the frozen blocks give for each cell, so that later epochs do not compute it again.
    None: with frozen blocks, more than one epoch, and at most 4 GB to keep."""
    distribute: str | None = None
    """Over the devices of one machine: `"mirrored"` or `"tpu"` (never run on one) on TensorFlow,
    `"jax-data"` on JAX; with a number behind it (`"mirrored:2"`) over so many."""
    seed: int = 0
    """Of the split, the head's weights, the shuffling and dropout."""

    def __new__(cls, **settings: Any) -> "FinetuneSettings":
        """Refuse names that are no settings."""
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(settings.keys() - set(known))
        if unknown:
            raise ValueError(
                f"There is no setting {', '.join(map(repr, unknown))}; expected some of "
                f"{', '.join(known)}."
            )
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _plain(field, getattr(self, field.name)))
        if not 0 < self.epochs < math.inf or self.batch_size < 1:
            raise ValueError(
                f"epochs={self.epochs} and batch_size={self.batch_size}; expected more than 0 "
                "epochs, and 1 cell or more a batch."
            )
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(
                f"Received learning_rate={self.learning_rate}; expected a number above 0."
            )
        if not (isinstance(self.warmup, int) and self.warmup >= 1) and not 0 <= self.warmup <= 1:
            raise ValueError(
                "warmup is a share of the steps, between 0 and 1, or a number of steps, not "
                f"{self.warmup}."
            )
        _one_of("decay", self.decay, DECAYS)
        _one_of("sampling", self.sampling, (None, *SAMPLING))
        _one_of("quantize", self.quantize, (None, *QUANTIZED))
        if self.distribute is not None and self.distribute.split(":")[0] not in DISTRIBUTED:
            raise ValueError(
                f"Received distribute={self.distribute!r}; fine-tuning takes "
                f"{', '.join(DISTRIBUTED)}, over the devices of one machine."
            )
        if isinstance(self.class_weights, str):
            _one_of("class_weights", self.class_weights, CLASS_WEIGHTS)
        if not 0 < self.layer_decay <= 1:
            raise ValueError(
                f"Received layer_decay={self.layer_decay}; expected a share above 0, up to 1."
            )
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(
                f"Received weight_decay={self.weight_decay}; expected a number of 0 or more."
            )
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(
                f"Received clip_norm={self.clip_norm}; expected a norm above 0, or None for no "
                "clipping."
            )
        if not 0 <= self.focal_gamma < math.inf:
            raise ValueError(
                f"Received focal_gamma={self.focal_gamma}; expected a number of 0 or more."
            )
        if self.head_dropout is not None and not 0 <= self.head_dropout < 1:
            raise ValueError(
                f"Received head_dropout={self.head_dropout}; expected a share from 0 up to, and "
                "not, 1, or None."
            )
        if self.head_layers < 0 or self.freeze_layers < 0:
            raise ValueError(
                f"Received head_layers={self.head_layers} and freeze_layers={self.freeze_layers}; "
                "expected 0 encoder blocks or more."
            )
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"Received seed={self.seed}; expected 0 to {2**32 - 1}.")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                f"Received label_smoothing={self.label_smoothing}; expected a share from 0 up to, "
                "and not, 1."
            )
        if self.unfreeze is not None and not 0 < self.unfreeze < math.inf:
            raise ValueError(
                f"Received unfreeze={self.unfreeze}; expected the epochs after which one more "
                "block learns, above 0, or None."
            )
        if self.lora is not None and self.lora < 1:
            raise ValueError(f"Received lora={self.lora}; expected a rank of 1 or more, or None.")
        if self.quantize is not None and self.lora is None:
            raise ValueError(
                f"Received quantize={self.quantize!r} without lora: quantized weights cannot "
                "learn. Give lora a rank (8, say), whose adapters do."
            )
        if self.prune is not None and not 0 < self.prune < 1:
            raise ValueError(f"Received prune={self.prune}; expected a share between 0 and 1.")
        _one_of("prune_schedule", self.prune_schedule, (None, *PRUNE_SCHEDULES))
        if not 0 < self.prune_end <= 1:
            raise ValueError(
                f"Received prune_end={self.prune_end}; expected a share of the steps above 0, up "
                "to 1."
            )
        if self.prune_schedule is not None:
            self._check_prune_schedule()
        if self.early_stopping is not None and self.early_stopping < 1:
            raise ValueError(
                f"Received early_stopping={self.early_stopping}; expected 1 or more epochs, or "
                "None."
            )
        if self.lora is not None and (self.unfreeze is not None or self.prune is not None):
            raise ValueError(
                "Received lora with unfreeze or prune: under adapters the backbone is frozen "
                "throughout. Give one or the other."
            )

    def _check_prune_schedule(self) -> None:
        if self.prune is None:
            raise ValueError(
                f"Received prune_schedule={self.prune_schedule!r} without prune: give the share "
                "of the weights."
            )
        if self.freeze_layers or self.unfreeze is not None or self.distribute is not None:
            raise ValueError(
                f"Received prune_schedule={self.prune_schedule!r} with freeze_layers, unfreeze or "
                "distribute: what is frozen cannot learn to do without, and several devices are "
                "not pruned while they train. Leave the schedule out to prune at once."
            )

    def schedule(self, steps: int) -> WarmupSchedule:
        """The learning rate over a run of so many steps."""
        in_steps = isinstance(self.warmup, int) and self.warmup >= 1
        rise = int(self.warmup) if in_steps else round(self.warmup * steps)
        return WarmupSchedule(self.learning_rate, max(steps, rise), rise, self.decay)

    def prune_steps(self, steps: int) -> int:
        """Steps of a run of so many after which all that are pruned are 0."""
        return max(1, round(self.prune_end * steps))

    def steps(self, batches: int) -> int:
        """Steps of the run, where an epoch has so many batches."""
        return max(1, math.ceil(self.epochs * batches - 1e-9))


_KINDS: dict[Any, tuple[str, Any]] = {
    float: ("a number", (int, float)),
    int: ("a whole number", int),
    bool: ("True or False", bool),
    str: ("a name", str),
    type(None): ("None", type(None)),
}


def _plain(field: dataclasses.Field, value: Any) -> Any:
    """A setting's value as Python's own, which run.json can hold: numbers may be NumPy's."""
    if isinstance(value, np.generic):
        value = value.item()
    if field.name == "class_weights" and isinstance(value, Mapping):
        try:
            return {str(name): float(weight) for name, weight in value.items()}
        except (TypeError, ValueError):
            raise ValueError(
                f"Received class_weights={value!r}; expected a number for each class."
            ) from None
    if field.name == "lora_targets":
        if isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value):
            return tuple(value)
        raise ValueError(
            f"Received lora_targets={value!r}; expected names of layers, as in ('query', 'value')."
        )
    kinds = typing.get_args(field.type) or (field.type,)
    expected = [_KINDS[kind] for kind in kinds if kind in _KINDS]
    right = any(isinstance(value, classes) for _, classes in expected)
    if not right or (isinstance(value, bool) and bool not in kinds):
        said = " or ".join(words for words, _ in expected)
        raise ValueError(f"Received {field.name}={value!r}; expected {said}.")
    return value


def _one_of(name: str, value: Any, allowed: tuple) -> None:
    if value not in allowed:
        raise ValueError(
            f"Received {name}={value!r}; expected one of {', '.join(map(repr, allowed))}."
        )
