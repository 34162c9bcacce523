"""What a pretraining run is made of: the model's shape, the batches and the optimizer."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

_AT_LEAST_ONE = (
    *("num_layers", "num_heads", "hidden_dim", "intermediate_dim", "max_length"),
    *("epochs", "batch_size", "max_tokens", "accumulate", "packed"),
)
SHAPE = ("num_layers", "num_heads", "hidden_dim", "intermediate_dim", "max_length", "dropout")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of a pretraining run, all of them and nothing else.

    What is None in the shape comes from the model that the run goes on from.

    Raises:
        ValueError: a number of layers, cells, tokens, parts or epochs below 1, more parts than
            cells, a width that the heads do not divide, or a learning rate that is not above 0.

    Example:
        >>> from keras_geneformer.training.recipes import v1_10m
        >>> recipe = v1_10m().changed(epochs=1)
        >>> recipe.epochs, recipe.learning_rate
        (1, 0.001)
    """

    name: str
    num_layers: int | None = None
    """Encoder blocks; None for a run that goes on from a model."""
    num_heads: int | None = None
    hidden_dim: int | None = None
    intermediate_dim: int | None = None
    max_length: int | None = None
    """Longest cell the model takes, in tokens; longer cells are cut to their first genes."""
    dropout: float | None = None
    dtype: str = "float32"
    """What training computes in; the preset is written as float32 whatever it is."""
    epochs: int = 3
    batch_size: int | None = 12
    """Cells of one step, on all devices together; rows, where they are packed."""
    max_tokens: int | None = None
    """In place of `batch_size`, padded tokens of one step at most."""
    accumulate: int = 1
    """Parts in which one device computes a step, one after the other. Of several devices each takes
    its share of the step in so many parts divided by their number, rounded up: a part is as large
    as on one."""
    learning_rate: float = 1e-3
    """The peak."""
    warmup: float = 0.1
    """Steps in which the rate rises: a share of all (a float), or their number (an int from 1)."""
    decay: str = "linear"
    weight_decay: float = 0.001
    """Decoupled, on everything but biases and LayerNorm."""
    clip_norm: float | None = 1.0
    ema: float | None = None
    """Momentum of a running average of the weights, which is what is kept; None for none."""
    mask_rate: float = 0.15
    published: bool = False
    """Mask as the published package does (see `Masking`)."""
    packed: int | None = None
    """Tokens of a row in which several short cells lie; None for one cell a row."""
    chunk: int | None = None
    """Masked positions scored at a time; None for all at once."""
    recompute: bool = False
    """Compute each block again backward in place of keeping what it computed."""
    validation: float = 0.0
    """Share of the cells that is held out."""

    def __post_init__(self) -> None:
        for name in _AT_LEAST_ONE:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"Received {name}={value}; expected 1 or more.")
        if self.batch_size is not None and self.accumulate > self.batch_size:
            raise ValueError(
                f"A step of batch_size={self.batch_size} cannot be taken in "
                f"accumulate={self.accumulate} parts: a part holds one cell at least."
            )
        if self.num_heads and self.hidden_dim and self.hidden_dim % self.num_heads:
            raise ValueError(
                f"Received hidden_dim={self.hidden_dim} and num_heads={self.num_heads}; the heads "
                "must divide the width."
            )
        if not self.learning_rate > 0:
            raise ValueError(f"Received learning_rate={self.learning_rate}; expected more than 0.")

    @property
    def shape(self) -> dict[str, Any]:
        """The part that describes the model; empty for a run that goes on from one."""
        return {name: getattr(self, name) for name in SHAPE if getattr(self, name) is not None}

    @property
    def needs_model(self) -> bool:
        """Whether the run goes on from a model that must be given."""
        return self.num_layers is None

    @property
    def training(self) -> dict[str, Any]:
        """The arguments of `pretrain` that it sets, by name."""
        values = dataclasses.asdict(self)
        return {
            name: value
            for name, value in values.items()
            if name not in (*SHAPE, "name", "dtype", "epochs", "validation")
        }

    def changed(self, **changes: Any) -> "Recipe":
        """The recipe with other values; None changes nothing.

        `batch_size` and `max_tokens` say the same in two ways: one given takes the other's place.
        Where a step is computed in parts, another `batch_size` alone changes their number, not the
        cells of a part.

        Args:
            **changes: values of fields, by name.

        Raises:
            ValueError: there is no such field, both ways are given, or a value is out of range.
        """
        given = {name: value for name, value in changes.items() if value is not None}
        fields = [field.name for field in dataclasses.fields(self)]
        unknown = sorted(given.keys() - set(fields))
        if unknown:
            raise ValueError(
                f"A recipe has no {', '.join(unknown)}; it has {', '.join(sorted(fields))}."
            )
        if {"batch_size", "max_tokens"} <= given.keys():
            raise ValueError("Give batch_size or max_tokens, not both.")
        if "batch_size" in given:
            given["max_tokens"] = None
            if self.accumulate > 1 and self.batch_size is not None and "accumulate" not in given:
                parts = math.ceil(given["batch_size"] * self.accumulate / self.batch_size)
                given["accumulate"] = max(parts, 1)
        elif "max_tokens" in given:
            given["batch_size"] = None
        return dataclasses.replace(self, **given)
