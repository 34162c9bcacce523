"""Several short cells in one row: which fit together, and how they are laid side by side.

Each cell attends to itself alone (`GeneformerBackbone.packed_model`), so a row of three cells gives
what three padded rows give, without their padding.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_geneformer.data.buckets import batch_sizes
from keras_geneformer.data.collation import collate
from keras_geneformer.data.compatibility import check_tokens
from keras_geneformer.data.masking import Masking
from keras_geneformer.data.packed_plan import PackedBatch, PackedPlan


def positions_per_row(masking: Masking, length: int) -> int:
    """M, the masked positions for which a row of packed cells has room.

    That of a cell as long as the row, and 1 / 64 more, 2 at least: each of several cells rounds its
    own count. (With `published=True`, whose room is six standard deviations of a binomial count
    above its mean, nothing more: the row's count is as binomial as a cell's.)

    Example:
        >>> masking = Masking(100, {"<pad>": 0, "<mask>": 1})
        >>> masking.positions_per_cell(2048), positions_per_row(masking, 2048)
        (307, 311)
    """
    number = masking.positions_per_cell(length)
    return number if masking.published else number + max(2, number // 64)


def plan_rows(
    lengths: np.ndarray,
    length: int,
    masking: Masking,
    batch_size: int | None = None,
    max_tokens: int | None = None,
    rng: np.random.Generator | None = None,
) -> PackedPlan:
    """Put the cells of an epoch into rows; every cell is in exactly one.

    First-fit decreasing (Johnson 1973) over all cells of the epoch: a row takes the longest cell
    left, then the longest that fits beside it, until none does. A row whose cells together would
    have more masked positions than `positions_per_row` is closed before. Lengths alone decide, and
    equal rows are planned at once, so the time hardly grows with the number of cells, and every
    epoch has as many rows; which of the cells of a length comes where is drawn anew.

    Args:
        lengths: (cells,) tokens a cell.
        length: tokens of a row.
        masking: how tokens are masked.
        batch_size: rows a batch; the last batch has what is left.
        max_tokens: in place of `batch_size`, tokens a batch at most.
        rng: shuffles cells of one length, and the rows; without it the rows with the longest cells
            come first.

    Returns:
        The batches.

    Raises:
        ValueError: neither or both sizes given, a size too small, or a cell longer than a row.
    """
    lengths = np.asarray(lengths)
    longest = int(lengths.max(initial=0))
    if longest > length:
        raise ValueError(
            f"pack={length}: a cell of {longest} tokens is longer than the row. Give "
            f"pack={longest} or more, or tokenize again with max_length={length}."
        )
    if max_tokens is not None and max_tokens < length:
        raise ValueError(f"max_tokens={max_tokens} holds no row of pack={length} tokens.")
    rows_per_batch = int(batch_sizes(np.array([length]), batch_size, max_tokens)[0])
    # Narrow keys: numpy sorts 16-bit integers by radix.
    narrow = np.int16 if length < 2**15 else np.int64
    numbers = np.int32 if len(lengths) < 2**31 else np.int64
    sequence, sizes = [], []
    for pattern, rows in _patterns(np.bincount(lengths), length, masking):
        sequence.append(np.tile(np.array(pattern, dtype=narrow), rows))
        sizes.append(np.full(rows, len(pattern), dtype=numbers))
    starts = np.concatenate([[0], np.cumsum(np.concatenate(sizes))]).astype(numbers)
    order = np.arange(len(lengths), dtype=numbers)
    if rng is not None:
        order = rng.permutation(order)
    by_length = order[np.argsort(lengths[order].astype(narrow), kind="stable")]
    order[np.argsort(np.concatenate(sequence), kind="stable")] = by_length
    visits = np.arange(len(starts) - 1, dtype=numbers)
    visits = visits if rng is None else rng.permutation(visits)
    return PackedPlan(order, starts, length, rows_per_batch, visits)


def pack_cells(
    cells: Any,
    batch: PackedBatch,
    masking: Masking,
    epoch: int,
    pad_token_id: int = 0,
    vocabulary_size: int | None = None,
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Mask cells as they would be alone, and lay them side by side.

    Args:
        cells: a `CellDataset`.
        batch: which of them, in which rows of L tokens; none at all for a batch of no rows.
        masking: how tokens are masked.
        epoch: number of the epoch.
        pad_token_id: what stands behind the last cell of a row.
        vocabulary_size: token ids are below it. None: they are not looked at.

    Returns:
        The inputs, labels and weights of R rows. Inputs, int32: `token_ids` (R, L); `cell_numbers`
        (R, L), 1, 2, ... for the cells of a row and 0 at padding; `positions` (R, L), the rank in
        the cell, from 0; `mask_positions` (R, M), places in the row, ascending, 0 where a row has
        fewer. Labels (R, M) int32, the tokens that stood there, and weights (R, M) float32, 1 where
        a position counts.

    Raises:
        ValueError: a token id outside the vocabulary.
    """
    rows, width = len(batch.sizes), positions_per_row(masking, batch.length)
    inputs = {
        name: np.full((rows, batch.length), filler, dtype=np.int32)
        for name, filler in (("token_ids", pad_token_id), ("cell_numbers", 0), ("positions", 0))
    }
    inputs["mask_positions"] = np.zeros((rows, width), dtype=np.int32)
    labels = np.zeros((rows, width), dtype=np.int32)
    if not len(batch.rows):
        return inputs, labels, np.zeros(labels.shape, dtype=np.float32)
    token_ids, padding_mask = collate(cells, batch.rows, pad_token_id=pad_token_id)
    if vocabulary_size is not None and token_ids.size:
        check_tokens(token_ids, vocabulary_size)
    masked = masking(token_ids, padding_mask, batch.rows, epoch)

    row = np.repeat(np.arange(rows), batch.sizes)
    first = np.concatenate([[0], np.cumsum(batch.sizes)])[row]
    ends = np.cumsum(padding_mask.sum(axis=1))
    before = np.concatenate([[0], ends])
    start = before[:-1] - before[first]
    cell, position = np.nonzero(padding_mask)
    place = row[cell], start[cell] + position
    inputs["token_ids"][place] = masked.token_ids[cell, position]
    inputs["cell_numbers"][place] = (np.arange(len(row)) - first + 1)[cell]
    inputs["positions"][place] = position

    cell, number = np.nonzero(masked.weights)
    counts = np.bincount(row[cell], minlength=rows)
    rank = np.arange(len(cell)) - (np.cumsum(counts) - counts)[row[cell]]
    # Published masks are drawn one by one: a row beyond six standard deviations loses its last.
    cell, number, rank = (array[rank < width] for array in (cell, number, rank))
    inputs["mask_positions"][row[cell], rank] = start[cell] + masked.mask_positions[cell, number]
    labels[row[cell], rank] = masked.labels[cell, number]
    weights = (np.arange(width) < counts[:, None]).astype(np.float32)
    return inputs, labels, weights


