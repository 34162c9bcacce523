"""Fits a vocabulary to a corpus: its genes, and the nonzero median of each."""

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from keras_geneformer.tokenization.cell_totals import check_totals, stated_totals
from keras_geneformer.tokenization.counts import check_entries, check_not_logarithms
from keras_geneformer.tokenization.gene_identity import DEFAULT_GENE_KEY, VAR_NAMES
from keras_geneformer.tokenization.ranking import TARGET_COUNTS, sum_repeated
from keras_geneformer.tokenization.readers import CountSource, expand_paths, opened
from keras_geneformer.tokenization.source_tokenization import CHUNK_CELLS, filter_pass
from keras_geneformer.tokenization.vocabulary import without_version

logger = logging.getLogger(__name__)

_SYMBOL_KEYS = ("symbol", "gene_symbol", "gene_symbols", "gene_name", "feature_name")


def fit_fields(
    data: Any,
    gene_key: str | None,
    n_counts_key: str | None,
    layer: str | None,
    special_tokens: Sequence[str],
    max_length: int,
    name: str,
    check_counts: bool,
    progress: bool,
) -> dict[str, Any]:
    """The fields of a `GeneVocabulary` fitted to a corpus (see `GeneVocabulary.fit`)."""
    corpus = _Corpus()
    for source in _sources(data):
        with opened(source, layer) as counts:
            corpus.add(counts, gene_key, n_counts_key, check_counts, progress)
    genes, medians = corpus.medians()
    if not len(genes):
        raise ValueError("no gene is detected in any cell: there is nothing to fit")
    symbols = [corpus.symbols.get(gene, "") for gene in genes]
    logger.info("fitted nonzero medians of %d genes on %d cells", len(genes), corpus.cells)
    first = len(special_tokens)
    return {
        "genes": genes,
        "tokens": np.arange(first, first + len(genes)),
        "medians": medians,
        "symbols": symbols,
        "aliases": _aliases(genes, symbols),
        "special_tokens": {token: number for number, token in enumerate(special_tokens)},
        "version": name,
        "max_length": max_length,
    }


def _sources(data: Any) -> Sequence[Any]:
    """AnnDatas as they are, anything else as files."""
    several = data if isinstance(data, list | tuple) else [data]
    if all(hasattr(item, "obs_names") for item in several):
        return several
    if all(isinstance(item, str | os.PathLike) for item in several):
        paths: Iterable[str | Path] = several
        return expand_paths(paths)
    raise TypeError(
        f"got {', '.join(type(item).__name__ for item in several)}; expected AnnDatas or paths"
    )


