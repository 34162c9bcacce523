"""Reading one safetensors file, a tensor at a time, with a header that may lie."""

import json
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_DTYPES = {
    "BOOL": ("bool", "?"),
    "U8": ("uint8", "u1"),
    "I8": ("int8", "i1"),
    "U16": ("uint16", "<u2"),
    "I16": ("int16", "<i2"),
    "U32": ("uint32", "<u4"),
    "I32": ("int32", "<i4"),
    "U64": ("uint64", "<u8"),
    "I64": ("int64", "<i8"),
    "F16": ("float16", "<f2"),
    # bfloat16 is the upper half of a float32.
    "BF16": ("bfloat16", "<u2"),
    "F32": ("float32", "<f4"),
    "F64": ("float64", "<f8"),
}
"""The format's names of dtypes: NumPy's, and what is read."""

_LONGEST_HEADER = 100_000_000
"""Bytes; the format's own limit."""


class TensorKind(NamedTuple):
    """What a file says of a tensor: its shape, dtype and bytes."""

    shape: tuple[int, ...]
    dtype: str
    nbytes: int


class SafetensorsFile:
    """The tensors of one safetensors file, each read when it is asked for.

    The header is held to the file before anything of its sizes is allocated: tensors fill the file
    without overlap or gap, and each has as many bytes as its shape and dtype come to.

    Args:
        path: the file.

    Attributes:
        kinds: key to `TensorKind`, in the order of the header.

    Raises:
        ValueError: the file is truncated, or its header is none, or lies.

    Example:
        >>> import tempfile
        >>> from safetensors.numpy import save_file
        >>> path = Path(tempfile.mkdtemp()) / "model.safetensors"
        >>> save_file({"x": np.ones((2, 3), "float32")}, path)
        >>> SafetensorsFile(path).kinds["x"]
        TensorKind(shape=(2, 3), dtype='float32', nbytes=24)
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.kinds: dict[str, TensorKind] = {}
        self._places: dict[str, tuple[str, int]] = {}
        with open(self.path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= length <= min(size - 8, _LONGEST_HEADER):
                raise self._unreadable(f"a header of {length} bytes in a file of {size}")
            text = file.read(length)
        self._take_header(text, 8 + length, size)

    def read(self, key: str) -> np.ndarray:
        """One tensor; float16, bfloat16 and float64 come as float32."""
        kind, (stored, place) = self.kinds[key], self._places[key]
        count = math.prod(kind.shape)
        value = np.fromfile(self.path, stored, count, offset=place)
        if len(value) != count:
            raise self._unreadable(f"{key} stops after {len(value)} of {count} values")
        if kind.dtype == "bfloat16":
            value = (value.astype(np.uint32) << 16).view(np.float32)
        elif kind.dtype.startswith("float"):
            value = value.astype(np.float32, copy=False)
        return value.reshape(kind.shape)

    def _take_header(self, text: bytes, start: int, size: int) -> None:
        try:
            header = json.loads(text, object_pairs_hook=_without_repetition)
        except (ValueError, RecursionError) as error:
            raise self._unreadable(f"its header is no JSON: {error}") from error
        if not isinstance(header, dict):
            raise self._unreadable(f"its header is a {type(header).__name__}")
        header.pop("__metadata__", None)
        spans = []
        for key, entry in header.items():
            kind, stored, begin = self._entry(key, entry)
            self.kinds[key] = kind
            self._places[key] = (stored, start + begin)
            spans.append((begin, begin + kind.nbytes, key))
        end = 0
        for begin, stop, key in sorted(spans):
            if begin != end:
                raise self._unreadable(f"{key} starts at byte {begin}, and {end} is next")
            end = stop
        if start + end != size:
            raise self._unreadable(f"its tensors end at byte {start + end} of {size}")

    def _entry(self, key: str, entry: Any) -> tuple[TensorKind, str, int]:
        try:
            name, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
            whole = all(type(number) is int and number >= 0 for number in (*shape, begin, end))
        except (TypeError, KeyError, ValueError) as error:
            raise self._unreadable(f"{key} lacks dtype, shape or offsets") from error
        if not whole or not isinstance(name, str):
            raise self._unreadable(f"{key} has a shape or offsets that are no whole numbers")
        if name not in _DTYPES:
            raise ValueError(
                f"{self.path}: {key} has dtype {name}; expected one of {', '.join(_DTYPES)}. "
                "Save the checkpoint in float32."
            )
        dtype, stored = _DTYPES[name]
        expected = math.prod(shape) * np.dtype(stored).itemsize
        if end - begin != expected:
            raise self._unreadable(
                f"{key} has {end - begin} bytes, and its shape {tuple(shape)} comes to {expected}"
            )
        return TensorKind(tuple(shape), dtype, expected), stored, begin

    def _unreadable(self, reason: str) -> ValueError:
        return ValueError(
            f"{self.path} cannot be read as safetensors ({reason}). It may be truncated: download "
            "it again."
        )


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found
