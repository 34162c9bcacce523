"""The genes of a corpus, or of a part of one, and what is known of their nonzero medians."""

import os
import secrets
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_geneformer.tokenization.medians.nonzero_medians import EXACT_VALUES, NonzeroMedians

_FORMAT = "keras_geneformer gene medians 1"


class GeneMedians:
    """What a vocabulary is fitted from: genes, and their counts per 10,000 in the cells so far.

    `fit_medians` gives one of files; parts of a corpus that were fitted apart are merged, and
    `GeneVocabulary.fit` takes one in place of files.

    Args:
        exact_values: see `NonzeroMedians`.

    Attributes:
        genes: gene ids, as spelt in the corpus; of several spellings the first in the alphabet.
        symbols: dict, upper-case id to symbol, where one is known.
        biotypes: dict, upper-case id to biotype, where one was read.
        cells: the number of cells.
        values: a `NonzeroMedians`; its gene i is `genes[i]`.

    Example:
        >>> from keras_geneformer.testing import synthetic_cells
        >>> from keras_geneformer.tokenization.medians.median_fitting import fit_medians
        >>> one, other = fit_medians(synthetic_cells(30)), fit_medians(synthetic_cells(40, seed=1))
        >>> one.merge(other)
        >>> one
        GeneMedians(120 genes, 70 cells)
    """

    def __init__(self, exact_values: int = EXACT_VALUES) -> None:
        self.genes: list[str] = []
        self.symbols: dict[str, str] = {}
        self.biotypes: dict[str, str] = {}
        self.cells = 0
        self.values = NonzeroMedians(exact_values)
        self._numbers: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"GeneMedians({len(self.genes)} genes, {self.cells} cells)"

    def add_genes(
        self,
        ids: Sequence[str],
        symbols: Sequence[str] | None = None,
        biotypes: Sequence[str] | None = None,
    ) -> np.ndarray:
        """Number the genes of a source.

        Args:
            ids: of each of its columns, "" where there is none.
            symbols: of each, "" where unknown.
            biotypes: of each, "" where unknown.

        Returns:
            The number of each column's gene, whatever the case of its id; -1 for an empty id.
        """
        for known, given in ((self.symbols, symbols), (self.biotypes, biotypes)):
            for gene, name in zip(ids, given or ()):
                if gene and name:
                    # The first in the alphabet, so that the order of files is no matter.
                    known[gene.upper()] = min(known.get(gene.upper(), name), name)
        return np.array([self._number(gene) for gene in ids], dtype=np.int64)

    def _number(self, gene: str) -> int:
        if not gene:
            return -1
        number = self._numbers.setdefault(gene.upper(), len(self.genes))
        if number == len(self.genes):
            self.genes.append(gene)
        self.genes[number] = min(self.genes[number], gene)
        return number

    def merge(self, other: "GeneMedians") -> None:
        """Add what another has collected, of other cells; it stays as it is.

        Medians that are exact do not depend on the order of merges; sketched ones do, by less
        than their error.
        """
        names = [gene.upper() for gene in other.genes]
        symbols = [other.symbols.get(name, "") for name in names]
        biotypes = [other.biotypes.get(name, "") for name in names]
        self.values.merge(other.values, self.add_genes(other.genes, symbols, biotypes))
        self.cells += other.cells

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to one file, a numpy `.npz` without pickles; it appears when it is complete.

        Args:
            path: the file. An earlier one of this kind is replaced; folders above are made.

        Raises:
            FileExistsError: the file exists and holds something else.
        """
        path = Path(path)
        check_medians_file(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        names = [gene.upper() for gene in self.genes]
        arrays: dict[str, Any] = self.values.arrays() | {
            "format": np.array(_FORMAT),
            "genes": np.array(self.genes, dtype=str),
            "symbols": np.array([self.symbols.get(name, "") for name in names], dtype=str),
            "biotypes": np.array([self.biotypes.get(name, "") for name in names], dtype=str),
            "cells": np.array(self.cells),
        }
        partial = path.with_name(f".{path.name}.partial-{secrets.token_hex(4)}")
        try:
            with partial.open("xb") as file:
                np.savez(file, **arrays)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "GeneMedians":
        """Read a file that `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file holds no gene medians, or is damaged.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        if not _is_ours(path):
            raise ValueError(
                f"{path} holds no gene medians; expected a file that `GeneMedians.save` or "
                "`fit-vocabulary --save-medians` wrote"
            )
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            loaded = cls(int(arrays["exact_values"]))
            texts = [arrays[name].tolist() for name in ("genes", "symbols", "biotypes")]
            loaded.add_genes(*texts)
            loaded.cells = int(arrays["cells"])
            loaded.values = NonzeroMedians.from_arrays(arrays)
        except (zipfile.BadZipFile, KeyError, EOFError, OSError, ValueError) as error:
            raise ValueError(f"{path} is damaged: {error}. Fit that part again") from error
        return loaded


def check_medians_file(path: str | os.PathLike[str]) -> None:
    """Refuse a file that `GeneMedians.save` would not replace.

    Raises:
        FileExistsError: it exists and holds something else than gene medians.
    """
    path = Path(path)
    if path.is_dir() or (path.exists() and not _is_ours(path)):
        raise FileExistsError(
            f"{path} exists and holds no gene medians; nothing was written. Choose another name"
        )


def _is_ours(path: Path) -> bool:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return str(stored["format"]) == _FORMAT
    except (zipfile.BadZipFile, KeyError, EOFError, OSError, ValueError, TypeError, AttributeError):
        return False
