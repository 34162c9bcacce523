"""What is asked for: layers, groups of cells, genes, and the vocabulary that names them."""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_geneformer.analysis.perturbation.gene_selection import vocabulary_for
from keras_geneformer.analysis.pooling import check_pooling, special_ids
from keras_geneformer.data.compatibility import check_vocabulary
from keras_geneformer.models.backbone_of import backbone_of

OWN_COLUMNS = (
    *("layer", "head", "ensembl_id", "symbol", "attention", "cells", "rank", "rank_share"),
    *("rank_from", "rank_to", "importance", "gene_class", "against", "genes", "other_genes"),
    *("other_attention", "other_rank_share", "auc", "p", "fdr"),
    *("auc_at_like_rank", "p_at_like_rank", "fdr_at_like_rank"),
    *("entropy", "effective_tokens", "rank_distance", "rank_attended", "rank_spread"),
    *("tokens_in_use", "to_special"),
)
"""Columns of the tables of attention, beside which groups of cells stand."""


class Asked(NamedTuple):
    """A model and cells that fit each other."""

    backbone: Any
    cells: Any
    vocabulary: Any
    special: np.ndarray
    """Token ids that are no genes."""


def asked_of(model_or_preset: Any, cells: Any, vocabulary: Any) -> Asked:
    """Check that model, cells and vocabulary are of one kind.

    Raises:
        ValueError: they are not, there is no vocabulary, a cell has no gene or is longer than the
            model takes.
    """
    vocabulary = vocabulary_for(model_or_preset, cells, vocabulary)
    if vocabulary is None:
        raise ValueError(
            "To name genes the vocabulary is needed, and neither the cells nor the preset carry "
            "one: pass vocabulary=GeneVocabulary.load(...)."
        )
    backbone = backbone_of(model_or_preset)
    check_vocabulary(
        cells,
        backbone.vocabulary_checksum,
        backbone.vocabulary_size,
        backbone.max_sequence_length,
        backbone.special_token_ids,
    )
    special = special_ids(cells, backbone)
    check_pooling(cells, "mean", special)
    return Asked(backbone, cells, vocabulary, special)


def chosen_layers(layers: Sequence[int] | int | None, num_layers: int) -> tuple[int, ...]:
    """Encoder blocks, from 1, ascending; all of them for None.

    Raises:
        ValueError: there is no such block, or none is asked for.

    Example:
        >>> chosen_layers([-1, 2], 6)
        (2, 6)
    """
    if layers is None:
        return tuple(range(1, num_layers + 1))
    given = [layers] if isinstance(layers, (int, np.integer)) else list(layers)
    for layer in given:
        if isinstance(layer, bool) or not isinstance(layer, (int, np.integer)):
            raise ValueError(f"Received layers={layers!r}; expected whole numbers.")
        if not (1 <= layer <= num_layers or -num_layers <= layer <= -1):
            raise ValueError(
                f"Received layer {layer}; attention is in the model's {num_layers} encoder blocks: "
                f"expected 1 to {num_layers}, or -{num_layers} to -1."
            )
    if not given:
        raise ValueError("Received no layers; expected None for all, or at least one.")
    return tuple(sorted({int(x) if x > 0 else int(x) + num_layers + 1 for x in given}))


def grouped(cells: Any, by: str | None) -> tuple[Any, np.ndarray, list[str]]:
    """Cells that have a value in an obs column, the group of each, and the groups' names.

    Returns:
        The cells (those without a value are left out, with a warning), (cells,) int64, and the
        names in alphabetical order; one group without a name where `by` is None.

    Raises:
        ValueError: there is no such column, it is called as one of the tables', or no cell has a
            value.
    """
    if by is None:
        return cells, np.zeros(len(cells), dtype=np.int64), [""]
    if by in OWN_COLUMNS:
        raise ValueError(
            f"Received by={by!r}, which is what a column of the result is called: give the obs "
            "column another name."
        )
    if by not in cells.obs.columns:
        raise ValueError(
            f"Received by={by!r}; the cells' obs has the columns "
            f"{', '.join(map(str, cells.obs.columns)) or 'none'}."
        )
    values = cells.obs[by]
    known = values.notna().to_numpy()
    if not known.any():
        raise ValueError(f"No cell has a value in the obs column {by!r}.")
    if not known.all():
        warnings.warn(
            f"{(~known).sum()} of {len(cells)} cells have no value in the obs column {by!r}, and "
            "are left out.",
            stacklevel=3,
        )
        cells = cells.subset(known)
    names, codes = np.unique(values[known].astype(str).to_numpy(dtype=str), return_inverse=True)
    return cells, codes.astype(np.int64), names.tolist()


def wanted_tokens(
    genes: str | Sequence[str], vocabulary: Any, cells_with_token: np.ndarray
) -> np.ndarray:
    """Token ids, ascending, of the genes asked for that some cell has.

    Args:
        genes: `"all"`, or ids, symbols or aliases.
        vocabulary: a `GeneVocabulary`.
        cells_with_token: (V,) number of cells that hold each token id.

    Raises:
        ValueError: neither "all" nor a list, a gene that the vocabulary does not know, or none that
            a cell has.
    """
    if isinstance(genes, str):
        if genes != "all":
            raise ValueError(f'Received genes={genes!r}; expected "all" or a list of genes.')
        return vocabulary.tokens[cells_with_token[vocabulary.tokens] > 0]
    genes = list(genes)
    tokens = vocabulary.tokens_of(genes)
    unknown = [str(gene) for gene, token in zip(genes, tokens) if token < 0]
    if unknown or not genes:
        raise ValueError(
            f"{len(unknown)} of {len(genes)} genes are not in the vocabulary: "
            f"{', '.join(unknown[:10]) or 'none was given'}."
        )
    tokens = np.unique(tokens)
    present = cells_with_token[tokens] > 0
    absent = vocabulary.symbols_of(tokens[~present]).tolist()
    if not present.any():
        raise ValueError(
            f"None of the {len(tokens)} genes is in any of the cells: {', '.join(absent[:10])}."
        )
    if absent:
        warnings.warn(
            f"{len(absent)} of {len(tokens)} genes are in none of the cells, and are left out: "
            f"{', '.join(absent[:10])}.",
            stacklevel=3,
        )
    return tokens[present]
