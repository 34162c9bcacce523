"""Cells of unlike length become one rectangular batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def collate(
    cells: Any,
    rows: np.ndarray | Sequence[int] | None = None,
    length: int | None = None,
    pad_token_id: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Pad cells on the right to one length.

    Args:
        cells: a `CellDataset` (anything with flat `token_ids` and `offsets`), or a list of 1-D
            arrays of token ids.
        rows: which cells, in which order; all of them by default.
        length: tokens a row of the result; that of the longest cell by default.
        pad_token_id: the id that fills the rows.

    Returns:
        `token_ids` and `padding_mask` (1 at real tokens, 0 at padding), both int32 of shape
        (cells, length).

    Raises:
        ValueError: a cell is longer than `length`.

    Example:
        >>> import numpy as np
        >>> token_ids, padding_mask = collate([np.array([5, 6, 7]), np.array([8])])
        >>> token_ids.tolist(), padding_mask.tolist()
        ([[5, 6, 7], [8, 0, 0]], [[1, 1, 1], [1, 0, 0]])
    """
    flat, offsets = _flat(cells)
    rows = np.arange(len(offsets) - 1) if rows is None else np.asarray(rows, dtype=np.int64)
    starts = offsets[rows]
    lengths = offsets[rows + 1] - starts
    longest = int(lengths.max(initial=0))
    if length is None:
        length = longest
    elif longest > length:
        raise ValueError(
            f"A cell of {longest} tokens does not fit into {length}: pass a greater length, or "
            "tokenize with a smaller max_length."
        )
    positions = np.arange(length)
    padding_mask = positions < lengths[:, None]
    token_ids = np.full((len(rows), length), pad_token_id, dtype=np.int32)
    token_ids[padding_mask] = flat[(starts[:, None] + positions)[padding_mask]]
    return token_ids, padding_mask.astype(np.int32)


def _flat(cells: Any) -> tuple[np.ndarray, np.ndarray]:
    """The ids of all cells end to end, and where each cell begins and ends."""
    if hasattr(cells, "token_ids"):
        return cells.token_ids, np.asarray(cells.offsets, dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum([len(ids) for ids in cells])]).astype(np.int64)
    flat = np.concatenate([np.asarray(ids) for ids in cells]) if len(cells) else np.empty(0, int)
    return flat, offsets
