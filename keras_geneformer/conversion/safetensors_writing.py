"""Writing safetensors files, one tensor in memory at a time.

The bytes are those of the safetensors library (https://github.com/huggingface/safetensors): eight
bytes with the length of a JSON header, the header, and the tensors without gaps.
"""

import json
import math
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"

BYTES = {"I64": 8, "F32": 4, "BF16": 2, "F16": 2}
"""Bytes of a number, by the format's name of its dtype, in the order in which the library writes
dtypes."""

_DTYPES = {"int64": "I64", "float32": "F32", "bfloat16": "BF16", "float16": "F16"}


class Tensor(NamedTuple):
    """What a header says of a tensor: its dtype, by the format's name, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Bytes of its numbers."""
        return math.prod(self.shape) * BYTES[self.dtype]


Tensors = Mapping[str, Tensor]


def tensor_of(dtype: str, shape: tuple[int, ...]) -> Tensor:
    """What a header says of an array of a NumPy dtype, by its name.

    Raises:
        ValueError: a checkpoint of Geneformer holds no such numbers.

    Example:
        >>> tensor_of("float32", (2, 3))
        Tensor(dtype='F32', shape=(2, 3))
    """
    if dtype not in _DTYPES:
        raise ValueError(
            f"Received weights of {dtype}; expected {', '.join(_DTYPES)}. Load the model with "
            "dtype='float32'."
        )
    return Tensor(_DTYPES[dtype], tuple(int(size) for size in shape))


def file_bytes(tensors: Tensors) -> int:
    """The size of a safetensors file that holds these tensors, header included.

    Example:
        >>> file_bytes({"x": tensor_of("float32", (2, 3))})
        120
    """
    return len(_header(tensors)) + sum(tensor.bytes for tensor in tensors.values())


def write_safetensors(path: Path, tensors: Tensors, read: Callable[[str], np.ndarray]) -> None:
    """Write a safetensors file, reading one tensor at a time.

    Args:
        path: the file to write.
        tensors: dtypes and shapes, by key.
        read: gives the array of a key. It is called once a key, in the order of the file.

    Raises:
        ValueError: an array is not what `tensors` says.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "model.safetensors"
        >>> write_safetensors(
        ...     path, {"x": tensor_of("float32", (2, 3))}, lambda key: np.zeros((2, 3), "float32"))
        >>> path.stat().st_size
        120
    """
    with open(path, "wb") as file:
        file.write(_header(tensors))
        for key in _in_file_order(tensors):
            _write_tensor(file, key, tensors[key], read(key))


def _write_tensor(file: BinaryIO, key: str, expected: Tensor, array: np.ndarray) -> None:
    received = tensor_of(array.dtype.name, array.shape)
    if received != expected:
        raise ValueError(
            f"{key}: received an array of {received.dtype} and shape {received.shape}; "
            f"expected {expected.dtype} and {expected.shape}."
        )
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    # The buffer of an array of bfloat16 is not taken by files; its bytes are.
    file.write(little.reshape(-1).view(np.uint8).data)


def write_checkpoint(
    directory: Path,
    tensors: Tensors,
    read: Callable[[str], np.ndarray],
    max_shard_bytes: int | None = None,
) -> None:
    """Write model.safetensors, or shards of it with their index, as `transformers` does.

    Args:
        directory: an existing directory.
        tensors: dtypes and shapes, by key, in the order in which shards take them.
        read: gives the array of a key.
        max_shard_bytes: the most bytes of tensors a file; one tensor may be larger. One file where
            None, or where all fit into one.

    Raises:
        ValueError: `max_shard_bytes` is not a number above 0, or an array is not what `tensors`
            says.
    """
    if max_shard_bytes is not None and max_shard_bytes < 1:
        raise ValueError(
            f"Received max_shard_bytes={max_shard_bytes}; expected a number of bytes above 0, or "
            "None for one file."
        )
    shards = _shards(tensors, max_shard_bytes)
    if len(shards) == 1:
        write_safetensors(directory / SINGLE_FILE, tensors, read)
        return
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        write_safetensors(directory / name, {key: tensors[key] for key in shard}, read)
        weight_map |= dict.fromkeys(shard, name)
    index = {
        "metadata": {"total_size": sum(tensor.bytes for tensor in tensors.values())},
        "weight_map": dict(sorted(weight_map.items())),
    }
    (directory / INDEX_FILE).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _shards(tensors: Tensors, max_bytes: int | None) -> list[list[str]]:
    """The keys of each file, as `transformers` shares them out.

    A file is filled in order, until the next tensor has no room; one that no file has room for gets
    a file of its own, and the file that is being filled waits.
    """
    if max_bytes is None:
        return [list(tensors)]
    shards: list[list[str]] = []
    filling: list[str] = []
    filled = 0
    for key, tensor in tensors.items():
        if tensor.bytes > max_bytes:
            shards.append([key])
            continue
        if filled + tensor.bytes > max_bytes:
            shards.append(filling)
            filling, filled = [], 0
        filling.append(key)
        filled += tensor.bytes
    return [*shards, filling] if filling else shards


def _in_file_order(tensors: Tensors) -> list[str]:
    dtypes = list(BYTES)
    return sorted(tensors, key=lambda key: (dtypes.index(tensors[key].dtype), key))


def _header(tensors: Tensors) -> bytes:
    """The length of the header and the header, padded with blanks to a multiple of eight bytes."""
    # `transformers` refuses a file without this entry.
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    begin = 0
    for key in _in_file_order(tensors):
        tensor = tensors[key]
        entries[key] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [begin, begin + tensor.bytes],
        }
        begin += tensor.bytes
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text
