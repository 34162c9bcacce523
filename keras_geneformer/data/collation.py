"""Cells of unlike length become one rectangular batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_geneformer.tokenization.cells.token_lists import TokenLists


def collate(
    cells: Any,
    rows: np.ndarray | Sequence[int] | None = None,
    length: int | None = None,
    pad_token_id: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Pad cells on the right to one length.

    Args:
        cells: a `CellDataset`, of which only these cells are read, or a list of 1-D arrays of
            token ids.
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
    lists = getattr(cells, "token_lists", None)
    if lists is None:
        lists = _in_memory(cells)
    rows = np.arange(len(lists)) if rows is None else np.asarray(rows, dtype=np.int64)
    token_ids, lengths = lists.pad(rows, length, pad_token_id)
    positions = np.arange(token_ids.shape[1], dtype=np.int32)
    return token_ids, (positions < lengths[:, None]).astype(np.int32)


def _in_memory(cells: Sequence[Any]) -> TokenLists:
    """The lists of ids as pieces of one cell each: only those asked for are copied."""
    arrays = [np.asarray(ids) if len(ids) else np.zeros(0, dtype=np.int32) for ids in cells]
    return TokenLists([(ids, np.array([0, len(ids)])) for ids in arrays])
