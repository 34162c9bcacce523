"""Lists of token ids of unequal lengths, kept flat, in one piece or as many as a file has."""

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np


def id_dtype(size: int | None) -> np.dtype:
    """The narrowest signed type that holds the ids below `size`: int16 or int32.

    Signed, as the published package and PyTorch have no use for unsigned 16-bit integers.
    """
    return np.dtype(np.int16 if size is not None and size <= 2**15 else np.int32)


class TokenLists:
    """Token ids of cells: `lists[i]` is the int32 array of cell i.

    Args:
        pieces: pairs of flat ids and their offsets (one more than there are cells; cell i of a
            piece is `ids[offsets[i]:offsets[i + 1]]`). The arrays are kept, not copied, so they
            may be memory mapped.
        rows: the cells to show, in order, as positions over all pieces. Default: all.

    Example:
        >>> lists = TokenLists.from_arrays([[5, 2], [7], [3, 4, 6]], size=10)
        >>> lists[2], lists.take(np.array([1, 0])).lengths
        (array([3, 4, 6], dtype=int32), array([1, 2], dtype=int32))
    """

    def __init__(
        self,
        pieces: Sequence[tuple[np.ndarray, np.ndarray]],
        rows: np.ndarray | None = None,
    ) -> None:
        self._pieces = list(pieces)
        self._bounds = np.cumsum([0] + [len(offsets) - 1 for _, offsets in self._pieces])
        self._rows = rows

    @classmethod
    def from_arrays(cls, cells: Iterable[object], size: int | None = None) -> "TokenLists":
        """Keep the ids of a list of 1-D integer sequences.

        Args:
            cells: one 1-D sequence of token ids a cell.
            size: the ids are below it. Default: unknown.

        Raises:
            ValueError: a cell is not a 1-D sequence of integers from 0 to `size` - 1.
        """
        arrays = [_checked(cell, i, size) for i, cell in enumerate(cells)]
        offsets = np.zeros(len(arrays) + 1, dtype=np.int64)
        np.cumsum([len(array) for array in arrays], out=offsets[1:])
        flat = np.concatenate(arrays) if arrays else np.zeros(0)
        if size is None:
            size = int(flat.max()) + 1 if len(flat) else 1
        return cls([(flat.astype(id_dtype(size)), offsets)])

    def __len__(self) -> int:
        return int(self._bounds[-1]) if self._rows is None else len(self._rows)

    def __getitem__(self, i: int) -> np.ndarray:
        if not -len(self) <= i < len(self):
            raise IndexError(f"cell {i} of {len(self)}")
        row = i % len(self) if self._rows is None else self._rows[i]
        piece = int(np.searchsorted(self._bounds, row, side="right")) - 1
        ids, offsets = self._pieces[piece]
        local = row - self._bounds[piece]
        return ids[offsets[local] : offsets[local + 1]].astype(np.int32)

    def take(self, rows: np.ndarray) -> "TokenLists":
        """The lists at these positions, without a copy of their ids."""
        return TokenLists(self._pieces, rows if self._rows is None else self._rows[rows])

    @cached_property
    def lengths(self) -> np.ndarray:
        """Number of ids of each cell, int32, shape (cells,)."""
        parts = [np.diff(offsets).astype(np.int32) for _, offsets in self._pieces]
        lengths = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)
        return lengths if self._rows is None else lengths[self._rows]

    @cached_property
    def offsets(self) -> np.ndarray:
        """Where each cell starts in `token_ids`, int64, shape (cells + 1,)."""
        offsets = np.zeros(len(self) + 1, dtype=np.int64)
        np.cumsum(self.lengths, out=offsets[1:])
        return offsets

    @cached_property
    def token_ids(self) -> np.ndarray:
        """All ids in the order of the cells, flat; a view where they lie in one piece."""
        if self._rows is None:
            parts = [ids[offsets[0] : offsets[-1]] for ids, offsets in self._pieces]
            if len(parts) == 1:
                return parts[0]
        else:
            parts = [self._gathered()]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)

    def _gathered(self) -> np.ndarray:
        """The ids of the chosen rows, copied piece by piece into their places."""
        assert self._rows is not None
        dtype = np.result_type(*(ids.dtype for ids, _ in self._pieces))
        flat = np.empty(self.offsets[-1], dtype=dtype)
        piece_of = np.searchsorted(self._bounds, self._rows, side="right") - 1
        for piece, (ids, offsets) in enumerate(self._pieces):
            chosen = np.flatnonzero(piece_of == piece)
            lengths = self.lengths[chosen].astype(np.int64)
            source = offsets[self._rows[chosen] - self._bounds[piece]].astype(np.int64)
            within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
            target = np.repeat(self.offsets[chosen], lengths) + within
            flat[target] = ids[np.repeat(source, lengths) + within]
        return flat


def _checked(cell: object, i: int, size: int | None) -> np.ndarray:
    array = np.asarray(cell)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(
            f"cell {i} is an array of {array.dtype} of shape {array.shape}; expected a 1-D "
            "sequence of integer token ids"
        )
    if array.size and (array.min() < 0 or (size is not None and array.max() >= size)):
        limit = "" if size is None else f" and below the vocabulary's {size}"
        raise ValueError(
            f"cell {i} has token ids from {array.min()} to {array.max()}; expected 0 or more{limit}"
        )
    return array.astype(np.int64)
