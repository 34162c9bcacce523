"""The cells a run trains on: as long as its model takes, with some held out."""

import copy
import logging
from typing import Any

import numpy as np

from keras_geneformer.tokenization.cells.token_lists import TokenLists
from keras_geneformer.training.splits import split_by_cell

logger = logging.getLogger(__name__)


def cells_of_run(
    cells: Any, max_length: int, validation: float = 0.0, seed: int = 0
) -> tuple[Any, Any]:
    """Cut cells to a length, and hold a share of them out.

    Args:
        cells: a `CellDataset`.
        max_length: tokens at most.
        validation: share held out; 0 for none.
        seed: of the choice.

    Returns:
        The cells to train on, and those held out or None. What need not be cut stays on disk.

    Raises:
        ValueError: there are too few cells, or the share is not between 0 and 1.
    """
    cells = shortened(cells, max_length)
    if not validation:
        return cells, None
    if len(cells) < 2:
        raise ValueError(
            f"There are {len(cells)} cells: to hold some out (validation={validation:g}) there "
            "must be two."
        )
    rows, held = split_by_cell(np.zeros(len(cells), dtype=np.int8), validation, seed)
    return cells.subset(rows), cells.subset(held)


def shortened(cells: Any, max_length: int) -> Any:
    """Cells of at most so many tokens: of longer ones the first, which are the highest genes.

    An `<eos>` at the end stays at the end. Nothing is copied where no cell is longer.

    Args:
        cells: a `CellDataset`.
        max_length: tokens at most.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset
        >>> shortened(synthetic_dataset(3, cls=True), 9)[0][[0, -1]].tolist()
        [2, 3]
    """
    longer = int((cells.lengths > max_length).sum())
    if not longer:
        return cells
    logger.warning(
        "%d of %d cells have more than %d tokens: the genes of the highest ranks are used",
        longer,
        len(cells),
        max_length,
    )
    eos = cells.special_tokens.get("<eos>")
    pieces = [_cut(ids, offsets, max_length, eos) for ids, offsets in cells.token_lists.pieces()]
    metadata = cells.metadata | {"max_length": max_length}
    vocabulary = with_length(cells.vocabulary, max_length)
    return cells.from_token_lists(TokenLists(pieces), cells.obs, metadata, None, vocabulary)


def with_length(vocabulary: Any, max_length: int) -> Any:
    """A vocabulary whose cells are no longer than a model takes; None stays None.

    What tokenizes with it makes cells that fit. Its tokens, and so its checksum, are the same.
    """
    if vocabulary is None or vocabulary.max_length <= max_length:
        return vocabulary
    vocabulary = copy.copy(vocabulary)
    vocabulary.max_length = max_length
    return vocabulary


def _cut(
    ids: np.ndarray, offsets: np.ndarray, max_length: int, eos: int | None
) -> tuple[np.ndarray, np.ndarray]:
    starts, lengths = np.asarray(offsets[:-1], dtype=np.int64), np.diff(offsets)
    kept = np.minimum(lengths, max_length)
    ends = np.cumsum(kept, dtype=np.int64)
    taken = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - kept), kept)
    cut = np.asarray(ids)[taken]
    if eos is not None:
        last = np.asarray(ids)[starts + np.maximum(lengths, 1) - 1]
        framed = (lengths > max_length) & (last == eos)
        cut[ends[framed] - 1] = eos
    return cut, np.concatenate([[0], ends])
