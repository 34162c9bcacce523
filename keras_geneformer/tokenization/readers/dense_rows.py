"""Rows of a dense matrix that is stored in blocks, none of which is read twice in a row."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from keras_geneformer.tokenization.readers.count_source import RowReader
from keras_geneformer.tokenization.readers.file_checks import check_numbers, unbroken
from keras_geneformer.tokenization.readers.row_scratch import Entries, scratch_rows

# Values read at a time: 64 MB of float32.
BLOCK_VALUES = 2**24
# A range of cells as long as a stored block is kept as a sparse matrix of up to so many values;
# at one in eight that are not zero it takes 270 MB.
KEPT_VALUES = 2**28


def dense_rows(array: Any, path: Path, cells_first: bool = True) -> RowReader:
    """Rows of a dense HDF5 or zarr array.

    Cells are read in ranges that begin and end where stored blocks do, and the last range is kept.
    Where blocks reach over too many cells for that, the matrix goes once to a temporary copy.

    Args:
        array: cells by genes, or genes by cells.
        path: the file, for messages.
        cells_first: whether it is cells by genes.

    Raises:
        ValueError: it holds no numbers; when reading: it is damaged.
    """
    check_numbers(array, path)
    cells, genes = array.shape if cells_first else array.shape[::-1]
    stored = array.chunks or (1, 1)
    block_cells, block_genes = stored if cells_first else stored[::-1]
    if block_cells * genes <= BLOCK_VALUES:
        wanted = BLOCK_VALUES // max(genes, 1)
        step = max(1, wanted // block_cells * block_cells)
    else:
        step = block_cells
    # Wide ranges are read some genes at a time.
    panel = max(1, BLOCK_VALUES // step // block_genes) * block_genes

    def panels(start: int, stop: int) -> Iterator[tuple[int, sp.csr_matrix]]:
        for first in range(0, max(genes, 1), panel):
            last = min(first + panel, genes)
            where = (slice(start, stop), slice(first, last))
            values = unbroken(
                path,
                f"cells {start} to {stop} are",
                lambda where=where: array[where if cells_first else where[::-1]],  # type: ignore[misc]
            )
            yield first, _sparse(values, cells_first)

    if step * genes > KEPT_VALUES:

        def blocks() -> Iterator[Entries]:
            for start in range(0, cells, step):
                for first, rows in panels(start, min(start + step, cells)):
                    found = rows.tocoo()
                    yield found.row + start, found.col + first, found.data

        return scratch_rows(blocks, (cells, genes), cells * genes // 8, array.dtype, str(path))

    kept: tuple[int, sp.csr_matrix] | None = None

    def block(start: int) -> sp.csr_matrix:
        nonlocal kept
        if kept is None or kept[0] != start:
            parts = [rows for _first, rows in panels(start, min(start + step, cells))]
            kept = (start, parts[0] if len(parts) == 1 else sp.hstack(parts, format="csr"))
        return kept[1]

    def read(start: int, stop: int) -> sp.csr_matrix:
        found = []
        for first in range(start // step * step, stop, step):
            rows = block(first)
            found.append(rows[max(start - first, 0) : stop - first])
        if not found:
            return sp.csr_matrix((0, genes), dtype=array.dtype)
        return found[0] if len(found) == 1 else sp.vstack(found, format="csr")

    return RowReader(read)


def _sparse(values: np.ndarray, cells_first: bool) -> sp.csr_matrix:
    """Cells by genes, from a dense array in the order that it is stored in."""
    lines, width = values.shape
    flat = np.ascontiguousarray(values).ravel()
    entries = np.flatnonzero(flat)
    bounds = np.searchsorted(entries, np.arange(lines + 1) * width)
    parts = (flat[entries], (entries % max(width, 1)).astype(np.int32), bounds)
    if cells_first:
        return sp.csr_matrix(parts, shape=(lines, width))
    return sp.csc_matrix(parts, shape=(width, lines)).tocsr()
