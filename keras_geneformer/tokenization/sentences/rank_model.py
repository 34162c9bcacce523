"""From a gene's place in a cell sentence to its expression: the log-linear model of Cell2Sentence.

Source: Levine et al., Cell2Sentence: Teaching Large Language Models the Language of Biology, ICML
2024, and the `cell2sentence` package: a straight line through log10(1 + counts per 10,000) over
log10(rank), fitted to the genes of a cell of rank below 1,000.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.tokenization.cell_totals import (
    DEFAULT_N_COUNTS_KEY,
    check_totals,
    stated_totals,
)
from keras_geneformer.tokenization.counts import check_not_logarithms, checked_rows
from keras_geneformer.tokenization.ranking import TARGET_COUNTS
from keras_geneformer.tokenization.readers.sources import opened

DEFAULT_SLOPE = -0.749
DEFAULT_INTERCEPT = 2.762
"""Fitted to 2,700 PBMC (10x, 3k): R2 0.885. Other tissues and depths differ: fit your own."""

DEFAULT_MINIMUM = 0.5
_CELLS_AT_ONCE = 1000
_POOLED = 1024


@dataclass(frozen=True)
class RankModel:
    """log10(1 + counts per 10,000) = intercept + slope * log10(rank), ranks from 1.

    Attributes:
        slope: below zero.
        intercept: of the first gene of a cell.
        minimum: the least counts per 10,000, as a gene in a sentence was detected, and the line
            reaches zero at some rank. From there on genes are equal but for their medians.
        r_squared: share of the variance that the line explains, over the genes it was fitted to;
            None where it was not fitted.
        cells: how many it was fitted to.
        genes: how many detected genes of theirs, 0 where it was not fitted.

    Raises:
        ValueError: the slope is not below zero, or the minimum not above it.

    Example:
        >>> RankModel(slope=-0.5, intercept=2.0).expression(np.array([1, 100])).round(2).tolist()
        [99.0, 9.0]
    """

    slope: float = DEFAULT_SLOPE
    intercept: float = DEFAULT_INTERCEPT
    minimum: float = DEFAULT_MINIMUM
    r_squared: float | None = None
    cells: int = 0
    genes: int = 0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.slope) and self.slope < 0 and np.isfinite(self.intercept)):
            raise ValueError(
                f"slope is {self.slope} and intercept {self.intercept}; expected numbers, the "
                "slope below zero, as expression falls with the rank"
            )
        if not 0 < self.minimum < np.inf:
            raise ValueError(f"minimum is {self.minimum}; expected counts per 10,000 above zero")

    def expression(self, ranks: np.ndarray) -> np.ndarray:
        """Counts per 10,000 at these ranks (from 1), float64 of the same shape."""
        logs = self.intercept + self.slope * np.log10(ranks)
        return np.maximum(10.0**logs - 1.0, self.minimum)


def fit_rank_model(
    data: Any,
    *,
    n_counts_key: str | None = DEFAULT_N_COUNTS_KEY,
    layer: str | None = None,
    max_rank: int = 999,
    check_counts: bool = True,
) -> RankModel:
    """Fit slope and intercept to cells with counts, by least squares over all their genes.

    Args:
        data: an AnnData or a file of counts, read some cells at a time; or a `CellDataset` that
            was tokenized with its counts.
        n_counts_key: the column of obs with total counts (see `RankValueTokenizer`).
        layer: a layer with the counts, or "raw". Default: X.
        max_rank: the last rank that is fitted, as published: what comes after is mostly single
            counts.
        check_counts: refuse values that look like logarithms.

    Returns:
        The model. Its `minimum` is the least counts per 10,000 of a detected gene.

    Raises:
        ValueError: the data are no counts, fewer than two different ranks are there, or the
            counts of a cell are all equal.

    Example:
        >>> from keras_geneformer.testing import synthetic_cells
        >>> model = fit_rank_model(synthetic_cells(30))
        >>> model.slope < 0, model.cells
        (True, 30)
    """
    n, x, y, xx, xy, yy = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    minimum, cells = np.inf, 0
    for values, bounds, _, _ in _scaled_cells(data, n_counts_key, layer, check_counts):
        minimum = min(minimum, float(values.min(initial=np.inf)))
        _, ranks = ranked(values, bounds)
        near = ranks <= max_rank
        logs, heights = np.log10(ranks[near]), np.log10(1.0 + values[near])
        n, x, y = n + len(logs), x + float(logs.sum()), y + float(heights.sum())
        xx, xy = xx + float(logs @ logs), xy + float(logs @ heights)
        yy += float(heights @ heights)
        cells += int((np.diff(bounds) > 0).sum())
    spread, along = n * xx - x * x, n * xy - x * y
    if n < 2 or spread <= 0 or along >= 0:
        raise ValueError(
            f"no line can be fitted to {int(n)} detected genes of {cells} cells: expression does "
            "not fall with the rank. Give counts of several genes a cell"
        )
    slope = along / spread
    explained = along * along / (spread * (n * yy - y * y))
    return RankModel(
        float(slope),
        float((y - slope * x) / n),
        minimum,
        r_squared=float(explained),
        cells=cells,
        genes=int(n),
    )


@dataclass(frozen=True)
class RoundTrip:
    """Spearman correlations of expression with what its ranks give back, cell by cell.

    Attributes:
        correlations: one a cell, indexed by its name; NaN where a cell has fewer than two
            different counts. Over the genes detected in the cell, tied counts with their mean
            rank: ties are what a sentence loses.
        model: the rank model.
        pooled: one correlation over the genes of the first 1,024 cells together, which is what
            Cell2Sentence publishes.
    """

    correlations: pd.Series
    model: RankModel
    pooled: float

    @property
    def mean(self) -> float:
        """Over the cells."""
        return float(self.correlations.mean())

    @property
    def median(self) -> float:
        """Over the cells."""
        return float(self.correlations.median())

    def __str__(self) -> str:
        low, high = self.correlations.quantile([0.05, 0.95])
        return (
            f"Spearman correlation of {self.correlations.notna().sum()} cells: mean "
            f"{self.mean:.3f}, median {self.median:.3f}, 5% to 95% {low:.3f} to {high:.3f}; "
            f"over cells pooled {self.pooled:.3f} (slope {self.model.slope:.3f}, "
            f"intercept {self.model.intercept:.3f})"
        )


def round_trip_correlation(
    data: Any,
    model: RankModel | None = None,
    *,
    n_counts_key: str | None = DEFAULT_N_COUNTS_KEY,
    layer: str | None = None,
    genes: int | None = None,
    check_counts: bool = True,
) -> RoundTrip:
    """How well expression comes back from cell sentences: counts to ranks to expression.

    Picture: `kg.plotting.round_trip`.

    Args:
        data: an AnnData or a file of counts, read some cells at a time.
        model: from ranks to expression. Default: fitted to `data`.
        n_counts_key, layer, check_counts: as in `fit_rank_model`.
        genes: the length of a sentence; genes after it come back as 0. Default: all.

    Returns:
        The correlations; print it.

    Raises:
        ValueError: the data are no counts, or there are no cells.

    Example:
        >>> import anndata
        >>> cell = anndata.AnnData(np.array([[5.0, 3.0, 3.0, 1.0]]))
        >>> round(round_trip_correlation(cell, RankModel()).mean, 6)
        0.948683
    """
    from scipy.stats import rankdata

    if model is None:
        model = fit_rank_model(
            data, n_counts_key=n_counts_key, layer=layer, check_counts=check_counts
        )
    parts, pool, pooled = [], [], 0
    for values, bounds, _, names in _scaled_cells(data, n_counts_key, layer, check_counts):
        _, ranks = ranked(values, bounds)
        back = model.expression(ranks)
        if genes is not None:
            back[ranks > genes] = 0.0
        found = [
            _pearson(rankdata(values[start:stop]), rankdata(back[start:stop]))
            for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist())
        ]
        parts.append(pd.Series(found, index=names, dtype=np.float64))
        if pooled < _POOLED:
            end = bounds[min(_POOLED - pooled, len(names))]
            pool.append(np.stack([values[:end], back[:end]]))
            pooled += len(names)
    if not parts:
        raise ValueError("there are no cells to correlate")
    together = np.concatenate(pool, axis=1)
    return RoundTrip(
        pd.concat(parts), model, _pearson(rankdata(together[0]), rankdata(together[1]))
    )


def ranked(values: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order of each cell's entries, highest first, ties as they stand, and their ranks.

    Args:
        values: of each entry, shape (E,).
        bounds: entries `bounds[i]` to `bounds[i + 1]` are those of cell i.

    Returns:
        The entries in order, cell by cell, and the rank of each entry from 1; int64, shape (E,).
    """
    lengths = np.diff(bounds)
    order = np.lexsort((-values, np.repeat(np.arange(len(lengths)), lengths)))
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[order] = np.arange(len(values)) - np.repeat(bounds[:-1], lengths) + 1
    return order, ranks


