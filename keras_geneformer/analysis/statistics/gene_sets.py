"""Sets of genes that users bring, found among the genes of a table of statistics."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from keras_geneformer.tokenization.genes.gene_lists import IDS, LABELS, SYMBOLS, read_gene_classes
from keras_geneformer.tokenization.genes.gene_tables import find_column, read_gene_table
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary


class GeneSet(NamedTuple):
    """A set of genes."""

    name: str
    ids: list[str]
    """Ensembl ids, each once."""
    unknown: int
    """Genes given that were not found."""


def read_gene_sets(
    gene_set: Any, statistics: pd.DataFrame, vocabulary: Any = None
) -> list[GeneSet]:
    """Read one set of genes, or one for each class of a list with classes.

    Args:
        gene_set: gene ids or symbols in a list; or what `read_gene_classes` takes (a dict of
            lists, a table or its path with a column of classes: a set each); or a table without
            such a column, which is one set.
        statistics: the table whose genes are wanted (`Ensembl_ID`, `Gene_name`).
        vocabulary: knows other names of the genes; by default those in `statistics` count.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is none of these, or holds no known gene.
    """
    vocabulary = _vocabulary_of(statistics) if vocabulary is None else vocabulary
    if isinstance(gene_set, (str, os.PathLike, pd.DataFrame)):
        frame, name = read_gene_table(gene_set)
        name = "the table" if isinstance(gene_set, pd.DataFrame) else Path(name).stem
        label = find_column(frame, name, LABELS)
        if label is None or frame.iloc[:, label].nunique() < 2:
            found = (find_column(frame, name, keys) for keys in (IDS, SYMBOLS))
            columns = [column for column in found if column is not None]
            if not columns:
                raise ValueError(
                    f"{name} has the columns {', '.join(map(str, frame.columns)) or 'none'}; "
                    "expected 'ensembl_id' or 'gene_name' (or both)."
                )
            title = name if label is None else str(frame.iloc[0, label])
            return [_resolved(title, frame.iloc[:, columns].to_numpy().tolist(), vocabulary)]
    elif isinstance(gene_set, Mapping) and len(gene_set) == 1:
        ((title, genes),) = gene_set.items()
        return [_resolved(str(title), [[gene] for gene in genes], vocabulary)]
    elif isinstance(gene_set, (Sequence, np.ndarray, set, frozenset)):
        return [_resolved("genes", [[str(gene)] for gene in gene_set], vocabulary)]
    classes = read_gene_classes(gene_set, vocabulary)
    unknown = len(classes.report.unknown)
    return [
        GeneSet(name, classes.ensembl_ids[classes.labels == number].tolist(), unknown)
        for number, name in enumerate(classes.classes)
    ]


def _resolved(name: str, rows: list[list[str]], vocabulary: Any) -> GeneSet:
    """The genes of one set, each by the first of its names that the vocabulary knows."""
    found: dict[str, None] = {}
    unknown = 0
    for names in rows:
        position = next((p for p in vocabulary.positions_of(names).tolist() if p >= 0), -1)
        if position < 0:
            unknown += 1
        else:
            found[str(vocabulary.genes[position])] = None
    if not found:
        some = ", ".join(str(names[0]) for names in rows[:5])
        raise ValueError(
            f"None of the {len(rows)} genes of {name} is known ({some}, …); expected Ensembl ids "
            "or symbols of genes that were perturbed. Give vocabulary=... for other names."
        )
    return GeneSet(name, list(found), unknown)


def _vocabulary_of(statistics: pd.DataFrame) -> GeneVocabulary:
    """A vocabulary of the genes in a table, to look names up in."""
    genes = statistics.drop_duplicates("Ensembl_ID")
    ids = genes["Ensembl_ID"].astype(str)
    symbols = genes["Gene_name"].astype(str).where(genes["Gene_name"].notna(), "")
    numbers = np.arange(2, len(ids) + 2)
    known = {symbol: gene for symbol, gene in zip(symbols, ids) if symbol}
    return GeneVocabulary(
        ids.to_numpy(), numbers, np.ones(len(ids)), symbols=symbols.to_numpy(), aliases=known
    )
