"""All that a training run needs to go on where it was stopped."""

import json
import os
import re
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file

from keras_geneformer.training.distribution import whole_value

_STATE = "state.safetensors"
_PROGRESS = "progress.json"
_HISTORY = "history.parquet"
_NAME = re.compile(r"checkpoint-(\d{9})")
_TORCH = "torch generator"


class Checkpoints:
    """The last few states of a run, each in a folder `checkpoint-<step>`.

    A state is the weights, the optimizer's moments and step, the states of all random generators
    (dropout), and the history. Shuffling and masks need none: they follow from the seed, the epoch
    and the cell. Nothing is pickled. A folder appears when it is complete and not before.

    Args:
        directory: where they are; made where missing.
        run: what makes this run this one (settings, data), as plain values. A directory with
            states of another run is refused.
        keep: how many to keep.
        writes: whether this process writes them: one of those that train together does. All call
            `save` alike, as it may take all to gather the weights, and all `restore`.
        told_by_all: gives what every process of the run says, from what this one says.

    Raises:
        ValueError: the directory holds states of another run.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        run: dict[str, Any],
        keep: int = 2,
        writes: bool = True,
        told_by_all: Callable[[int], list[int]] = lambda number: [number],
    ) -> None:
        if keep < 1:
            raise ValueError(f"Received keep={keep}; expected 1 or more checkpoints to keep.")
        self.directory = Path(directory)
        self.keep = keep
        self.writes = writes
        self._told_by_all = told_by_all
        self.run = json.loads(json.dumps(run))
        self.directory.mkdir(parents=True, exist_ok=True)
        latest = self.latest()
        if latest is not None:
            theirs, ours = _flat(_read(latest)["run"]), _flat(self.run)
            unlike = sorted(
                key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key)
            )
            if unlike:
                said = ", ".join(
                    f"{key} {theirs.get(key)!r} there, {ours.get(key)!r} here" for key in unlike
                )
                raise ValueError(
                    f"{self.directory} holds checkpoints of another run ({said}): repeat that "
                    "run's settings to go on with it, or choose or empty another directory."
                )

    def _all(self) -> list[Path]:
        """Complete ones, by step."""
        return sorted(path for path in self.directory.iterdir() if _NAME.fullmatch(path.name))

    def latest(self) -> Path | None:
        """The last complete state; None where there is none."""
        return next(reversed(self._all()), None)

    def save(self, model: Any, step: int, history: list[dict[str, float]]) -> Path:
        """Write the state after a step, and remove those that are not to be kept.

        Args:
            model: compiled, with a built optimizer.
            step: steps done.
            history: a row for each of them.

        Raises:
            FloatingPointError: a weight is no longer finite; nothing is written.
        """
        path = self.directory / f"checkpoint-{step:09d}"
        state = _state(model)
        for name, array in state.items():
            if name.startswith("weight") and not np.isfinite(array).all():
                latest = self.latest()
                kept = "No state was kept" if latest is None else f"The last good state is {latest}"
                raise FloatingPointError(
                    f"Weights are no longer finite after step {step}, so they are not kept: lower "
                    f"the learning rate. {kept}."
                )
        if not self.writes:
            return path
        partial = self.directory / f".{path.name}.partial-{secrets.token_hex(4)}"
        partial.mkdir()
        try:
            save_file(state, partial / _STATE)
            pd.DataFrame(history).to_parquet(partial / _HISTORY)
            progress = {"step": step, "run": self.run, "keras": keras.__version__}
            (partial / _PROGRESS).write_text(json.dumps(progress, indent=1), encoding="utf-8")
            shutil.rmtree(path, ignore_errors=True)
            os.rename(partial, path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        for old in self._all()[: -self.keep]:
            shutil.rmtree(old, ignore_errors=True)
        for leftover in self.directory.glob(".checkpoint-*.partial-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        return path

    def restore(self, model: Any) -> tuple[int, list[dict[str, float]]]:
        """Give a model the last state.

        Args:
            model: compiled, with a built optimizer, of the shape that was saved.

        Returns:
            The steps done and the history, 0 and an empty one where there is no state.

        Raises:
            ValueError: the state is of another model, or damaged; or the processes of the run do
                not see the same one.
        """
        path = self.latest()
        steps = self._told_by_all(0 if path is None else int(_read(path)["step"]))
        if len(set(steps)) > 1:
            raise ValueError(
                f"The processes of this run find states after steps {steps} in {self.directory}: "
                "it must be one folder that all of them see."
            )
        if path is None:
            return 0, []
        try:
            state = load_file(path / _STATE)
        except Exception as error:
            raise ValueError(f"{path / _STATE} is damaged ({error}): remove {path}.") from error
        _assign(model, state, path)
        rows = pd.read_parquet(path / _HISTORY).to_dict("records")
        history: list[dict[str, float]] = []
        for row in rows:
            history.append({str(name): v for name, v in row.items() if not pd.isna(v)})
            history[-1] |= {"step": int(row["step"]), "epoch": int(row["epoch"])}
        return steps[0], history


def _read(path: Path) -> dict[str, Any]:
    return json.loads((path / _PROGRESS).read_text(encoding="utf-8"))


def _flat(run: dict[str, Any]) -> dict[str, Any]:
    """Settings of settings by name."""
    nested = {key: value for key, value in run.items() if isinstance(value, dict)}
    inner = {name: value for settings in nested.values() for name, value in settings.items()}
    return inner | {key: value for key, value in run.items() if key not in nested}


def _variables(model: Any) -> dict[str, Any]:
    """Everything that changes in training, by its place: Keras's names carry running numbers."""
    metrics = {id(variable) for variable in model.metrics_variables}
    parts = {
        "weight": model.trainable_variables,
        "other": [v for v in model.non_trainable_variables if id(v) not in metrics],
        "optimizer": model.optimizer.variables,
    }
    return {
        f"{part} {number}": variable
        for part, variables in parts.items()
        for number, variable in enumerate(variables)
    }


def _state(model: Any) -> dict[str, np.ndarray]:
    state = {name: whole_value(variable) for name, variable in _variables(model).items()}
    if keras.config.backend() == "torch":
        import torch

        state[_TORCH] = torch.get_rng_state().numpy()
    return state


def _assign(model: Any, state: dict[str, np.ndarray], path: Path) -> None:
    if keras.config.backend() == "torch" and _TORCH in state:
        import torch

        torch.set_rng_state(torch.from_numpy(state[_TORCH]))
    variables = _variables(model)
    shapes = {name: tuple(v.shape) for name, v in variables.items()}
    theirs = {name: array.shape for name, array in state.items() if name != _TORCH}
    if shapes != theirs:
        unlike = sorted(n for n in shapes.keys() | theirs.keys() if shapes.get(n) != theirs.get(n))
        raise ValueError(
            f"{path} is of another model: {len(unlike)} arrays differ, first {unlike[0]!r} "
            f"({theirs.get(unlike[0])} there, {shapes.get(unlike[0])} here)."
        )
    for name, variable in variables.items():
        variable.assign(state[name])
