"""The settings a search tries, said in plain values."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from keras_geneformer.training.finetuning.settings import FinetuneSettings

Space = Mapping[str, Sequence[Any]]


def default_space(layers: int) -> dict[str, Sequence[Any]]:
    """Learning rate and its decay, warm-up, weight decay, frozen layers and loss.

    Args:
        layers: encoder blocks of the model.

    Example:
        >>> default_space(6)["freeze_layers"]
        (0, 6)
    """
    return {
        "learning_rate": (2e-5, 5e-3, "log"),
        "decay": ["linear", "cosine", "polynomial", "constant"],
        "warmup": (0.0, 0.3),
        "weight_decay": (1e-4, 0.3, "log"),
        "freeze_layers": (0, layers),
        "loss": ["cross_entropy", "focal", "dice_cross_entropy"],
    }


def check_space(space: Space, settings: Mapping[str, Any]) -> None:
    """Refuse a space that cannot be searched, or that overlaps with fixed settings.

    Raises:
        ValueError: names the setting.
    """
    if not space:
        raise ValueError("The space holds no setting to search; expected one at least.")
    known = {field.name for field in dataclasses.fields(FinetuneSettings)}
    for name, values in space.items():
        if name not in known or name == "seed":
            raise ValueError(
                f"The space has {name!r}, which is no setting to search; expected some of "
                f"{', '.join(sorted(known - {'seed'}))}."
            )
        if name in settings:
            raise ValueError(
                f"{name} is in the space and fixed to {settings[name]!r} as well: give it once."
            )
        if isinstance(values, tuple) and _is_range(values):
            continue
        if isinstance(values, list) and values:
            continue
        raise ValueError(
            f"The space has {name}: {values!r}; expected a list of values, or (low, high), or "
            "(low, high, 'log') with low below high."
        )


def suggested(trial: Any, space: Space) -> dict[str, Any]:
    """The settings that an Optuna trial is to try."""
    found: dict[str, Any] = {}
    for name, values in space.items():
        if isinstance(values, list):
            found[name] = trial.suggest_categorical(name, values)
            continue
        low, high, log = values[0], values[1], len(values) == 3
        whole = isinstance(low, int) and isinstance(high, int)
        suggest = trial.suggest_int if whole else trial.suggest_float
        found[name] = suggest(name, low, high, log=log)
    return found


def usual_point(space: Space) -> dict[str, Any] | None:
    """The defaults of fine-tuning as a point of the space; None where they are outside it."""
    usual = FinetuneSettings()
    point = {name: getattr(usual, name) for name in space}
    inside = all(
        point[name] in values
        if isinstance(values, list)
        else point[name] is not None and values[0] <= point[name] <= values[1]
        for name, values in space.items()
    )
    return point if inside else None


def _is_range(values: tuple) -> bool:
    if len(values) not in (2, 3) or (len(values) == 3 and values[2] != "log"):
        return False
    if not all(isinstance(end, int | float) for end in values[:2]) or values[0] >= values[1]:
        return False
    return len(values) == 2 or values[0] > 0
