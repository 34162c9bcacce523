"""Genes taken out of cells, and what a classifier then says of these cells."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary
from keras_geneformer.training.finetuning.prediction import predict


def frequent_genes(cells: CellDataset, vocabulary: GeneVocabulary, number: int) -> list[str]:
    """The genes that most cells have, the most frequent first.

    Args:
        cells: of the vocabulary.
        vocabulary: names the genes.
        number: how many.

    Returns:
        Gene ids.
    """
    counts = np.bincount(cells.token_ids, minlength=vocabulary.size)
    counts = counts[vocabulary.tokens]
    order = np.argsort(-counts, kind="stable")[:number]
    return [str(vocabulary.genes[place]) for place in order if counts[place]]


def without_gene(cells: CellDataset, token: int) -> CellDataset:
    """The cells that have a gene, without it; a cell of that gene alone is left out.

    A cell that was cut at its maximum length gets no further gene in its place: which one it would
    be, its tokens do not say.

    Args:
        cells: tokenized.
        token: of the gene.

    Returns:
        New cells, with their rows of obs.
    """
    rows, kept = [], []
    for row, ids in enumerate(cells):
        rest = ids[ids != token]
        if 0 < len(rest) < len(ids):
            rows.append(row)
            kept.append(rest)
    lists = CellDataset(kept).token_lists
    return CellDataset.from_token_lists(lists, cells.obs.iloc[rows], cells.metadata)


def perturbed_exposures(
    classifier: Any,
    cells: CellDataset,
    genes: Sequence[str],
    vocabulary: GeneVocabulary,
    *,
    progress: bool = False,
) -> pd.DataFrame:
    """How deleting each gene changes the probability of each exposure.

    Args:
        classifier: a `GeneformerCellClassifier` of exposures.
        cells: control cells.
        genes: ids, symbols or aliases.
        vocabulary: of the cells.
        progress: show a bar.

    Returns:
        One row a gene and exposure, by gene as given: `gene`, `symbol`, `exposure`, `cells` (those
        that had the gene), `before` and `after` (mean probability over these), `change`, `sd` and
        `error` (standard deviation over cells, and it over the square root of their number).

    Raises:
        ValueError: no cell has any of the genes.

    Example:
        >>> from keras_geneformer import GeneformerCellClassifier
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone, tiny_vocabulary
        >>> classifier = GeneformerCellClassifier(tiny_backbone(), classes=["ctrl", "stim"])
        >>> table = perturbed_exposures(
        ...     classifier, synthetic_dataset(5), ["GENE1", "GENE2"], tiny_vocabulary())
        >>> table["exposure"].tolist()
        ['ctrl', 'stim', 'ctrl', 'stim']
    """
    tokens = vocabulary.tokens_of(genes)
    wanted = [int(token) for token in tokens if token >= 0]
    unique = cells[:]
    # Numbers for names: what is compared are rows, and names of cells may come twice.
    unique.obs = pd.DataFrame(index=pd.RangeIndex(len(cells)).astype(str))
    parts = {token: without_gene(unique, token) for token in dict.fromkeys(wanted)}
    parts = {token: part for token, part in parts.items() if len(part)}
    if not parts:
        raise ValueError(
            f"none of the {len(genes)} genes to delete is in any of the {len(cells)} cells: choose "
            "others"
        )
    before = predict(classifier, unique).filter(like="prob_")
    together = CellDataset.concat(list(parts.values()))
    after = predict(classifier, together, progress=progress).filter(like="prob_")
    rows, start = [], 0
    for token, part in parts.items():
        stop = start + len(part)
        base = before.loc[part.obs.index].to_numpy()
        change = after.iloc[start:stop].to_numpy() - base
        sd = change.std(axis=0, ddof=1) if len(part) > 1 else np.full(change.shape[1], np.nan)
        for number, column in enumerate(before.columns):
            rows.append(
                {
                    "gene": str(vocabulary.genes_of([token])[0]),
                    "symbol": str(vocabulary.symbols_of([token])[0]),
                    "exposure": column.removeprefix("prob_"),
                    "cells": len(part),
                    "before": base[:, number].mean(),
                    "after": base[:, number].mean() + change[:, number].mean(),
                    "change": change[:, number].mean(),
                    "sd": sd[number],
                    "error": sd[number] / np.sqrt(len(part)),
                }
            )
        start = stop
    return pd.DataFrame(rows)