class _Corpus:
    """The counts per 10,000 of every detected gene, so far."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.spelling: list[str] = []
        self.symbols: dict[str, str] = {}
        self.cells = 0
        self._genes: list[np.ndarray] = []
        self._values: list[np.ndarray] = []

    def add(
        self,
        source: CountSource,
        gene_key: str | None,
        n_counts_key: str | None,
        check_counts: bool,
        progress: bool,
    ) -> None:
        ids = _gene_ids(source, gene_key)
        columns = np.array([self._number(gene) for gene in ids], dtype=np.int64)
        self._note_symbols(source.var, ids)
        times = np.bincount(columns[columns >= 0], minlength=len(self.spelling))
        repeated = (columns >= 0) & (times[columns] > 1)
        totals, key = stated_totals(source, n_counts_key)
        passed = filter_pass(source)
        if check_counts:
            check_not_logarithms(source)
        bar = tqdm(total=len(source), unit="cell", desc="fit", disable=not progress)
        with bar:
            for start, matrix in source.chunks(CHUNK_CELLS):
                read = matrix.shape[0]
                rows = start + np.flatnonzero(passed[start : start + read])
                matrix = matrix[rows - start]
                check_entries(source, rows, matrix)
                matrix.sum_duplicates()
                sums = np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()
                if totals is not None:
                    check_totals(source, totals, rows[sums > 0], str(key))
                    _check_scale(source, sums, totals[rows], str(key))
                cell_totals = sums if totals is None else totals[rows]
                bounds = matrix.indptr.astype(np.int64)
                genes = columns[matrix.indices]
                counts = sum_repeated(genes, matrix.data, bounds, repeated[matrix.indices])
                used = (genes >= 0) & (counts > 0)
                per_entry = np.repeat(cell_totals, np.diff(bounds))[used]
                self._values.append(counts[used] / per_entry * TARGET_COUNTS)
                self._genes.append(genes[used])
                self.cells += len(rows)
                bar.update(read)

    def _number(self, gene: str) -> int:
        """The number of a gene by its id, whatever the case; -1 for an empty id."""
        if not gene:
            return -1
        number = self.numbers.setdefault(gene.upper(), len(self.spelling))
        if number == len(self.spelling):
            self.spelling.append(gene)
        # Of several spellings the first in the alphabet, so that the order of files is no matter.
        self.spelling[number] = min(self.spelling[number], gene)
        return number

    def _note_symbols(self, var: pd.DataFrame, ids: list[str]) -> None:
        key = next((key for key in _SYMBOL_KEYS if key in var), None)
        names = var.index if key is None else var[key].astype(object)
        for gene, name in zip(ids, names):
            if gene and isinstance(name, str) and name.strip() and name.upper() != gene.upper():
                symbol = self.symbols.get(gene.upper(), name.strip())
                self.symbols[gene.upper()] = min(symbol, name.strip())

    def medians(self) -> tuple[list[str], np.ndarray]:
        """The detected genes, sorted, and the median of each."""
        genes = np.concatenate(self._genes or [np.zeros(0, dtype=np.int64)])
        values = np.concatenate(self._values or [np.zeros(0)])
        order = np.lexsort((values, genes))
        genes, values = genes[order], values[order]
        detected, first, times = np.unique(genes, return_index=True, return_counts=True)
        middle = first + times // 2
        # With an even number of values the median lies between the two in the middle.
        medians = (values[first + (times - 1) // 2] + values[middle]) / 2 if len(genes) else values
        names = [self.spelling[number] for number in detected.tolist()]
        alphabetical = sorted(range(len(names)), key=names.__getitem__)
        self.symbols = {
            name: self.symbols[name.upper()] for name in names if name.upper() in self.symbols
        }
        return [names[i] for i in alphabetical], medians[alphabetical]


def _gene_ids(source: CountSource, gene_key: str | None) -> list[str]:
    """Ids as text, Ensembl ids without version; "" where there is none."""
    key = gene_key
    if key == DEFAULT_GENE_KEY and key not in source.var:
        logger.info("%s has no var column %r: var_names are the gene ids", source.name, key)
        key = None
    if key is None or (key == VAR_NAMES and key not in source.var):
        names = source.var.index.tolist()
    elif key in source.var:
        names = source.var[key].astype(object).tolist()
    else:
        raise ValueError(
            f"{source.name} has no var column {key!r}; it has "
            f"{', '.join(map(str, source.var.columns)) or 'none'} (None takes var_names)"
        )
    return [without_version(name.strip()) if isinstance(name, str) else "" for name in names]


def _aliases(genes: list[str], symbols: list[str]) -> dict[str, str]:
    """Symbols to genes, but for symbols that several genes share."""
    owners: dict[str, set[str]] = {}
    for gene, symbol in zip(genes, symbols):
        owners.setdefault(symbol.upper(), set()).add(gene)
    ids = {gene.upper() for gene in genes}
    return {
        symbol: min(owner)
        for symbol, owner in owners.items()
        if symbol and len(owner) == 1 and symbol not in ids
    }


def _check_scale(source: CountSource, sums: np.ndarray, totals: np.ndarray, key: str) -> None:
    """Refuse counts that are already divided by the totals: medians would be so twice.

    Ranks do not notice that, medians do.
    """
    filled = sums > 0
    if filled.sum() < 2:
        return
    sums, totals = sums[filled], totals[filled]
    constant = np.ptp(sums) <= 1e-3 * sums.mean()
    if constant and np.ptp(totals) > 1e-2 * totals.mean():
        raise ValueError(
            f"{source.name}: every cell sums to {sums.mean():.6g} whatever its obs[{key!r}], so "
            "the counts are already normalised. Use raw counts, or pass n_counts_key=None"
        )
