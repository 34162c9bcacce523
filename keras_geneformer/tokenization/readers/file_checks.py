"""What is wrong with a file, said before a library stumbles over it."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

_HDF5 = b"\x89HDF\r\n\x1a\n"
GZIP = b"\x1f\x8b"
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"

_Read = TypeVar("_Read")


def damaged(path: Path, what: str) -> ValueError:
    """The error for a file whose parts contradict one another or cannot be read."""
    return ValueError(f"{path} is damaged: {what}. Copy or download it again")


def unbroken(path: Path, what: str, read: Callable[[], _Read]) -> _Read:
    """What `read` gives.

    Args:
        path: the file.
        what: "cells 0 to 256 are", say: what could not be read.
        read: reads a part of the file.

    Raises:
        ValueError: it could not be read.
    """
    try:
        return read()
    # HDF5 raises OSError for a broken chunk; zarr what its codecs raise.
    except (OSError, EOFError, RuntimeError, ValueError, TypeError, KeyError, zlib.error) as error:
        raise damaged(path, f"{what} unreadable ({error})") from error


def first_bytes(path: Path, expected: str) -> bytes:
    """The first bytes of a file.

    Args:
        path: the file.
        expected: what it should be, such as "an .h5ad file".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is empty, or a Git-LFS pointer.
    """
    with path.open("rb") as file:
        start = file.read(len(_LFS_POINTER))
    if not start:
        raise ValueError(f"{path} is empty (0 bytes); expected {expected}")
    if start == _LFS_POINTER:
        raise ValueError(f"{path} is a Git-LFS pointer, not the file: run `git lfs pull`")
    return start


def open_hdf5(path: Path, expected: str = "an .h5ad file") -> h5py.File:
    """An HDF5 file, opened read-only and without a lock.

    Args:
        path: the file.
        expected: what it should be, for the messages.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is empty, truncated, or no HDF5 file.
    """
    start = first_bytes(path, expected)
    if not start.startswith(_HDF5):
        kind = "a gzip file: gunzip it first" if start.startswith(GZIP) else "no HDF5 file"
        raise ValueError(f"{path} is not {expected} but {kind} (it starts with {start[:8]!r})")
    try:
        try:
            return h5py.File(path, "r", locking=False)
        except OSError as error:
            # This process has it open already, with a lock (a backed AnnData, say): as there.
            if "locking flag" not in str(error):
                raise
            return h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path} is truncated or damaged: {error}. Fetch it again") from error


def check_numbers(values: Any, path: Path) -> None:
    """Refuse a stored array that holds neither integers nor float32 or float64.

    Raises:
        ValueError: says what it holds.
    """
    if values.dtype.kind not in "biuf" or values.dtype == np.float16:
        raise ValueError(
            f"{path}: {values.name} holds {values.dtype}; expected integers, float32 or float64"
        )


def column_of(dataset: h5py.Dataset) -> np.ndarray:
    """A 1-D HDF5 dataset: numbers as they are, texts as str (bytes that are no UTF-8 escaped)."""
    if h5py.check_string_dtype(dataset.dtype) is not None:
        return dataset.asstr(errors="backslashreplace")[:]
    return dataset[:]
