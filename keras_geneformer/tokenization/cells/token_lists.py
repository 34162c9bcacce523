"""Lists of token ids of unequal lengths, kept flat, in one piece or as many as a file has."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import numpy as np


def id_dtype(size: int | None) -> np.dtype:
    """The narrowest signed type that holds the ids below `size`: int16 or int32.

    Signed, as the published package and PyTorch have no use for unsigned 16-bit integers.
    """
    return np.dtype(np.int16 if size is not None and size <= 2**15 else np.int32)


_GATHERED = 2**22
"""Values of chosen cells that `pieces` copies at a time: 8 to 16 MB."""


class TokenLists:
    """Token ids of cells: `lists[i]` is the int32 array of cell i.

    The same holds other lists that go with the ids, such as counts as float32: integers come out as
    int32, anything else in its own type. Where the pieces are memory mapped, `lists[i]`, `pad` and
    `pieces` read what they are asked for and keep nothing; only `token_ids` gathers everything.

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

    @classmethod
    def joined(cls, parts: Sequence["TokenLists"]) -> "TokenLists":
        """The lists of several, one after the other, without a copy of their ids."""
        pieces = [piece for part in parts for piece in part._pieces]
        if all(part._rows is None for part in parts):
            return cls(pieces)
        starts = np.cumsum([0] + [int(part._bounds[-1]) for part in parts])
        rows = [
            start + (np.arange(len(part)) if part._rows is None else part._rows)
            for start, part in zip(starts, parts)
        ]
        return cls(pieces, np.concatenate(rows))

    def __len__(self) -> int:
        return int(self._bounds[-1]) if self._rows is None else len(self._rows)

    def __getitem__(self, i: int) -> np.ndarray:
        if not -len(self) <= i < len(self):
            raise IndexError(f"cell {i} of {len(self)}")
        row = i % len(self) if self._rows is None else self._rows[i]
        piece = int(np.searchsorted(self._bounds, row, side="right")) - 1
        ids, offsets = self._pieces[piece]
        local = row - self._bounds[piece]
        return ids[offsets[local] : offsets[local + 1]].astype(self._shown)

    def take(self, rows: np.ndarray) -> "TokenLists":
        """The lists at these positions, without a copy of their ids."""
        taken = TokenLists(self._pieces, rows if self._rows is None else self._rows[rows])
        taken.__dict__["lengths"] = self.lengths[rows]
        return taken

    @cached_property
    def dtype(self) -> np.dtype:
        """The type that holds the values as they are stored."""
        types = {values.dtype for values, _ in self._pieces}
        return np.result_type(*types) if types else np.dtype(np.int32)

    def narrowest_dtype(self) -> np.dtype:
        """int16 or int32, whatever integers others have written; reads all ids."""
        largest = max((int(ids.max(initial=0)) for ids, _ in self.pieces()), default=0)
        return id_dtype(largest + 1)

    @property
    def _shown(self) -> np.dtype:
        return np.dtype(np.int32) if self.dtype.kind in "iu" else self.dtype

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
        """All ids in the order of the cells, flat; a view where they lie in one piece.

        Of a dataset larger than memory use `pieces`.
        """
        parts = [ids for ids, _ in self.pieces()]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)

    def pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All cells in their order, piece by piece.

        Yields:
            Pairs of flat ids and offsets, of which the first is 0 and the last the number of ids:
            cell i of the piece is `ids[offsets[i]:offsets[i + 1]]`. The ids are a view of what is
            stored; of chosen rows, a copy of some four million ids at most (or of one cell).

        Example:
            >>> lists = TokenLists.from_arrays([[5, 2], [7], [3, 4, 6]])
            >>> [(ids.tolist(), offsets.tolist()) for ids, offsets in lists.pieces()]
            [([5, 2, 7, 3, 4, 6], [0, 2, 3, 6])]
        """
        if self._rows is None:
            for ids, offsets in self._pieces:
                if len(offsets) > 1:
                    yield ids[offsets[0] : offsets[-1]], offsets - offsets[0]
            return
        start = 0
        while start < len(self):
            limit = self.offsets[start] + _GATHERED
            stop = max(start + 1, int(np.searchsorted(self.offsets, limit, side="right")) - 1)
            yield self._gathered(start, stop), self.offsets[start : stop + 1] - self.offsets[start]
            start = stop

    def pad(
        self,
        rows: np.ndarray | Sequence[int],
        length: int | None = None,
        fill: int | float = 0,
        out: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Some cells as one rectangle, filled on the right.

        Args:
            rows: positions of the cells, in the order asked for.
            length: of a row of the result. Default: that of the longest of these cells.
            fill: what stands after a cell's ids.
            out: (rows, length), to be written into. Default: a new array, int32 for integers.

        Returns:
            The rectangle of shape (rows, length), and the lengths of the cells, int32.

        Raises:
            ValueError: a cell is longer than `length`.
            IndexError: a position lies outside.

        Example:
            >>> lists = TokenLists.from_arrays([[5, 2], [7], [3, 4, 6]])
            >>> lists.pad([2, 1], length=4)[0].tolist()
            [[3, 4, 6, 0], [7, 0, 0, 0]]
        """
        rows = np.asarray(rows, dtype=np.int64)
        lengths = self.lengths[rows]
        longest = int(lengths.max(initial=0))
        if length is None:
            length = longest
        elif longest > length:
            raise ValueError(
                f"A cell of {longest} tokens does not fit into {length}: pass a greater length, or "
                "tokenize with a smaller max_length."
            )
        if out is None:
            out = np.empty((len(rows), length), dtype=self._shown)
        # A slice a cell: cells of a shuffled batch lie in as many pieces, and nothing is gained by
        # computing the place of every id.
        pieces, places = self._places(rows)
        for row, (piece, place, number) in enumerate(
            zip(pieces.tolist(), places.tolist(), lengths.tolist())
        ):
            ids, offsets = self._pieces[piece]
            start = int(offsets[place])
            out[row, :number] = ids[start : start + number]
            out[row, number:] = fill
        return out, lengths

    def _places(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The piece of each of these cells, and its place there."""
        if self._rows is None:
            stored = np.where(rows < 0, rows + len(self), rows)
        else:
            stored = self._rows[rows]
        pieces = np.searchsorted(self._bounds, stored, side="right") - 1
        return pieces, stored - self._bounds[pieces]

    def _gathered(self, start: int, stop: int) -> np.ndarray:
        """The ids of chosen rows end to end."""
        flat = np.empty(self.offsets[stop] - self.offsets[start], dtype=self.dtype)
        ends = (self.offsets[start + 1 : stop + 1] - self.offsets[start]).tolist()
        pieces, places = self._places(np.arange(start, stop))
        begin = 0
        for piece, place, end in zip(pieces.tolist(), places.tolist(), ends):
            ids, offsets = self._pieces[piece]
            first = int(offsets[place])
            flat[begin:end] = ids[first : first + end - begin]
            begin = end
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
