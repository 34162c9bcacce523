"""Genes of a class and those they are compared with, from whatever list names them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.tokenization.genes.gene_lists import (
    IDS,
    LABELS,
    SYMBOLS,
    GeneClasses,
    read_gene_classes,
)
from keras_geneformer.tokenization.genes.gene_tables import find_column, read_gene_table

OTHERS = "other genes"
"""The class of every gene of the vocabulary that a list does not name."""

TF = "transcription factors"


def read_tested_classes(genes: Any, vocabulary: Any, column: str | None = None) -> GeneClasses:
    """Read classes of genes, beside all other genes of the vocabulary.

    Args:
        genes: a dict of class names to genes; or a table (a DataFrame, or a `.csv`, `.tsv` or
            `.parquet` file) with ids or symbols, as `read_gene_classes` takes. A table without a
            column `label` or `class` is of one class, called after the file; where it has a column
            `is_tf` (the census of human transcription factors of Lambert et al., 2018), its rows
            "Yes" are the class "transcription factors".
        vocabulary: a `GeneVocabulary`.
        column: the column with the class of a gene, where it is called otherwise.

    Returns:
        The genes of the list, and those that are not in it, as the class `OTHERS`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no such column, a class is called `OTHERS`, or a class of which the vocabulary
            has no gene.

    Example:
        >>> from keras_geneformer.testing import tiny_vocabulary
        >>> read_tested_classes({"tf": ["GENE1", "GENE2"]}, tiny_vocabulary()).report.taken
        {'other genes': 118, 'tf': 2}
    """
    if isinstance(genes, Mapping):
        text = [label for label, members in genes.items() if isinstance(members, (str, bytes))]
        if text:
            raise ValueError(
                f"The class {text[0]!r} holds the text {genes[text[0]]!r}; expected a list of "
                "genes for every class."
            )
        classes = {str(label): list(members) for label, members in genes.items()}
    else:
        classes = _of_table(genes, column, vocabulary)
    if OTHERS in classes:
        raise ValueError(f"A class of the list is called {OTHERS!r}, which every other gene is.")
    names = [name for members in classes.values() for name in members]
    named = set(vocabulary.positions_of(names).tolist())
    for label, members in classes.items():
        if not (vocabulary.positions_of(members) >= 0).any():
            raise ValueError(
                f"None of the {len(members)} genes of the class {label!r} is in the vocabulary "
                f"({', '.join(map(str, members[:10])) or 'it is empty'}). Expected Ensembl ids or "
                "symbols that it knows."
            )
    if not classes:
        raise ValueError("Received no class of genes; expected at least one.")
    # A gene of two classes is of neither, and not of the others.
    others = [gene for place, gene in enumerate(vocabulary.genes.tolist()) if place not in named]
    return read_gene_classes(classes | ({OTHERS: others} if others else {}), vocabulary)


def genes_in_cells(
    classes: GeneClasses, cells_with_token: np.ndarray, min_cells: int, where: str = ""
) -> GeneClasses:
    """The genes that enough cells hold.

    Args:
        classes: of the list.
        cells_with_token: (V,) number of cells that hold each token id.
        min_cells: how many are enough.
        where: which cells, for the message.

    Raises:
        ValueError: too few cells hold any gene of a class.
    """
    enough = np.where(cells_with_token >= max(min_cells, 1), cells_with_token, 0)
    for number, label in enumerate(classes.classes):
        members = classes.labels == number
        if not (enough[classes.tokens[members]] > 0).any():
            few = "any of the cells" if min_cells <= 1 else f"as many as {min_cells} of the cells"
            raise ValueError(
                f"None of the {members.sum()} genes of the class {label!r} is in {few}{where}: "
                f"{', '.join(classes.symbols[members][:10])}."
            )
    return classes.present(enough)


def _of_table(genes: Any, column: str | None, vocabulary: Any) -> dict[str, list[str]]:
    if not isinstance(genes, (str, os.PathLike, pd.DataFrame)):
        raise ValueError(
            f"Received a {type(genes).__name__} of gene classes; expected a dict of class names to "
            "lists of genes, a DataFrame, or the path of a .csv, .tsv or .parquet file."
        )
    frame, name = read_gene_table(genes)
    places = [find_column(frame, name, keys) for keys in (IDS, SYMBOLS)]
    columns = [frame.iloc[:, place].str.strip() for place in places if place is not None]
    if not columns:
        raise ValueError(
            f"{name} has the columns {', '.join(map(str, frame.columns)) or 'none'}; expected "
            "'ensembl_id' or 'gene_name' (or both)."
        )
    label = find_column(frame, name, LABELS if column is None else (column,))
    census = find_column(frame, name, ("is_tf",))
    if column is not None and label is None:
        raise ValueError(
            f"{name} has no column {column!r}; it has {', '.join(map(str, frame.columns))}."
        )
    if label is not None:
        labels = frame.iloc[:, label].str.strip()
    elif census is not None:
        labels = (
            frame.iloc[:, census].str.strip().str.casefold().eq("yes").map({True: TF, False: ""})
        )
    else:
        only = "listed genes" if isinstance(genes, pd.DataFrame) else Path(name).name.split(".")[0]
        labels = pd.Series(only, index=frame.index)
    # By the first of its names that the vocabulary knows, as `read_gene_classes` does.
    chosen = columns[0]
    for other in columns[1:]:
        unknown = vocabulary.positions_of(chosen) < 0
        better = unknown & (vocabulary.positions_of(other) >= 0) | chosen.eq("").to_numpy()
        chosen = chosen.mask(better, other)
    classes: dict[str, list[str]] = {}
    for gene, value in zip(chosen.tolist(), labels.tolist()):
        if gene and value:
            classes.setdefault(value, []).append(gene)
    if not classes:
        raise ValueError(f"{name} names no gene with a class.")
    return classes
