"""Which genes are perturbed, and in which cells they stand."""

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_geneformer.models.presets import preset_vocabulary


def selected_tokens(
    genes: str | Sequence[str | int], vocabulary: Any, special: np.ndarray
) -> np.ndarray | None:
    """Token ids of the genes asked for; None for all."""
    if isinstance(genes, str):
        if genes == "all":
            return None
        raise ValueError(f'Received genes={genes!r}; expected "all" or a list of genes.')
    genes = list(genes)
    if not genes:
        raise ValueError('Received an empty list of genes; expected "all" or at least one gene.')
    if all(isinstance(gene, (int, np.integer)) for gene in genes):
        tokens = np.asarray(genes, dtype=np.int64)
    elif vocabulary is None:
        raise ValueError(
            "To find genes by name the vocabulary is needed: pass "
            "vocabulary=GeneVocabulary.load(...), or token ids in place of names."
        )
    else:
        tokens = vocabulary.tokens_of(genes)
        unknown = [str(gene) for gene, token in zip(genes, tokens) if token < 0]
        if unknown:
            raise ValueError(
                f"{len(unknown)} of {len(genes)} genes are not in the vocabulary: "
                f"{', '.join(unknown[:10])}."
            )
    if np.isin(tokens, special).any():
        raise ValueError(f"Token ids {special.tolist()} are special tokens, which are no genes.")
    tokens = np.asarray(tokens, dtype=np.int64)
    _, first = np.unique(tokens, return_index=True)
    if len(first) < len(tokens):
        twice = genes[int(np.setdiff1d(np.arange(len(tokens)), first)[0])]
        raise ValueError(f"The gene {twice} is in the list of genes twice; name each once.")
    return tokens


def check_presence(cells: Any, wanted: np.ndarray | None, genes: Any) -> None:
    """Refuse genes of which none is in any cell; warn of those in no cell."""
    if wanted is None:
        return
    missing = np.unique(wanted)
    for token_ids, _ in cells.token_lists.pieces():
        missing = np.setdiff1d(missing, token_ids[np.isin(token_ids, missing)])
        if not len(missing):
            return
    absent = [str(gene) for gene, token in zip(genes, wanted) if token in missing]
    if len(absent) == len(wanted):
        raise ValueError(
            f"None of the {len(wanted)} genes is in any of the cells: {', '.join(absent[:10])}."
        )
    if absent:
        warnings.warn(
            f"{len(absent)} of {len(wanted)} genes are in none of the cells, and are left out: "
            f"{', '.join(absent[:10])}.",
            stacklevel=3,
        )


def vocabulary_for(model: Any, cells: Any, vocabulary: Any) -> Any:
    """The vocabulary given, else that of the cells, else that of the preset; checked."""
    if vocabulary is None:
        vocabulary = getattr(cells, "vocabulary", None)
    if vocabulary is None and isinstance(model, (str, os.PathLike)):
        vocabulary = preset_vocabulary(model)
    known = cells.vocabulary_checksum
    if vocabulary is not None and known is not None and known != vocabulary.checksum:
        raise ValueError(
            f"The vocabulary (checksum {vocabulary.checksum[:12]}…) is not the one that the cells "
            f"were tokenized with (checksum {known[:12]}…)."
        )
    return vocabulary
