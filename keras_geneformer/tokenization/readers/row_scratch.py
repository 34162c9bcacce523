"""Entries of a matrix in any order, put on disk so that rows can be read from it.

Entries go, as they come, into one file for each range of rows, of about two million entries; a
range is put in order when it is read. So both directions write and read each entry once, in long
pieces, and memory holds some millions of entries whatever the size of the matrix.
"""

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from keras_geneformer.tokenization.readers.count_source import RowReader

logger = logging.getLogger(__name__)

PART_ENTRIES = 2_000_000
BLOCK_ENTRIES = 4_000_000

Entries = tuple[np.ndarray, np.ndarray, np.ndarray]


class RowScratch:
    """A temporary copy of a sparse matrix, from which rows can be read.

    It lies in a directory of its own in the system's temporary folder, which the environment
    variable TMPDIR chooses. It takes 8 bytes and a value for each entry, and is removed by `close`.

    Args:
        blocks: rows, columns and values of entries, in any order, some million a block.
        shape: rows and columns of the matrix; below 2**31.
        entries: about how many there are.
        dtype: of the values.
        name: the file they come from, for messages.
        part_entries: how many entries one file should hold.

    Raises:
        OSError: the copy cannot be written; says where.

    Example:
        >>> block = np.array([1, 0]), np.array([0, 2]), np.array([5.0, 7.0])
        >>> scratch = RowScratch([block], (2, 3), 2, np.float64, "x.mtx")
        >>> scratch.read(1, 2).toarray().tolist()
        [[5.0, 0.0, 0.0]]
        >>> scratch.close()
    """

    def __init__(
        self,
        blocks: Iterable[Entries],
        shape: tuple[int, int],
        entries: int,
        dtype: np.dtype | type,
        name: str,
        part_entries: int = PART_ENTRIES,
    ) -> None:
        self._shape, self._name, self._part_entries = shape, name, part_entries
        self._record = np.dtype([("row", np.int32), ("column", np.int32), ("value", dtype)])
        # A part has at least one row, and fewer parts than rows keep the recursion finite.
        self._rows = max(1, min(shape[0] - 1, shape[0] * part_entries // max(entries, 1)))
        self._stored = np.zeros(-(-shape[0] // self._rows), dtype=np.int64)
        self._finer: dict[int, RowScratch] = {}
        self._recent: tuple[int, sp.csr_matrix] | None = None
        self._directory = tempfile.TemporaryDirectory(prefix="keras_geneformer_rows_")
        try:
            for block in blocks:
                self._add(*block)
        except BaseException:
            self.close()
            raise

    def _add(self, rows: np.ndarray, columns: np.ndarray, values: np.ndarray) -> None:
        parts = rows // self._rows
        counts = np.bincount(parts, minlength=len(self._stored))
        records = np.empty(len(rows), self._record)
        if (parts[1:] < parts[:-1]).any():
            # Numpy sorts 16-bit integers by radix, many times faster than longer ones.
            short = parts.astype(np.uint16) if len(counts) <= 2**16 else parts
            order = np.argsort(short, kind="stable")
            rows, columns, values = rows[order], columns[order], values[order]
        records["row"] = rows % self._rows
        records["column"] = columns
        records["value"] = values
        bounds = np.concatenate([[0], np.cumsum(counts)])
        try:
            for part in np.flatnonzero(counts).tolist():
                with self._file(part).open("ab") as file:
                    file.write(records[bounds[part] : bounds[part + 1]].view(np.uint8).data)
        except OSError as error:
            raise OSError(
                error.errno,
                f"cannot write the temporary copy of {self._name} ({error.strerror}), which takes "
                f"{self._record.itemsize} bytes an entry; set TMPDIR to a folder with more room",
                self._directory.name,
            ) from error
        self._stored += counts

    def _file(self, part: int) -> Path:
        return Path(self._directory.name) / str(part)

    def read(self, start: int, stop: int) -> sp.csr_matrix:
        """Rows `start` to `stop`, entries of one place summed, in the order of their columns."""
        found = []
        for part in range(start // self._rows, -(-stop // self._rows)):
            first = part * self._rows
            low = max(start - first, 0)
            high = min(stop - first, self._rows)
            found.append(self._read_part(part, low, high))
        if not found:
            return sp.csr_matrix((0, self._shape[1]), dtype=self._record["value"])
        return found[0] if len(found) == 1 else sp.vstack(found, format="csr")

    def _read_part(self, part: int, low: int, high: int) -> sp.csr_matrix:
        rows = min(self._rows, self._shape[0] - part * self._rows)
        if part in self._finer:
            return self._finer[part].read(low, high)
        if self._stored[part] > 2 * self._part_entries and rows > 1:
            # Rows that hold far more than others: their part is spread over files of its own.
            self._finer[part] = RowScratch(
                self._blocks(part),
                (rows, self._shape[1]),
                int(self._stored[part]),
                self._record["value"],
                self._name,
                self._part_entries,
            )
            self._file(part).unlink()
            return self._finer[part].read(low, high)
        if self._recent is None or self._recent[0] != part:
            records = self._load(part, 0, int(self._stored[part]))
            places = (records["row"], records["column"])
            whole = sp.csr_matrix((records["value"], places), shape=(rows, self._shape[1]))
            self._recent = (part, whole)
        whole = self._recent[1]
        return whole if (low, high) == (0, rows) else whole[low:high]

    def _blocks(self, part: int) -> Iterator[Entries]:
        for first in range(0, int(self._stored[part]), BLOCK_ENTRIES):
            last = min(first + BLOCK_ENTRIES, int(self._stored[part]))
            records = self._load(part, first, last)
            yield records["row"], records["column"], records["value"]

    def _load(self, part: int, first: int, last: int) -> np.ndarray:
        if first == last:
            return np.empty(0, self._record)
        size = self._record.itemsize
        return np.fromfile(self._file(part), self._record, last - first, offset=first * size)

    def close(self) -> None:
        """Remove the copy."""
        for finer in self._finer.values():
            finer.close()
        self._directory.cleanup()


def scratch_rows(
    blocks: Callable[[], Iterable[Entries]],
    shape: tuple[int, int],
    entries: int,
    dtype: np.dtype | type,
    name: str,
) -> RowReader:
    """Rows from a `RowScratch`, which is made at the first read and removed by `close`.

    Args:
        blocks: gives the entries (see `RowScratch`, as for the rest).
        shape, entries, dtype, name: see `RowScratch`.
    """
    made: list[RowScratch] = []

    def read(start: int, stop: int) -> sp.csr_matrix:
        if not made:
            logger.info(
                "%s: its cells do not lie one after the other, so it is copied to %s once",
                name,
                tempfile.gettempdir(),
            )
            made.append(RowScratch(blocks(), shape, entries, dtype, name))
        return made[0].read(start, stop)

    def close() -> None:
        while made:
            made.pop().close()

    return RowReader(read, close, sequential=True)
