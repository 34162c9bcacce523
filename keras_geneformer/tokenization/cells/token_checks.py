"""Do token ids, and what a dataset says of itself, go with a vocabulary?"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_geneformer.tokenization.cells.dataset import CellDataset
    from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary


def known_tokens(vocabulary: "GeneVocabulary", size: int) -> np.ndarray:
    """A mask of the ids below `size` that stand for a gene or a special token."""
    known = np.zeros(max(size, vocabulary.size), dtype=bool)
    known[vocabulary.tokens] = True
    known[list(vocabulary.special_tokens.values())] = True
    return known[:size]


def check_vocabulary(cells: "CellDataset", vocabulary: "GeneVocabulary") -> None:
    """Refuse a vocabulary that is not the one the dataset says it was made with.

    Raises:
        ValueError: gives both checksums.
    """
    if cells.vocabulary_checksum not in (None, vocabulary.checksum):
        raise ValueError(
            f"the cells were tokenized with the vocabulary of checksum "
            f"{str(cells.vocabulary_checksum)[:12]}, and {vocabulary.version!r} has "
            f"{vocabulary.checksum[:12]}: use the vocabulary of the cells"
        )


def check_ids(
    ids: np.ndarray,
    lengths: np.ndarray,
    vocabulary: "GeneVocabulary | None",
    unit: str,
    first: int,
) -> None:
    """Refuse token ids that are negative, too large, or stand for nothing in a vocabulary.

    Args:
        ids: flat.
        lengths: how many belong to each cell.
        vocabulary: None where it is not known.
        unit: what a cell is called in the message, e.g. "cell".
        first: the number of the first cell.

    Raises:
        ValueError: names the cell and the id.
    """
    if not len(ids):
        return
    low, high = int(ids.min()), int(ids.max())
    if vocabulary is None:
        bad = (ids < 0) | (ids >= 2**31) if low < 0 or high >= 2**31 else None
        what = "expected 0 or more, and less than 2**31"
    else:
        outside = low < 0 or high >= vocabulary.size
        known = known_tokens(vocabulary, vocabulary.size)
        inside = ids if not outside else np.clip(ids, 0, vocabulary.size - 1)
        bad = ~known[inside]
        if outside:
            bad |= (ids < 0) | (ids >= vocabulary.size)
        what = (
            f"which stands for nothing in the vocabulary {vocabulary.version!r} of "
            f"{vocabulary.size} ids. Is it the vocabulary the cells were tokenized with?"
        )
    if bad is not None and bad.any():
        entry = int(np.argmax(bad))
        cell = int(np.searchsorted(np.cumsum(lengths), entry, side="right"))
        raise ValueError(f"{unit} {first + cell} has the token id {ids[entry]}, {what}")
