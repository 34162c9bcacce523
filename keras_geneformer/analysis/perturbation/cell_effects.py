"""What perturbing one cell did, as rows of a table."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from keras_geneformer.analysis.perturbation.batch_size import BatchSize
from keras_geneformer.analysis.perturbation.engine import Compared, Engine
from keras_geneformer.analysis.perturbation.measures import (
    cosine_defects,
    log_odds,
    probabilities,
    state_shifts,
    vector_defects,
)
from keras_geneformer.analysis.perturbation.variants import Perturbation, Variants

COLUMNS = ["cell", "gene", "token", "kind", "measure", "state", "value"]
"""Of a table of effects."""


@dataclass(frozen=True, kw_only=True)
class CellEffects:
    """Perturbs a cell, and tells what became of it.

    Args:
        engine: what computes.
        perturbation: what is done.
        pooling: of the cell's embedding: `"mean"`, or `"cls"` or `"first"`.
        names: gives the names of genes, from their token ids.
        batch_size: copies a batch.
        states: (states, hidden_dim), a row for each of `state_names`.
        state_names: to which shifts are measured.
        classes: of the engine's classifier.
        affected_genes: whether every gene of the cell is told of.
    """

    engine: Engine
    perturbation: Perturbation
    pooling: str
    names: Callable[[np.ndarray], np.ndarray]
    batch_size: BatchSize
    states: np.ndarray | None = None
    state_names: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    affected_genes: bool = False

    def of(
        self,
        cell: str,
        ids: np.ndarray,
        only: np.ndarray | None = None,
        advance: Callable[[int], Any] = lambda count: None,
    ) -> pd.DataFrame:
        """Effects on one cell: a row a perturbation and measure.

        Args:
            cell: its name.
            ids: its tokens.
            only: of single genes those at these places.
            advance: called with the number of perturbations done.

        Returns:
            A DataFrame of `COLUMNS`; measure after measure, each in the order of rank.
        """
        tables = []
        for variants in self.perturbation.of(ids, only):
            original = self.engine.original(variants.tokens[: variants.original])
            for rows, compared in self._compared(variants, original):
                tables += self._tables(variants, rows, original, compared)
                advance(rows.stop - rows.start)
        if not tables:
            return pd.DataFrame({name: [] for name in COLUMNS})
        effects = pd.concat(tables, ignore_index=True)
        effects["cell"], effects["kind"] = cell, self.perturbation.kind
        order = effects["measure"].map({name: n for n, name in enumerate(_MEASURES)})
        return effects.iloc[np.argsort(order, kind="stable")][COLUMNS].reset_index(drop=True)

    def _compared(
        self, variants: Variants, original: np.ndarray
    ) -> Iterator[tuple[slice, Compared]]:
        start = 0

        def compare(start: int, size: int) -> Compared:
            views = variants.views(slice(start, start + size))
            return self.engine.compare(variants.tokens, original, views, size)

        while start < len(variants):
            compared = self.batch_size.run(variants.length, partial(compare, start))
            rows = slice(start, start + len(compared.first))
            yield rows, compared
            start = rows.stop

    def _tables(
        self, variants: Variants, rows: slice, original: np.ndarray, compared: Compared
    ) -> list[pd.DataFrame]:
        tokens = variants.tokens[variants.perturbed[rows]]
        token = tokens[:, 0] if tokens.shape[1] == 1 else -1
        keys = pd.DataFrame({"gene": self._set_names(tokens), "token": token})
        keys = keys.astype({"token": np.int64})
        genes = None
        if compared.squares is not None:
            genes = self._gene_defects(variants, rows, original, compared)
        if self.pooling == "mean":
            assert genes is not None
            # Published: the mean over genes of how far each of them moved.
            moved = genes.defects.sum(1) / genes.compared.sum(1)
            before, change = self._mean_change(variants, rows, original, compared)
        else:
            before = original[0].astype(np.float64)
            change = compared.first - before
            moved = vector_defects(before, compared.first)
        tables = [keys.assign(measure="cell_cosine", state="original", value=1.0 - moved)]
        if self.states is not None:
            shifts = state_shifts(before, change, self.states)
            tables += _by_state(keys, "state_shift", self.state_names, shifts)
        if compared.scores is not None:
            of_cell = self.engine.original_scores(variants.tokens[: variants.original])
            for measure, scale in _OF_CLASSES.items():
                shifts = scale(compared.scores) - scale(of_cell)
                tables += _by_state(keys, measure, self.classes, shifts)
        if self.affected_genes:
            assert genes is not None
            variant, place = np.nonzero(genes.compared)
            affected = self.names(variants.tokens)[genes.views[variant, place]]
            values = 1.0 - genes.defects[variant, place]
            table = keys.iloc[variant].assign(measure="gene_cosine", state=affected, value=values)
            tables.append(table)
        return tables

    def _set_names(self, tokens: np.ndarray) -> np.ndarray:
        columns = [self.names(column) for column in tokens.T]
        if len(columns) == 1:
            return columns[0]
        return np.array(["+".join(map(str, row)) for row in zip(*columns)], dtype=object)

    def _gene_defects(
        self, variants: Variants, rows: slice, original: np.ndarray, compared: Compared
    ) -> "_GeneDefects":
        assert compared.squares is not None
        assert compared.products is not None
        norms = np.zeros(len(variants.tokens))
        norms[: len(original)] = (original.astype(np.float64) ** 2).sum(-1)
        views = variants.views(rows)
        genes = ~np.isin(variants.tokens, self.perturbation.special)[views]
        for places in variants.perturbed[rows].T:
            genes &= views != places[:, None]
        defects = cosine_defects(compared.squares, compared.products, norms[views])
        return _GeneDefects(views, genes, np.where(genes, defects, 0.0))

    def _mean_change(
        self, variants: Variants, rows: slice, original: np.ndarray, compared: Compared
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean over genes of the original, and of each variant less that."""
        assert compared.gene_sum is not None
        genes = ~np.isin(variants.tokens[: variants.original], self.perturbation.special)
        states = original.astype(np.float64)
        total, number = states[genes].sum(0), int(genes.sum())
        perturbed = variants.perturbed[rows]
        if self.perturbation.kind == "delete":
            left = total - states[perturbed].sum(1)
            after = (left + compared.gene_sum) / (number - perturbed.shape[1])
        else:
            # Each gene that was inserted is in the sum with the whole of its state.
            inserted = variants.length - variants.original
            after = (total + compared.gene_sum) / (number + inserted)
        before = total / number
        return before, after - before


class _GeneDefects(NamedTuple):
    """How far each gene of a variant moved."""

    views: np.ndarray
    """(variants, length) places."""
    compared: np.ndarray
    """(variants, length) bool: genes that were not themselves perturbed."""
    defects: np.ndarray
    """(variants, length) 1 minus the cosine with its state before; 0 elsewhere."""


def _by_state(
    keys: pd.DataFrame, measure: str, states: tuple[str, ...], values: np.ndarray
) -> list[pd.DataFrame]:
    return [
        keys.assign(measure=measure, state=state, value=values[:, number])
        for number, state in enumerate(states)
    ]


_OF_CLASSES = {"log_odds_shift": log_odds, "probability_shift": probabilities}

_MEASURES = ("cell_cosine", "state_shift", *_OF_CLASSES, "gene_cosine")