def _scaled_cells(
    data: Any, n_counts_key: str | None, layer: str | None, check_counts: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, pd.Index]]:
    """Counts per 10,000 of detected genes, bounds of the cells, columns, names of the cells."""
    if hasattr(data, "token_lists"):
        yield from _kept_counts(data)
        return
    with opened(data, layer) as source:
        totals, key = stated_totals(source, n_counts_key)
        if check_counts:
            check_not_logarithms(source)
        for start, counts in source.chunks(_CELLS_AT_ONCE):
            cells = np.arange(start, start + counts.shape[0])
            rows = checked_rows(source, cells, counts)
            if totals is not None:
                filled = np.asarray(rows.sum(axis=1)).ravel() > 0
                check_totals(source, totals, cells[filled], str(key))
            yield *scaled_rows(rows, totals, start), source.obs.index[cells]


def _kept_counts(cells: Any) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, pd.Index]]:
    """The same, of a `CellDataset` that has counts; token ids for columns."""
    if cells.counts is None:
        raise ValueError(
            "the dataset has token ids and no counts: tokenize with keep_counts=True, or give an "
            "AnnData or a file of counts"
        )
    for start in range(0, len(cells), _CELLS_AT_ONCE):
        rows = range(start, min(start + _CELLS_AT_ONCE, len(cells)))
        values = np.concatenate([cells.counts[row] for row in rows]).astype(np.float64)
        ids = np.concatenate([cells[row] for row in rows])
        kept = values > 0
        ends = cells.offsets[start : rows[-1] + 2] - cells.offsets[start]
        bounds = np.concatenate([[0], np.cumsum(kept)])[ends]
        yield values[kept], bounds, ids[kept], cells.obs.index[start : rows[-1] + 1]


def scaled_rows(
    rows: Any, totals: np.ndarray | None, start: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts per 10,000 of the detected genes of some cells.

    Args:
        rows: CSR counts of these cells.
        totals: total counts of all cells of the source; None to sum these rows.
        start: the number of the first of these cells.

    Returns:
        Counts per 10,000, shape (E,); bounds of the cells, shape (cells + 1,); the column of each
        entry, shape (E,).
    """
    kept = rows.data > 0
    bounds = np.concatenate([[0], np.cumsum(kept)])[rows.indptr]
    values = rows.data[kept].astype(np.float64)
    lengths = np.diff(bounds)
    if totals is None:
        sums = np.bincount(np.repeat(np.arange(len(lengths)), lengths), values, len(lengths))
    else:
        sums = totals[start : start + len(lengths)]
    return values / np.repeat(sums, lengths) * TARGET_COUNTS, bounds, rows.indices[kept]


def _pearson(one: np.ndarray, other: np.ndarray) -> float:
    if len(one) < 2:
        return np.nan
    one, other = one - one.mean(), other - other.mean()
    scale = np.sqrt((one @ one) * (other @ other))
    return float(one @ other / scale) if scale > 0 else np.nan
