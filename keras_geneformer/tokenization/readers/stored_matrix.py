"""Rows of a matrix as anndata stores it, in HDF5 or zarr: CSR, CSC or dense."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from keras_geneformer.tokenization.readers.count_source import RowReader
from keras_geneformer.tokenization.readers.dense_rows import dense_rows
from keras_geneformer.tokenization.readers.file_checks import check_numbers, damaged, unbroken
from keras_geneformer.tokenization.readers.hdf5_chunks import inflated_spans
from keras_geneformer.tokenization.readers.row_scratch import BLOCK_ENTRIES, Entries, scratch_rows

# HDF5 keeps the last chunks of an array while they are small; larger ones are kept here.
_LARGE_CHUNK = 2**14


def is_array(stored: Any) -> bool:
    """Whether an entry of a file is an array and no group, in HDF5 as in zarr."""
    return hasattr(stored, "dtype")


def matrix_rows(matrix: Any, cells: int, genes: int, path: Path, tables: str) -> RowReader:
    """Rows of an encoded matrix.

    A CSC matrix goes once to a temporary copy on disk, at the first read.

    Args:
        matrix: the HDF5 or zarr group, or the array if it is dense.
        cells: rows of the table of cells.
        genes: rows of the table of genes.
        path: the file, for messages.
        tables: what these are called: "obs", "var".

    Raises:
        ValueError: it has another shape, holds no numbers, or its parts contradict one another.
    """
    shape = _shape(matrix, path)
    if shape != (cells, genes):
        raise ValueError(
            f"{path}: {matrix.name.lstrip('/')} has shape {shape}, obs {cells} and {tables} "
            f"{genes} rows"
        )
    if is_array(matrix):
        return dense_rows(matrix, path)
    kind = matrix.attrs.get("encoding-type", matrix.attrs.get("h5sparse_format"))
    if kind in ("csr_matrix", "csr"):
        return csr_rows(matrix, shape, path)
    if kind in ("csc_matrix", "csc"):
        return _csc_rows(matrix, shape, path)
    raise ValueError(f"{path}: {matrix.name} is {kind!r}; expected CSR, CSC or a dense array")


def _shape(matrix: Any, path: Path) -> tuple[int, int]:
    if is_array(matrix):
        shape = matrix.shape
    else:
        shape = matrix.attrs.get("shape", matrix.attrs.get("h5sparse_shape"))
        if shape is None:
            raise damaged(path, f"{matrix.name} has no attribute shape")
    if np.shape(shape) != (2,):
        raise ValueError(f"{path}: {matrix.name} has shape {shape}; expected (cells, genes)")
    return int(shape[0]), int(shape[1])


def csr_rows(matrix: Any, shape: tuple[int, int], path: Path) -> RowReader:
    """Rows of a group with data, indices and indptr, the entries of a row side by side.

    Args:
        matrix: the HDF5 or zarr group.
        shape: rows and columns.
        path: the file, for messages.

    Raises:
        ValueError: its parts contradict one another; when reading: they are damaged.
    """
    bounds = _bounds(matrix, *shape, path)
    values, columns = _Spans(matrix["data"]), _Spans(matrix["indices"])

    def read(start: int, stop: int) -> sp.csr_matrix:
        where = (int(bounds[start]), int(bounds[stop]))
        data, indices = unbroken(
            path,
            f"cells {start} to {stop} are",
            lambda: (values.read(*where), columns.read(*where)),
        )
        _check_indices(indices, shape[1], matrix.name, path)
        indptr = bounds[start : stop + 1] - where[0]
        return sp.csr_matrix((data, indices, indptr), shape=(stop - start, shape[1]), copy=False)

    return RowReader(read)


class _Spans:
    """Spans of a stored 1-D array. The last chunk that was read is kept: the next span is in it."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self._chunk = array.chunks[0] if array.chunks else 1
        self._inflated = inflated_spans(array)
        self._kept = np.empty(0, array.dtype)
        self._kept_start = 0

    def read(self, start: int, stop: int) -> np.ndarray:
        if self._inflated is not None:
            return self._inflated(start, stop)
        if self._chunk <= _LARGE_CHUNK:
            return self._array[start:stop]
        known = np.empty(0, self._kept.dtype)
        if self._kept_start <= start:
            known = self._kept[start - self._kept_start : stop - self._kept_start].copy()
        first = start + len(known)
        if first == stop:
            return known
        end = min(-(-stop // self._chunk) * self._chunk, self._array.shape[0])
        block = self._array[first:end]
        kept = max(first, (stop - 1) // self._chunk * self._chunk)
        self._kept_start, self._kept = kept, block[kept - first :].copy()
        block = block[: stop - first]
        return np.concatenate([known, block]) if len(known) else block


def _bounds(matrix: Any, lines: int, width: int, path: Path) -> np.ndarray:
    """The indptr of a sparse matrix of so many rows (CSR) or columns (CSC), which are so wide.

    Scipy trusts these arrays: where they contradict one another it reads beyond them.
    """
    for name in ("data", "indices", "indptr"):
        part = matrix.get(name)
        if not is_array(part) or part.ndim != 1:
            raise damaged(path, f"{matrix.name} has no 1-D array {name}")
    for name in ("indices", "indptr"):
        if matrix[name].dtype.kind not in "iu":
            raise damaged(path, f"{matrix.name}/{name} holds {matrix[name].dtype}, not integers")
    check_numbers(matrix["data"], path)
    bounds = unbroken(
        path, f"{matrix.name}/indptr is", lambda: matrix["indptr"][:].astype(np.int64)
    )
    stored, indices = matrix["data"].shape[0], matrix["indices"].shape[0]
    if indices != stored:
        raise damaged(path, f"{matrix.name} has {stored} values and {indices} indices")
    if len(bounds) != lines + 1:
        raise damaged(path, f"{matrix.name}/indptr has {len(bounds)} entries, not {lines + 1}")
    longest = int(np.diff(bounds).max(initial=0))
    if stored:
        _check_chunks(matrix["data"], path)
    # Zarr does not store chunks of zeros: these arrays have some where lines hold next to nothing.
    if longest > 1:
        _check_chunks(matrix["indices"], path)
    if longest > width:
        _check_chunks(matrix["indptr"], path)
    if bounds[0] != 0 or bounds[-1] != stored or (np.diff(bounds) < 0).any():
        raise damaged(path, f"{matrix.name}/indptr does not rise from 0 to {stored}")
    return bounds


def _check_chunks(array: Any, path: Path) -> None:
    """Refuse a zarr array that has lost chunks: they would be read as zeros, without an error."""
    missing = getattr(array, "nchunks", 0) - getattr(array, "nchunks_initialized", 0)
    # A last chunk of a single zero is rightly not stored.
    if missing > 1 or (missing == 1 and (array.shape[0] - 1) % array.chunks[0]):
        raise damaged(path, f"{missing} of {array.nchunks} chunks of {array.name} are missing")


def _check_indices(indices: np.ndarray, size: int, name: str, path: Path) -> None:
    # As unsigned integers, negative ones are the largest: one look tells both.
    if len(indices) and indices.view(f"u{indices.itemsize}").max() >= size:
        raise damaged(
            path,
            f"{name}/indices reach from {indices.min()} to {indices.max()}, expected 0 to "
            f"{size - 1}",
        )


def _csc_rows(matrix: Any, shape: tuple[int, int], path: Path) -> RowReader:
    bounds = _bounds(matrix, shape[1], shape[0], path)
    data, indices = matrix["data"], matrix["indices"]
    stored = int(bounds[-1])

    def blocks() -> Iterator[Entries]:
        for start in range(0, stored, BLOCK_ENTRIES):
            stop = min(start + BLOCK_ENTRIES, stored)
            values, rows = unbroken(
                path,
                f"entries {start} to {stop} are",
                lambda start=start, stop=stop: (data[start:stop], indices[start:stop]),  # type: ignore[misc]
            )
            _check_indices(rows, shape[0], matrix.name, path)
            first, last = np.searchsorted(bounds, [start, stop - 1], side="right") - 1
            lengths = np.diff(np.clip(bounds[first : last + 2], start, stop))
            yield rows, np.repeat(np.arange(first, last + 1, dtype=np.int32), lengths), values

    return scratch_rows(blocks, shape, stored, data.dtype, str(path))
