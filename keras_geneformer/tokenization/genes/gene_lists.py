"""Genes with classes, from a table or a dict, found in a vocabulary and in cells."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.tokenization.genes.gene_list_report import GeneListReport
from keras_geneformer.tokenization.genes.gene_tables import find_column, read_gene_table

IDS = ("ensembl_id", "gene_id", "ensembl", "gene")
SYMBOLS = ("gene_name", "symbol", "gene_symbol", "hgnc_symbol")
LABELS = ("label", "class", "gene_class")
"""Names of columns, the first of which that a table has is read; in any case."""


@dataclass(frozen=True)
class GeneClasses:
    """Genes, each of one class.

    Attributes:
        ensembl_ids: (G,) gene ids of the vocabulary, in the order of their tokens.
        symbols: (G,) symbols, the id where there is none.
        tokens: (G,) int32 token ids.
        labels: (G,) int32 number of each gene's class in `classes`.
        classes: names of the classes, in alphabetical order.
        report: what was left out, and why.
    """

    ensembl_ids: np.ndarray
    symbols: np.ndarray
    tokens: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    report: GeneListReport

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def table(self) -> pd.DataFrame:
        """One row a gene: `ensembl_id`, `symbol`, `token` and `true`, its class."""
        return pd.DataFrame(
            {
                "ensembl_id": self.ensembl_ids,
                "symbol": self.symbols,
                "token": self.tokens,
                "true": np.asarray(self.classes, dtype=object)[self.labels],
            }
        )

    def present(self, cell_counts: np.ndarray) -> "GeneClasses":
        """The genes that some cell has; the report names the others.

        Args:
            cell_counts: (V,) number of cells that hold each token id (`cells_with_token`).

        Raises:
            ValueError: no cell has any of them, or the genes left are of one class.
        """
        kept = cell_counts[self.tokens] > 0
        if not kept.any():
            raise ValueError(
                f"None of the {len(self)} genes of {self.report.name} is in any of the cells: "
                f"{_some(self.symbols)}."
            )
        absent = tuple(self.symbols[~kept].tolist())
        return _checked(
            replace(
                self,
                ensembl_ids=self.ensembl_ids[kept],
                symbols=self.symbols[kept],
                tokens=self.tokens[kept],
                labels=self.labels[kept],
                report=replace(self.report, absent=absent),
            )
        )


def read_gene_classes(genes: Any, vocabulary: Any) -> GeneClasses:
    """Read genes and their classes, and find them in a vocabulary.

    A gene that stands in several classes is left out, one that stands in a class several times
    counts once, and one that the vocabulary does not know is left out; the report says which.

    Args:
        genes: a dict of class names to lists of genes (as the published package's classifier
            takes), by Ensembl id, symbol or alias; or a table: a DataFrame or a `.csv`, `.tsv` or
            `.parquet` file with a column `label` (or `class`) and a column `ensembl_id` (`gene_id`,
            `gene`) or `gene_name` (`symbol`), or both: where the vocabulary does not know the id,
            the symbol is tried.
        vocabulary: a `GeneVocabulary`.

    Returns:
        The genes, in the order of their tokens.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, a class has no name, no gene is in the vocabulary, or the
            genes left are of one class.

    Example:
        >>> from keras_geneformer.testing import tiny_vocabulary
        >>> genes = read_gene_classes(
        ...     {"dosage": ["GENE1", "gene1", "GENE2"], "other": ["GENE2", "GENE7", "GENE900"]},
        ...     tiny_vocabulary())
        >>> genes.table["true"].tolist(), genes.table["token"].tolist()
        (['dosage', 'other'], [3, 9])
        >>> genes.report.in_two_classes, genes.report.unknown, genes.report.repeated
        (('GENE2: dosage, other',), ('GENE900',), 1)
    """
    rows, name = _rows(genes)
    given = len(rows)
    rows = [row for row in rows if row[0] and row[1]]
    positions = _positions([names for names, _ in rows], vocabulary)
    found: dict[object, tuple[str, dict[str, None]]] = {}
    repeated = 0
    for (names, label), position in zip(rows, positions.tolist()):
        # What the vocabulary does not know is one gene where it is spelt alike.
        key = position if position >= 0 else names[0].upper()
        classes = found.setdefault(key, (names[-1], {}))[1]
        repeated += label in classes
        classes[label] = None
    several = [
        f"{shown}: {', '.join(classes)}" for shown, classes in found.values() if len(classes) > 1
    ]
    single = {
        key: (shown, next(iter(classes)))
        for key, (shown, classes) in found.items()
        if len(classes) == 1
    }
    known = np.array(sorted(key for key in single if isinstance(key, int)), dtype=np.int64)
    labels = [single[position][1] for position in known.tolist()]
    report = GeneListReport(
        name=name,
        rows=given,
        repeated=repeated,
        nameless=given - len(rows),
        in_two_classes=tuple(several),
        unknown=tuple(shown for key, (shown, _) in single.items() if isinstance(key, str)),
    )
    if not len(known):
        raise ValueError(
            f"None of the {len(found)} genes of {name} can be used: {len(report.unknown)} are not "
            f"in the vocabulary ({_some(report.unknown) or 'none'}), {len(several)} stand in "
            "several classes. Expected Ensembl ids or symbols that the vocabulary knows."
        )
    names_of_classes = sorted({label for _, label in rows})
    symbols = np.where(vocabulary.symbols == "", vocabulary.genes, vocabulary.symbols)
    return _checked(
        GeneClasses(
            ensembl_ids=vocabulary.genes[known],
            symbols=symbols[known],
            tokens=vocabulary.tokens[known],
            labels=np.array([names_of_classes.index(label) for label in labels], dtype=np.int32),
            classes=tuple(names_of_classes),
            report=report,
        )
    )


def cells_with_token(cells: Any, size: int) -> np.ndarray:
    """(size,) int64: how many cells hold each token id, read piece by piece.

    Args:
        cells: a `CellDataset`; a cell holds a token id once at most.
        size: number of token ids of the vocabulary.
    """
    counts = np.zeros(size, dtype=np.int64)
    for token_ids, _ in cells.token_lists.pieces():
        counts += np.bincount(token_ids, minlength=size)[:size]
    return counts


def _rows(genes: Any) -> tuple[list[tuple[list[str], str]], str]:
    """Names (id, symbol) and class of every row, and what the list is called in messages."""
    if isinstance(genes, Mapping):
        unnamed = [label for label in genes if not str(label).strip()]
        if unnamed:
            raise ValueError(f"The classes of the list are called {list(genes)}: one has no name.")
        text = [label for label, names in genes.items() if isinstance(names, (str, bytes))]
        if text:
            raise ValueError(
                f"The class {text[0]!r} holds the text {genes[text[0]]!r}; expected a list of "
                "genes for every class."
            )
        return [
            (_names([name]), str(label).strip()) for label, names in genes.items() for name in names
        ], "the list"
    if not isinstance(genes, (str, os.PathLike, pd.DataFrame)):
        raise ValueError(
            f"Received a {type(genes).__name__} of genes; expected a dict of class names to genes, "
            "a DataFrame, or the path of a .csv, .tsv or .parquet file."
        )
    frame, name = read_gene_table(genes)
    name = "the list" if isinstance(genes, pd.DataFrame) else os.path.basename(name)
    label = find_column(frame, name, LABELS)
    found = (find_column(frame, name, keys) for keys in (IDS, SYMBOLS))
    columns = [column for column in found if column is not None]
    if label is None or not columns:
        raise ValueError(
            f"{name} has the columns {', '.join(map(str, frame.columns)) or 'none'}; expected "
            "'label' with the class of a gene, and 'ensembl_id' or 'gene_name' (or both)."
        )
    chosen = frame.iloc[:, columns].itertuples(index=False, name=None)
    labels = frame.iloc[:, label].tolist()
    return [(_names(names), value.strip()) for names, value in zip(chosen, labels)], name


def _names(names: Iterable[object]) -> list[str]:
    """The names of a gene that are not empty."""
    return [name.strip() for name in names if isinstance(name, str) and name.strip()]


def _positions(names: list[list[str]], vocabulary: Any) -> np.ndarray:
    """Where each gene stands in the vocabulary, by the first name that it knows; else -1."""
    positions = vocabulary.positions_of(row[0] for row in names)
    for index in np.flatnonzero(positions < 0):
        others = vocabulary.positions_of(names[index][1:])
        positions[index] = next((int(place) for place in others if place >= 0), -1)
    return positions


def _checked(genes: GeneClasses) -> GeneClasses:
    """The genes, with those of each class counted; refuses one class alone, and an empty class."""
    numbers = np.bincount(genes.labels, minlength=len(genes.classes)).tolist()
    report = replace(genes.report, taken=dict(zip(genes.classes, numbers)))
    left = [name for name, number in report.taken.items() if number]
    if len(left) < 2:
        raise ValueError(
            f"The {len(genes)} genes of {report.name} that can be used are all of one class "
            f"({left[0]!r}): a classifier needs two at least.\n{report.text(most=10)}"
        )
    if len(left) < len(numbers):
        lost = next(name for name in report.taken if name not in left)
        raise ValueError(
            f"No gene of the class {lost!r} of {report.name} can be used: drop the class, or take "
            f"other cells.\n{report.text(most=10)}"
        )
    return replace(genes, report=report)


def _some(names: Iterable[object], number: int = 10) -> str:
    shown = [str(name) for name in names]
    return ", ".join(shown[:number]) + (", …" if len(shown) > number else "")
