"""Moving tensors between a published checkpoint and the variables of a Keras model."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from keras_geneformer.conversion.table import IGNORED_KEYS, TIED_KEYS, Row


def assign_checkpoint(
    tensors: Mapping[str, np.ndarray], variables: Iterable[Any], rows: Iterable[Row]
) -> None:
    """Give every variable its tensor, and use every tensor exactly once.

    Args:
        tensors: PyTorch key to array.
        variables: Keras variables; each has `path`, `shape` and `assign`.
        rows: the table, as from `checkpoint_table`.

    Raises:
        ValueError: a key is missing or left over, a shape differs, a variable is left without a
            tensor, or a repeated tensor differs from its first copy. Nothing is assigned then.
    """
    rows = list(rows)
    variables_by_path = {variable.path: variable for variable in variables}
    tensors = dict(tensors)
    for key in IGNORED_KEYS:
        tensors.pop(key, None)
    for copy, key in TIED_KEYS.items():
        if copy in tensors:
            tied = tensors.pop(copy)
            if key in tensors and not np.array_equal(tied, tensors[key]):
                raise ValueError(
                    f"The checkpoint's {copy} differs from {key}; Geneformer ties them. This model "
                    "was trained untied and cannot be loaded."
                )
    _refuse_difference("keys", {row.key for row in rows}, set(tensors))
    _refuse_difference("variables", {row.path for row in rows}, set(variables_by_path))

    values = {}
    for row in rows:
        value = tensors[row.key].T if row.transposed else tensors[row.key]
        expected = tuple(variables_by_path[row.path].shape)
        if value.shape != expected:
            raise ValueError(
                f"The checkpoint's {row.key} has shape {tensors[row.key].shape}; the model's "
                f"{row.path} expects {expected[::-1] if row.transposed else expected}. The weights "
                "do not belong to this config.json."
            )
        values[row.path] = value
    for path, value in values.items():
        variables_by_path[path].assign(value)


def export_checkpoint(variables: Iterable[Any], rows: Iterable[Row]) -> dict[str, np.ndarray]:
    """The reverse of `assign_checkpoint`: PyTorch key to array, bit for bit.

    Args:
        variables: Keras variables.
        rows: the table, as from `checkpoint_table`.

    Raises:
        ValueError: the model has variables that the table does not know, or lacks some.
    """
    rows = list(rows)
    variables_by_path = {variable.path: variable for variable in variables}
    _refuse_difference("variables", {row.path for row in rows}, set(variables_by_path))
    tensors = {}
    for row in rows:
        value = _to_numpy(variables_by_path[row.path])
        tensors[row.key] = np.ascontiguousarray(value.T if row.transposed else value)
    return tensors


def _to_numpy(variable: Any) -> np.ndarray:
    value = variable.value
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return np.asarray(value)


def _refuse_difference(what: str, expected: set[str], received: set[str]) -> None:
    missing, unknown = sorted(expected - received), sorted(received - expected)
    if missing or unknown:
        raise ValueError(
            f"The checkpoint does not fit the model: {what} missing: {_some(missing)}; {what} "
            f"unknown: {_some(unknown)}. Expected exactly the {len(expected)} {what} of the "
            "architecture that config.json names."
        )


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:4]) or "none"
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown
