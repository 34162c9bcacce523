"""Rank value encoding, as pure functions on the entries of many cells at once.

Entries are the stored counts of the cells, row after row as in a CSR matrix: `bounds[i]` to
`bounds[i + 1]` are those of cell i.
"""

from dataclasses import dataclass

import numba
import numpy as np

TARGET_COUNTS = 10_000

_DIGIT = 11  # bits of one pass of the radix sort: its counters stay in the first-level cache
_SHORT = 16


@dataclass(frozen=True)
class RankedCells:
    """The cells of a chunk, in order; those without a gene have length 0.

    Attributes:
        token_ids: flat, int32.
        lengths: number of each cell's, special tokens included, int64, shape (cells,).
        scaled: counts per 10,000 beside the ids, float32 (0 at special tokens), or None.
        found: known genes with counts in each cell, before the limit, int64, shape (cells,).
    """

    token_ids: np.ndarray
    lengths: np.ndarray
    scaled: np.ndarray | None
    found: np.ndarray


def rank_cells(
    counts: np.ndarray,
    columns: np.ndarray,
    bounds: np.ndarray,
    n_counts: np.ndarray,
    tokens: np.ndarray,
    medians: np.ndarray,
    limit: int,
    frame: tuple[int, int] | None = None,
    keep_counts: bool = False,
) -> RankedCells:
    """Order each cell's tokens by rank value, highest first, ties by token id, lowest first.

    The rank value is counts / the cell's total * 10,000 / the gene's nonzero median, in float64.

    Args:
        counts: of each entry, shape (E,), float32 or float64; entries not above zero are left out.
        columns: column of each entry, int32, shape (E,); no token twice in a cell.
        bounds: int64, shape (cells + 1,).
        n_counts: total counts of each cell, float64, shape (cells,), above zero where a cell has
            an entry.
        tokens: token id of each column, int32, shape (columns,), -1 where it has none.
        medians: nonzero median of each column's gene, float64, shape (columns,).
        limit: the most genes to keep of a cell.
        frame: ids of `<cls>` and `<eos>`, which then stand around each cell that has a gene.
        keep_counts: also give the counts per 10,000.

    Returns:
        The ranked cells.

    Example:
        >>> ranked = rank_cells(
        ...     np.array([1.0, 3.0, 1.0]), np.array([0, 1, 2], "int32"), np.array([0, 3]),
        ...     np.array([5.0]), np.array([9, 4, 5], "int32"), np.ones(3), limit=2)
        >>> ranked.token_ids, ranked.found
        (array([4, 5], dtype=int32), array([3]))
    """
    sizes = np.minimum(np.diff(bounds), limit) + (0 if frame is None else 2)
    token_ids = np.empty(int(sizes.sum()), dtype=np.int32)
    scaled = np.empty(len(token_ids) if keep_counts else 0, dtype=np.float32)
    lengths, found = np.zeros((2, len(n_counts)), dtype=np.int64)
    first, last = (-1, -1) if frame is None else frame
    arrays = (counts, columns, bounds, n_counts, tokens, medians)
    used = _rank(*arrays, limit, first, last, token_ids, scaled, lengths, found)
    return RankedCells(token_ids[:used], lengths, scaled[:used] if keep_counts else None, found)


def compile_kernels() -> None:
    """Compile for float32 and float64, or load what was compiled: some seconds the first time."""
    for counts in (np.ones(1, np.float32), np.ones(1)):
        entries = (counts, np.zeros(1, np.int32), np.array([0, 1]))
        cell_sums(*entries, np.zeros(1, np.int32))
        rank_cells(*entries, np.ones(1), np.zeros(1, np.int32), np.ones(1), 1)


