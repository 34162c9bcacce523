"""A dataset meets a model: do they speak of the same tokens?"""

from typing import Any

import numpy as np


def check_vocabulary(
    cells: Any,
    checksum: str | None,
    vocabulary_size: int,
    max_sequence_length: int | None = None,
) -> None:
    """Refuse cells that a model would read as nonsense.

    Args:
        cells: a `CellDataset`.
        checksum: of the vocabulary that the model was made with; None where it is not known.
        vocabulary_size: number of token ids of the model.
        max_sequence_length: most tokens that the model takes a cell.

    Raises:
        ValueError: there are no cells; a cell has no tokens; the checksums differ; one of them is
            unknown and the vocabularies' sizes differ; a token id is outside the model's
            vocabulary; or a cell is longer than the model takes (it is refused rather than cut,
            because a cut V2 cell would lose its `<eos>`).
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
    tokens = np.asarray(cells.token_ids)
    lowest, highest = int(tokens.min()), int(tokens.max())
    if lowest < 0 or highest >= vocabulary_size:
        wrong = lowest if lowest < 0 else highest
        raise ValueError(
            f"The cells hold token id {wrong}, and the model's ids go from 0 to "
            f"{vocabulary_size - 1}: they were tokenized with another vocabulary."
        )
    longest = int(lengths.max())
    if max_sequence_length is not None and longest > max_sequence_length:
        raise ValueError(
            f"The longest cell has {longest} tokens, and the model takes {max_sequence_length}: "
            f"tokenize again with max_length={max_sequence_length}."
        )
