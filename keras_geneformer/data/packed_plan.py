"""Which cells share which row, and which rows make which batch of an epoch, as a few arrays."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PackedBatch:
    """Rows of one length that hold several cells each, one after the other."""

    rows: np.ndarray
    """(cells,) place in the dataset of each cell, row after row."""
    sizes: np.ndarray
    """(R,) cells of each row."""
    length: int
    """Tokens of a row."""

    def share(self, rows: slice) -> "PackedBatch":
        """Some of the rows, contiguous ones."""
        ends = np.concatenate([[0], np.cumsum(self.sizes)])
        sizes = self.sizes[rows]
        start = int(ends[: len(self.sizes)][rows][0]) if len(sizes) else 0
        return PackedBatch(self.rows[start : start + int(sizes.sum())], sizes, self.length)


class PackedPlan:
    """The batches of an epoch of packed rows: a sequence of `PackedBatch`.

    Arrays of one entry a cell or a row, whatever the number of cells: 10 million cells, two a row,
    take 85 MB.

    Args:
        order: (cells,) the cells, row after row.
        starts: (rows + 1,) where each row starts in `order`, and the end.
        length: tokens of a row.
        batch_size: rows a batch; the last has what is left.
        visits: (rows,) the rows in the order in which they come. Default: as they stand.
        batches: the batches, by number, in the order in which they come. Default: all.

    Example:
        >>> import numpy as np
        >>> plan = PackedPlan(np.array([3, 1, 2]), np.array([0, 2, 3]), length=96, batch_size=1)
        >>> len(plan), plan[0].rows.tolist(), plan[1].sizes.tolist()
        (2, [3, 1], [1])
    """

    def __init__(
        self,
        order: np.ndarray,
        starts: np.ndarray,
        length: int,
        batch_size: int,
        visits: np.ndarray | None = None,
        batches: np.ndarray | None = None,
    ) -> None:
        rows = len(starts) - 1
        self._order = order
        self._starts = starts
        self._length = length
        self._batch_size = batch_size
        self._visits = np.arange(rows) if visits is None else visits
        self._batches = np.arange(-(-rows // batch_size)) if batches is None else batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> PackedBatch:
        if not -len(self) <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        rows = self._rows_of(int(self._batches[index]))
        cells = [self._order[self._starts[row] : self._starts[row + 1]] for row in rows]
        sizes = np.array([len(row) for row in cells])
        return PackedBatch(np.concatenate(cells).astype(np.int64), sizes, self._length)

    def __iter__(self) -> Iterator[PackedBatch]:
        return (self[index] for index in range(len(self)))

    def share(self, index: int, count: int) -> "PackedPlan":
        """Every `count`-th batch, from number `index` on."""
        batches = self._batches[index::count]
        return PackedPlan(
            self._order, self._starts, self._length, self._batch_size, self._visits, batches
        )

    def padded_share(self, lengths: np.ndarray) -> float:
        """The share of the tokens that is padding, between 0 and 1.

        Args:
            lengths: tokens of each cell of the dataset.
        """
        of_row = np.add.reduceat(lengths[self._order], self._starts[:-1], dtype=np.int64)
        rows = np.concatenate([self._rows_of(int(batch)) for batch in self._batches])
        return 1.0 - float(of_row[rows].sum()) / (len(rows) * self._length)

    def _rows_of(self, batch: int) -> np.ndarray:
        return self._visits[batch * self._batch_size : (batch + 1) * self._batch_size]