def cell_sums(
    counts: np.ndarray, columns: np.ndarray, bounds: np.ndarray, tokens: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each cell's sum of counts, and that of its known genes, exact for integers below 2**53.

    Args:
        counts, columns, bounds, tokens: as in `rank_cells`.

    Returns:
        Two float64 arrays of shape (cells,).
    """
    sums, known = np.zeros((2, len(bounds) - 1))
    _sum(counts, columns, bounds, tokens, sums, known)
    return sums, known


@numba.njit(nogil=True, cache=True)
def _sum(counts, columns, bounds, tokens, sums, known):
    for cell in range(len(sums)):
        for entry in range(bounds[cell], bounds[cell + 1]):
            count = np.float64(counts[entry])
            sums[cell] += count
            if tokens[columns[entry]] >= 0:
                known[cell] += count


@numba.njit(nogil=True, cache=True)
def _rank(
    counts, columns, bounds, n_counts, tokens, medians, limit, first, last, token_ids, scaled,
    lengths, found,
):  # fmt: skip
    longest = 0
    for cell in range(len(n_counts)):
        longest = max(longest, bounds[cell + 1] - bounds[cell])
    values, ids, entries = (
        np.empty(longest, np.float64),
        np.empty(longest, np.int32),
        np.empty(longest, np.int64),
    )
    bits = values.view(np.int64)
    keys, spare = np.empty(longest, np.int64), np.empty(longest, np.int64)
    tallies = np.empty((2, 1 << _DIGIT), np.int64)
    end = 0
    for cell in range(len(n_counts)):
        known = 0
        for entry in range(bounds[cell], bounds[cell + 1]):
            token = tokens[columns[entry]]
            if token >= 0 and counts[entry] > 0:
                ids[known] = token
                entries[known] = entry
                known += 1
        found[cell] = known
        if known == 0:
            continue
        total = n_counts[cell]
        for i in range(known):
            entry = entries[i]
            values[i] = counts[entry] / total * TARGET_COUNTS / medians[columns[entry]]
        _order(values, bits, ids, known, keys, spare, tallies)
        start = end
        if first >= 0:
            token_ids[end] = first
            end += 1
        kept = min(known, limit)
        for i in range(kept):
            token_ids[end + i] = ids[keys[i] & 0xFFFFFFFF]
        if len(scaled):
            scaled[start] = 0
            for i in range(kept):
                entry = entries[keys[i] & 0xFFFFFFFF]
                scaled[end + i] = counts[entry] / total * TARGET_COUNTS
        end += kept
        if first >= 0:
            token_ids[end] = last
            if len(scaled):
                scaled[end] = 0
            end += 1
        lengths[cell] = end - start
    return end


@numba.njit(nogil=True, cache=True)
def _order(values, bits, ids, known, keys, spare, tallies):
    """Leave in the low halves of `keys` the positions in their order.

    The bits of positive floats are ordered as the floats are. Their distance from the largest is
    cut to two digits and sorted by radix; what agrees in these is then put right exactly.
    """
    highest = lowest = bits[0]
    for i in range(1, known):
        highest = max(highest, bits[i])
        lowest = min(lowest, bits[i])
    shift = 0
    while (highest - lowest) >> shift >= 1 << (2 * _DIGIT):
        shift += 1
    tallies[:] = 0
    mask = (1 << _DIGIT) - 1
    for i in range(known):
        key = (highest - bits[i]) >> shift
        keys[i] = key << 32 | i
        tallies[0, key & mask] += 1
        tallies[1, key >> _DIGIT] += 1
    for digit in range(2):
        place = 0
        for value in range(1 << _DIGIT):
            tally = tallies[digit, value]
            tallies[digit, value] = place
            place += tally
    for i in range(known):
        digit = (keys[i] >> 32) & mask
        spare[tallies[0, digit]] = keys[i]
        tallies[0, digit] += 1
    for i in range(known):
        digit = spare[i] >> (32 + _DIGIT)
        keys[tallies[1, digit]] = spare[i]
        tallies[1, digit] += 1
    start = 0
    while start < known:
        stop = start + 1
        while stop < known and keys[stop] >> 32 == keys[start] >> 32:
            stop += 1
        if stop - start > 1:
            _settle(values, ids, keys[start:stop])
        start = stop


@numba.njit(nogil=True, cache=True)
def _settle(values, ids, run):
    """Order a few positions by value, highest first, and id."""
    if len(run) > _SHORT:
        where = run & 0xFFFFFFFF
        where = where[np.argsort(ids[where])]
        run[:] = where[np.argsort(-values[where], kind="mergesort")]
        return
    for i in range(1, len(run)):
        moved = run[i]
        value, token = values[moved & 0xFFFFFFFF], ids[moved & 0xFFFFFFFF]
        place = i
        while place > 0:
            other = run[place - 1] & 0xFFFFFFFF
            if values[other] > value or (values[other] == value and ids[other] < token):
                break
            run[place] = run[place - 1]
            place -= 1
        run[place] = moved


def sum_repeated(
    groups: np.ndarray, counts: np.ndarray, bounds: np.ndarray, repeated: np.ndarray
) -> np.ndarray:
    """Sum, cell by cell, the counts of entries that belong to one gene.

    Args:
        groups: the gene of each entry, shape (E,).
        counts: of each entry, shape (E,).
        bounds: shape (cells + 1,).
        repeated: whether each entry's gene may stand more than once in a cell, shape (E,).

    Returns:
        float64 counts, shape (E,): the sum at one entry of each gene and zero at its others.
    """
    summed = counts.astype(np.float64)
    entries = np.flatnonzero(repeated)
    if not len(entries):
        return summed
    cells = np.searchsorted(bounds, entries, side="right")
    # Adding in the order of the values makes the sum independent of the order of the columns.
    order = np.lexsort((summed[entries], groups[entries], cells))
    entries, cells = entries[order], cells[order]
    first = np.ones(len(entries), dtype=bool)
    first[1:] = (cells[1:] != cells[:-1]) | (groups[entries[1:]] != groups[entries[:-1]])
    starts = np.flatnonzero(first)
    sums = np.add.reduceat(summed[entries], starts)
    summed[entries] = 0.0
    summed[entries[starts]] = sums
    return summed
