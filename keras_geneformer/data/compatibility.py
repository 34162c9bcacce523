"""A dataset meets a model: do they speak of the same tokens?"""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

_logger = logging.getLogger(__name__)

_CLS, _EOS = 2, 3
"""Ids of `<cls>` and `<eos>` in the published V2 vocabulary."""

_READ_WHOLE = 2**27
"""Token ids (256 MB on disk) up to which a dataset of the right checksum is read through."""


def check_vocabulary(
    cells: Any,
    checksum: str | None,
    vocabulary_size: int,
    max_sequence_length: int | None = None,
    special_token_ids: Sequence[int] | None = None,
) -> None:
    """Refuse cells that a model would read as nonsense.

    Token ids are looked at piece by piece, so a dataset on disk stays there. Of a dataset that has
    the model's checksum and more than 134 million ids they are not: `BatchSource` looks at them as
    it makes its batches.

    Args:
        cells: a `CellDataset`.
        checksum: of the vocabulary that the model was made with; None where it is not known.
        vocabulary_size: number of token ids of the model.
        max_sequence_length: most tokens that the model takes a cell.
        special_token_ids: the model's token ids that are no genes.

    Raises:
        ValueError: there are no cells; a cell has no tokens; the checksums differ; one of them is
            unknown and the vocabularies' sizes differ; a token id is outside the model's
            vocabulary; cells of an unknown vocabulary all stand between `<cls>` and `<eos>`, which
            the model does not have; or a cell is longer than the model takes (it is refused rather
            than cut, because a cut V2 cell would lose its `<eos>`).
    """
    if len(cells) == 0:
        raise ValueError("There are no cells in the dataset.")
    theirs = cells.vocabulary_checksum
    size = cells.vocabulary_size
    if theirs is not None and checksum is not None:
        if theirs != checksum:
            raise ValueError(
                f"The cells were tokenized with another vocabulary (checksum {theirs[:12]}…) than "
                f"the model's (checksum {checksum[:12]}…): tokenize them again with the model's "
                "vocabulary."
            )
    elif size is not None and size != vocabulary_size:
        raise ValueError(
            f"The cells were tokenized with a vocabulary of {size} token ids, and the model has "
            f"{vocabulary_size}: tokenize them again with the model's vocabulary."
        )
    lengths = np.asarray(cells.lengths)
    if lengths.min() < 1:
        empty = int(np.argmin(lengths))
        raise ValueError(
            f"Cell {empty} ({cells.obs.index[empty]!r}) has no tokens: drop such cells with "
            "cells.subset(cells.lengths > 0)."
        )
    same = theirs is not None and theirs == checksum and size == vocabulary_size
    if not same or int(lengths.sum(dtype=np.int64)) <= _READ_WHOLE:
        for tokens, _ in cells.token_lists.pieces():
            check_tokens(tokens, vocabulary_size)
    if theirs is None and size is None and special_token_ids is not None:
        _check_frame(cells, special_token_ids)
    longest = int(lengths.max())
    if max_sequence_length is not None and longest > max_sequence_length:
        raise ValueError(
            f"The longest cell has {longest} tokens, and the model takes {max_sequence_length}: "
            f"tokenize again with max_length={max_sequence_length}."
        )


def check_tokens(tokens: np.ndarray, vocabulary_size: int) -> None:
    """Refuse token ids that a vocabulary does not have.

    Args:
        tokens: token ids of any shape, at least one.
        vocabulary_size: number of token ids of the model.

    Raises:
        ValueError: an id is negative, or not below `vocabulary_size`.

    Example:
        >>> import numpy as np
        >>> check_tokens(np.array([0, 99]), 100)
    """
    lowest, highest = int(tokens.min()), int(tokens.max())
    if lowest < 0 or highest >= vocabulary_size:
        wrong = lowest if lowest < 0 else highest
        raise ValueError(
            f"The cells hold token id {wrong}, and the model's ids go from 0 to "
            f"{vocabulary_size - 1}: they were tokenized with another vocabulary."
        )


def _check_frame(cells: Any, special_token_ids: Sequence[int]) -> None:
    """Tell V1 cells from V2 cells where the dataset does not say, as the published ones do not."""
    framed = all(
        np.all(tokens[offsets[:-1]] == _CLS) and np.all(tokens[offsets[1:] - 1] == _EOS)
        for tokens, offsets in cells.token_lists.pieces()
    )
    if framed and _CLS not in special_token_ids:
        raise ValueError(
            "Every cell begins with token 2 and ends with token 3, as V2 cells do (<cls>, <eos>), "
            "and the model's vocabulary has neither: tokenize again with the model's vocabulary."
        )
    if not framed and _CLS in special_token_ids:
        _logger.warning(
            "The cells do not say which vocabulary they were tokenized with, and do not begin and "
            "end with <cls> and <eos> as the model's do. Are they of its vocabulary?"
        )
