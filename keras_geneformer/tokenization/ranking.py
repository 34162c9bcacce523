"""Rank value encoding, as pure functions on the entries of many cells at once.

Entries are the detected genes of the cells, row after row as in a CSR matrix: `bounds[i]` to
`bounds[i + 1]` are those of cell i.
"""

import numpy as np

TARGET_COUNTS = 10_000


def rank_values(
    counts: np.ndarray, n_counts: np.ndarray, medians: np.ndarray, bounds: np.ndarray
) -> np.ndarray:
    """Counts per 10,000 of the cell, over the gene's nonzero median, in float64.

    Args:
        counts: of each entry, shape (E,).
        n_counts: total counts of each cell, shape (cells,).
        medians: nonzero median of each entry's gene, shape (E,).
        bounds: shape (cells + 1,).

    Returns:
        float64 array, shape (E,).
    """
    values = counts.astype(np.float64)
    values /= np.repeat(n_counts.astype(np.float64), np.diff(bounds))
    values *= TARGET_COUNTS
    values /= medians
    return values


def rank_tokens(
    values: np.ndarray, tokens: np.ndarray, bounds: np.ndarray, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Order each cell's tokens by value, highest first, ties by token id, lowest first.

    Args:
        values: of each entry, above zero and finite, shape (E,), float64.
        tokens: token id of each entry, shape (E,); no token twice in a cell.
        bounds: shape (cells + 1,).
        limit: the most tokens to keep of a cell.

    Returns:
        The tokens of all cells, flat, int32; and the number of each cell's, shape (cells,).

    Example:
        >>> rank_tokens(np.array([1.0, 3.0, 1.0]), np.array([9, 4, 5]), np.array([0, 3]), 2)
        (array([4, 5], dtype=int32), array([2]))
    """
    # One integer carries the value's leading bits, inverted, above the token id: sorting plain
    # integers is several times faster than sorting positions by a float. The bits of positive
    # floats are ordered as the floats are.
    width = max(int(tokens.max(initial=1)).bit_length(), 1)
    ids = tokens.astype(np.uint64)
    packed = values.view(np.uint64) >> np.uint64(width - 1)
    np.invert(packed, out=packed)
    packed <<= np.uint64(width)
    packed |= ids
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist()):
        packed[start:stop].sort()
    ordered = (packed & np.uint64((1 << width) - 1)).astype(np.int32)
    _settle_close_values(packed >> np.uint64(width), ordered, values, tokens, bounds)

    lengths = np.diff(bounds)
    kept = np.minimum(lengths, limit)
    if (kept < lengths).any():
        within = np.arange(len(ordered)) - np.repeat(bounds[:-1], lengths)
        ordered = ordered[within < limit]
    return ordered, kept


def _settle_close_values(
    leading: np.ndarray,
    ordered: np.ndarray,
    values: np.ndarray,
    tokens: np.ndarray,
    bounds: np.ndarray,
) -> None:
    """Reorder, in place, the cells in which values agree in the leading bits and differ below."""
    equal = np.flatnonzero(leading[1:] == leading[:-1]) + 1
    cells = np.unique(np.searchsorted(bounds, equal, side="right") - 1)
    if not len(cells):
        return
    value_of = np.empty(int(tokens.max()) + 1)
    for cell in cells.tolist():
        entries = slice(bounds[cell], bounds[cell + 1])
        value_of[tokens[entries]] = values[entries]
        sequence = value_of[ordered[entries]]
        if (sequence[1:] > sequence[:-1]).any():
            order = np.lexsort((tokens[entries], -values[entries]))
            ordered[entries] = tokens[entries][order]


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


def add_special_tokens(
    tokens: np.ndarray, lengths: np.ndarray, first: int, last: int
) -> tuple[np.ndarray, np.ndarray]:
    """Put `<cls>` before and `<eos>` after the tokens of each cell.

    Args:
        tokens: flat, shape (E,).
        lengths: of each cell, shape (cells,).
        first: token id of `<cls>`.
        last: token id of `<eos>`.

    Returns:
        The tokens, shape (E + 2 * cells,), and their numbers, shape (cells,).
    """
    longer = lengths + 2
    ends = np.cumsum(longer)
    inside = np.ones(len(tokens) + 2 * len(lengths), dtype=bool)
    inside[ends - 1] = inside[ends - longer] = False
    result = np.empty(len(inside), dtype=tokens.dtype)
    result[inside] = tokens
    result[ends - longer] = first
    result[ends - 1] = last
    return result, longer
