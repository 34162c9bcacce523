"""Moving tensors between a published checkpoint and the variables of a Keras model."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from keras_geneformer.conversion.checkpoint_files import CheckpointTensors
from keras_geneformer.conversion.table import IGNORED_KEYS, TIED_KEYS, Row, Shapes


def assign_checkpoint(
    tensors: Mapping[str, np.ndarray],
    variables: Iterable[Any],
    rows: Iterable[Row],
    unused: Collection[str] = (),
) -> None:
    """Give every variable its tensor, and use every tensor exactly once.

    Tensors are read one after the other, so that no second model stands in memory.

    Args:
        tensors: PyTorch key to array, as from `read_checkpoint`.
        variables: Keras variables; each has `path`, `shape` and `assign`.
        rows: the table, as from `checkpoint_table`.
        unused: keys that may be there and go nowhere.

    Raises:
        ValueError: a key is missing or left over, a shape differs, a variable is left without a
            tensor, a tensor is not of floats, or a repeated tensor differs from its first copy.
            Nothing is assigned then.
    """
    rows = list(rows)
    variables_by_path = {variable.path: variable for variable in variables}
    _refuse_difference("variables", {row.path for row in rows}, set(variables_by_path))
    expected = {row.key: tuple(variables_by_path[row.path].shape) for row in rows}
    refuse_other_shapes(
        shapes_of(tensors),
        rows,
        {row.key: expected[row.key][:: -1 if row.transposed else 1] for row in rows},
        unused,
    )
    _refuse_other_dtypes(tensors, rows)
    _refuse_untied(tensors)
    for row in rows:
        value = tensors[row.key]
        variables_by_path[row.path].assign(value.T if row.transposed else value)


def refuse_other_shapes(
    shapes: Shapes, rows: Iterable[Row], expected: Shapes, unused: Collection[str] = ()
) -> None:
    """Hold a checkpoint to its config before a model is built.

    Args:
        shapes: of the checkpoint's tensors, by key.
        rows: the table, as from `checkpoint_table`.
        expected: shapes by key, as from `checkpoint_shapes`.
        unused: keys that may be there and go nowhere.

    Raises:
        ValueError: a key is missing or left over, or a shape differs.
    """
    rows = list(rows)
    left_out = IGNORED_KEYS | TIED_KEYS.keys() | set(unused)
    _refuse_difference("keys", {row.key for row in rows}, shapes.keys() - left_out)
    for row in rows:
        found, wanted = shapes[row.key], expected[row.key]
        if found != wanted:
            raise ValueError(
                f"The checkpoint's {row.key} has shape {found}; the model's {row.path} expects "
                f"{wanted}. The weights do not belong to this config.json."
            )


def shapes_of(tensors: Mapping[str, np.ndarray]) -> Shapes:
    """The shape of each tensor, by key; of a checkpoint without reading it."""
    if isinstance(tensors, CheckpointTensors):
        return tensors.shapes
    return {key: tuple(value.shape) for key, value in tensors.items()}


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


def _refuse_other_dtypes(tensors: Mapping[str, np.ndarray], rows: Iterable[Row]) -> None:
    """Whole numbers are weights that were rounded, whose scales are not known here."""
    for row in rows:
        if isinstance(tensors, CheckpointTensors):
            dtype = tensors.dtypes[row.key]
        else:
            dtype = str(tensors[row.key].dtype)
        if "float" not in dtype:
            raise ValueError(
                f"The checkpoint's {row.key} has dtype {dtype}; expected floats. It may be "
                "quantized: take the checkpoint that it was made from."
            )


def _refuse_untied(tensors: Mapping[str, np.ndarray]) -> None:
    shapes = shapes_of(tensors)
    for copy, key in TIED_KEYS.items():
        if copy not in shapes or key not in shapes:
            continue
        # A copy of another shape is not read: it may be made to fill the memory.
        if shapes[copy] != shapes[key] or not np.array_equal(tensors[copy], tensors[key]):
            raise ValueError(
                f"The checkpoint's {copy} differs from {key}; Geneformer ties them. This model was "
                "trained untied and cannot be loaded."
            )


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
