"""Reads an `.h5ad` file a range of rows at a time, and says what is wrong with one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

_HDF5 = b"\x89HDF\r\n\x1a\n"
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"

_Read = Callable[[int, int], sp.csr_matrix]


@dataclass(frozen=True)
class H5adContent:
    """The parts of an open `.h5ad` that tokenizing needs (see `readers.CountSource`)."""

    obs: pd.DataFrame
    var: pd.DataFrame
    read: _Read
    close: Callable[[], None]


def open_h5ad(path: Path, layer: str | None) -> H5adContent:
    """Open an `.h5ad` for reading by rows.

    Args:
        path: the file. It is opened read-only.
        layer: a layer's name; "raw" for `.raw`, unless a layer is so called. None: X.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is empty, truncated or damaged, is no `.h5ad`, or lacks the layer.
    """
    file = _open_hdf5(path)
    try:
        place, var_place = _locate(file, path, layer)
        obs, var = _frame(file, "obs", path), _frame(file, var_place, path)
        matrix = file.get(place)
        if matrix is None:
            raise _damaged(path, f"it has no {place}")
        read = _reader(matrix, path)
        shape = _shape(matrix, path)
        if shape != (len(obs), len(var)):
            raise ValueError(
                f"{path}: {place} has shape {shape}, obs {len(obs)} and {var_place} {len(var)} rows"
            )
    except BaseException:
        file.close()
        raise
    return H5adContent(obs, var, read, file.close)


def _open_hdf5(path: Path) -> h5py.File:
    if path.is_dir():
        raise ValueError(f"{path} is a directory; expected an .h5ad file")
    with path.open("rb") as file:
        start = file.read(len(_LFS_POINTER))
    if not start:
        raise ValueError(f"{path} is empty (0 bytes); expected an .h5ad file")
    if start == _LFS_POINTER:
        raise ValueError(f"{path} is a Git-LFS pointer, not the file: run `git lfs pull`")
    if not start.startswith(_HDF5):
        kind = "a gzip file: gunzip it first" if start.startswith(b"\x1f\x8b") else "no HDF5 file"
        raise ValueError(f"{path} is not an .h5ad file but {kind} (it starts with {start[:8]!r})")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path} is truncated or damaged: {error}. Fetch it again") from error


def _locate(file: h5py.File, path: Path, layer: str | None) -> tuple[str, str]:
    """Where the matrix and its var stand."""
    if "matrix" in file and "row_attrs" in file:
        raise ValueError(f"{path} is a loom file; expected .h5ad (anndata.read_loom converts it)")
    if "matrix" in file:
        raise ValueError(f"{path} is a 10x .h5 file; expected .h5ad (scanpy.read_10x_h5 reads it)")
    if "obs" not in file or "var" not in file:
        raise ValueError(
            f"{path} is HDF5 but no .h5ad: it has {', '.join(file) or 'nothing'}; expected X, obs "
            "and var"
        )
    layers = list(file["layers"]) if "layers" in file else []
    if layer is None and "X" in file:
        return "X", "var"
    if layer in layers:
        return f"layers/{layer}", "var"
    if layer == "raw" and "raw" in file:
        return "raw/X", "raw/var"
    raise ValueError(
        missing_layer(str(path), layer, [*layers, *(["raw"] if "raw" in file else [])])
    )


def missing_layer(name: str, layer: str | None, layers: list[str]) -> str:
    """The message for a layer, or an X where `layer` is None, that is not there."""
    there = ", ".join(layers)
    if layer is None:
        return f"{name} has no X; " + (f"give layer= one of: {there}" if there else "nor any layer")
    return f"{name} has no layer {layer!r}; it has {there or 'no layers'}"


def _frame(file: h5py.File, name: str, path: Path) -> pd.DataFrame:
    from anndata.io import read_elem

    if isinstance(file.get(name), h5py.Dataset):
        raise ValueError(
            f"{path} was written by anndata before 0.7: read it with anndata.read_h5ad and write "
            "it again"
        )
    try:
        frame = read_elem(file[name])
    # What anndata raises for a part that is damaged has no common type.
    except Exception as error:
        raise _damaged(path, f"{name} is unreadable ({error})") from error
    if not isinstance(frame, pd.DataFrame):
        raise _damaged(path, f"{name} is a {type(frame).__name__}, expected a table")
    return frame


def _damaged(path: Path, what: str) -> ValueError:
    return ValueError(f"{path} is damaged: {what}. Copy or download it again")


def _shape(matrix: Any, path: Path) -> tuple[int, int]:
    if isinstance(matrix, h5py.Dataset):
        shape = matrix.shape
    else:
        shape = matrix.attrs.get("shape", matrix.attrs.get("h5sparse_shape"))
        if shape is None:
            raise _damaged(path, f"{matrix.name} has no attribute shape")
    if np.shape(shape) != (2,):
        raise ValueError(f"{path}: {matrix.name} has shape {shape}; expected (cells, genes)")
    return int(shape[0]), int(shape[1])


def _check_numbers(values: h5py.Dataset, path: Path) -> None:
    if values.dtype.kind not in "biuf" or values.dtype == np.float16:
        raise ValueError(
            f"{path}: {values.name} holds {values.dtype}; expected integers, float32 or float64"
        )


def _reader(matrix: Any, path: Path) -> _Read:
    """How to read rows of a matrix stored as CSR, CSC or dense."""

    def checked(read: _Read) -> _Read:
        def rows(start: int, stop: int) -> sp.csr_matrix:
            try:
                return read(start, stop)
            except OSError as error:
                raise _damaged(path, f"cells {start} to {stop} are unreadable ({error})") from error

        return rows

    shape = _shape(matrix, path)
    if isinstance(matrix, h5py.Dataset):
        _check_numbers(matrix, path)
        return checked(lambda start, stop: sp.csr_matrix(matrix[start:stop]))
    kind = matrix.attrs.get("encoding-type", matrix.attrs.get("h5sparse_format"))
    if kind not in ("csr_matrix", "csr", "csc_matrix", "csc"):
        raise ValueError(f"{path}: {matrix.name} is {kind!r}; expected CSR, CSC or a dense array")
    by_column = kind in ("csc_matrix", "csc")
    bounds = _bounds(matrix, shape[1 if by_column else 0], path)
    if by_column:
        return _csc_reader(matrix, bounds, shape, path, checked)
    values, columns = matrix["data"], matrix["indices"]

    def read_csr(start: int, stop: int) -> sp.csr_matrix:
        where = slice(bounds[start], bounds[stop])
        chosen = columns[where]
        _check_indices(chosen, shape[1], matrix.name, path)
        parts = (values[where], chosen, bounds[start : stop + 1] - bounds[start])
        return sp.csr_matrix(parts, shape=(stop - start, shape[1]))

    return checked(read_csr)


def _bounds(matrix: h5py.Group, lines: int, path: Path) -> np.ndarray:
    """The indptr of a sparse matrix of so many rows (CSR) or columns (CSC).

    Scipy trusts these arrays: where they contradict one another it reads beyond them.
    """
    for name in ("data", "indices", "indptr"):
        part = matrix.get(name)
        if not isinstance(part, h5py.Dataset) or part.ndim != 1:
            raise _damaged(path, f"{matrix.name} has no 1-D array {name}")
    for name in ("indices", "indptr"):
        if matrix[name].dtype.kind not in "iu":
            raise _damaged(path, f"{matrix.name}/{name} holds {matrix[name].dtype}, not integers")
    _check_numbers(matrix["data"], path)
    try:
        bounds = matrix["indptr"][:].astype(np.int64)
    except OSError as error:
        raise _damaged(path, f"{matrix.name}/indptr is unreadable ({error})") from error
    stored = len(matrix["data"])
    if len(matrix["indices"]) != stored:
        raise _damaged(
            path, f"{matrix.name} has {stored} values and {len(matrix['indices'])} indices"
        )
    if len(bounds) != lines + 1:
        raise _damaged(path, f"{matrix.name}/indptr has {len(bounds)} entries, not {lines + 1}")
    if bounds[0] != 0 or bounds[-1] != stored or (np.diff(bounds) < 0).any():
        raise _damaged(path, f"{matrix.name}/indptr does not rise from 0 to {stored}")
    return bounds


def _check_indices(indices: np.ndarray, size: int, name: str, path: Path) -> None:
    if len(indices) and not (indices.min() >= 0 and indices.max() < size):
        raise _damaged(
            path,
            f"{name}/indices reach from {indices.min()} to {indices.max()}, expected 0 to "
            f"{size - 1}",
        )


def _csc_reader(
    matrix: h5py.Group,
    bounds: np.ndarray,
    shape: tuple[int, int],
    path: Path,
    checked: Callable[[_Read], _Read],
) -> _Read:
    """Rows of a column-wise matrix: every column holds some of each, so it is read whole, once."""
    whole: list[sp.csr_matrix] = []

    def read_csc(start: int, stop: int) -> sp.csr_matrix:
        if not whole:
            indices = matrix["indices"][:]
            _check_indices(indices, shape[0], matrix.name, path)
            parts = (matrix["data"][:], indices, bounds)
            whole.append(sp.csc_matrix(parts, shape=shape).tocsr())
        return whole[0][start:stop]

    return checked(read_csc)
