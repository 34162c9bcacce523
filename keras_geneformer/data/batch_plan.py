"""Which cells make which batch of an epoch, as a few arrays."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Batch:
    """Which cells make a batch, and the length to which they are padded."""

    rows: np.ndarray
    length: int


class BatchPlan:
    """The batches of an epoch: a sequence of `Batch`.

    Arrays of one entry a cell or a batch, whatever the number of cells: 10 million cells in
    batches of 12 take 50 MB.

    Args:
        order: (cells,) the cells, batch after batch.
        starts: (batches + 1,) where each batch starts in `order`, and its end.
        lengths: (batches,) padded length of each.
        visits: the batches in the order in which they come. Default: as they stand.

    Example:
        >>> import numpy as np
        >>> plan = BatchPlan(np.array([3, 1, 2]), np.array([0, 2, 3]), np.array([96, 48]))
        >>> len(plan), plan[0].rows.tolist(), plan[1].length
        (2, [3, 1], 48)
    """

    def __init__(
        self,
        order: np.ndarray,
        starts: np.ndarray,
        lengths: np.ndarray,
        visits: np.ndarray | None = None,
    ) -> None:
        self._order = order
        self._starts = starts
        self._lengths = lengths
        self._visits = np.arange(len(lengths)) if visits is None else visits

    def __len__(self) -> int:
        return len(self._visits)

    def __getitem__(self, index: int) -> Batch:
        if not -len(self) <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        batch = self._visits[index]
        rows = self._order[self._starts[batch] : self._starts[batch + 1]]
        return Batch(rows.astype(np.int64), int(self._lengths[batch]))

    def __iter__(self) -> Iterator[Batch]:
        return (self[index] for index in range(len(self)))

    @property
    def sizes(self) -> np.ndarray:
        """(batches,) cells of each batch."""
        return np.diff(self._starts)[self._visits]

    @property
    def lengths(self) -> np.ndarray:
        """(batches,) padded length of each batch."""
        return self._lengths[self._visits]

    def shuffled(self, rng: np.random.Generator) -> "BatchPlan":
        """The same batches in an order drawn anew."""
        return self._visiting(self._visits[rng.permutation(len(self))])

    def share(self, index: int, count: int) -> "BatchPlan":
        """Every `count`-th batch, from number `index` on."""
        return self._visiting(self._visits[index::count])

    def with_unlike_first(self) -> "BatchPlan":
        """The same batches, the first two of unlike lengths where there are unlike lengths."""
        unlike = np.flatnonzero(self.lengths != self.lengths[:1])
        if not len(unlike) or unlike[0] == 1:
            return self
        visits = self._visits.copy()
        visits[[1, unlike[0]]] = visits[[unlike[0], 1]]
        return self._visiting(visits)

    def padded_share(self, lengths: np.ndarray) -> float:
        """The share of the tokens that is padding, between 0 and 1.

        Args:
            lengths: tokens of each cell of the dataset.
        """
        padded = int(np.sum(self.sizes * self.lengths.astype(np.int64)))
        if not padded:
            return 0.0
        real = np.add.reduceat(lengths[self._order], self._starts[:-1], dtype=np.int64)
        return 1.0 - float(real[self._visits].sum()) / padded

    def _visiting(self, visits: np.ndarray) -> "BatchPlan":
        return BatchPlan(self._order, self._starts, self._lengths, visits)