def _patterns(
    cells_of: np.ndarray, length: int, masking: Masking
) -> Iterator[tuple[list[int], int]]:
    """The rows of first-fit decreasing: lengths side by side, and how often they come so.

    Args:
        cells_of: cells of each length, from 0.
        length: tokens of a row.
        masking: what is masked of them.
    """
    masks_of = [0] * len(cells_of)
    if not masking.published:
        # A cell's special tokens are not masked, so these are the most that it can have.
        masks_of = [masking.positions_per_cell(tokens) for tokens in range(len(cells_of))]
    room = positions_per_row(masking, length)
    longest_with = (np.searchsorted(masks_of, np.arange(room + 1), side="right") - 1).tolist()
    left = cells_of.tolist()
    present = np.flatnonzero(cells_of).tolist()
    while present:
        pattern: list[int] = []
        taken: Counter[int] = Counter()
        space, masks = length, room
        place = len(present) - 1
        while place >= 0:
            place = min(place, bisect_right(present, min(space, longest_with[masks])) - 1)
            while place >= 0 and taken[present[place]] == left[present[place]]:
                place -= 1
            if place >= 0:
                tokens = present[place]
                pattern.append(tokens)
                taken[tokens] += 1
                space, masks = space - tokens, masks - masks_of[tokens]
        rows = min(left[tokens] // number for tokens, number in taken.items())
        yield pattern, rows
        for tokens, number in taken.items():
            left[tokens] -= rows * number
            if not left[tokens]:
                present.remove(tokens)
