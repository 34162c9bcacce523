"""Tokenizes one source of counts, a chunk of cells at a time."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from keras_geneformer.tokenization import ranking
from keras_geneformer.tokenization.cell_totals import check_totals, stated_totals
from keras_geneformer.tokenization.cells.token_lists import id_dtype
from keras_geneformer.tokenization.counts import (
    check_not_logarithms,
    checked_rows,
    sample_cells,
)
from keras_geneformer.tokenization.gene_identity import check_known_share, map_genes
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary
from keras_geneformer.tokenization.readers.sources import CountSource
from keras_geneformer.tokenization.report import SourceReport

logger = logging.getLogger(__name__)

CHUNK_CELLS = 512
"""Cells that are read and ranked at a time: enough to make the calls cheap, few for the memory."""


@dataclass(frozen=True)
class TokenizedChunk:
    """Some tokenized cells.

    Attributes:
        token_ids: flat, int16 or int32.
        lengths: of each cell.
        counts: counts per 10,000 beside the ids, float32; None where they are not kept.
        rows: the cells' rows in the source.
        cells_read: cells of the source that were read for it.
    """

    token_ids: np.ndarray
    lengths: np.ndarray
    counts: np.ndarray | None
    rows: np.ndarray
    cells_read: int


@dataclass(frozen=True)
class SourceOptions:
    """How counts are read and kept (see `RankValueTokenizer`)."""

    gene_key: str | None
    n_counts_key: str | None
    layer: str | None
    check_counts: bool
    keep_counts: bool
    max_length: int


class SourceTokenization:
    """One source on its way through a vocabulary.

    Args:
        source: the counts.
        vocabulary: of the tokens.
        options: columns of var and obs, and what to check and to keep.

    Raises:
        ValueError: the source has no cells, no genes, no known gene, or no such column.
    """

    def __init__(
        self, source: CountSource, vocabulary: GeneVocabulary, options: SourceOptions
    ) -> None:
        if not len(source):
            raise ValueError(f"{source.name} has no cells")
        if not len(source.var):
            raise ValueError(f"{source.name} has no genes")
        self._source = source
        self._options = options
        self._genes = map_genes(source.var, vocabulary, options.gene_key, source.name)
        self._totals, self._n_counts_key = stated_totals(source, options.n_counts_key)
        self._pass = filter_pass(source)
        known = self._genes.positions >= 0
        self._tokens = np.where(known, vocabulary.tokens[self._genes.positions], np.int32(-1))
        self._medians = vocabulary.medians[self._genes.positions]
        self._id_dtype = id_dtype(vocabulary.size)
        self._frame: tuple[int, int] | None = None
        if vocabulary.cls_token_id is not None and vocabulary.eos_token_id is not None:
            self._frame = (vocabulary.cls_token_id, vocabulary.eos_token_id)
        self._read = 0
        self._filtered = 0
        self._zero: list[int] = []
        self._unknown: list[int] = []
        self._truncated = 0
        self._total_counts = 0.0
        self._known_counts = 0.0

    def check(self) -> None:
        """Look at some cells, before work is spent on all.

        Raises:
            ValueError: the values look like logarithms, or hardly any belong to known genes.
        """
        sample = sample_cells(self._source)
        if self._options.check_counts:
            check_not_logarithms(self._source, sample)
        check_known_share(self._source, self._genes, sample.rows)

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[TokenizedChunk]:
        """The tokenized cells of rows `start` to `stop`, in the order of the source."""
        stop = len(self._source) if stop is None else stop
        for first in range(start, stop, CHUNK_CELLS):
            last = min(first + CHUNK_CELLS, stop)
            rows = first + np.flatnonzero(self._pass[first:last])
            matrix = self._source.read(first, last)
            if len(rows) < last - first:
                matrix = matrix[rows - first]
            self._read += last - first
            self._filtered += last - first - len(rows)
            yield self._tokenize(matrix, rows, last - first)

    def _tokenize(self, matrix: sp.csr_matrix, rows: np.ndarray, cells_read: int) -> TokenizedChunk:
        matrix = checked_rows(self._source, rows, matrix)
        counts, columns = matrix.data, matrix.indices.astype(np.int32, copy=False)
        if counts.dtype != np.float32:
            counts = counts.astype(np.float64)
        bounds = matrix.indptr.astype(np.int64)
        sums, known_sums = ranking.cell_sums(counts, columns, bounds, self._tokens)
        filled = sums > 0
        if self._totals is None:
            totals = sums
        else:
            check_totals(self._source, self._totals, rows[filled], str(self._n_counts_key))
            totals = self._totals[rows]
        if self._genes.repeated.any():
            positions = self._genes.positions[columns]
            counts = ranking.sum_repeated(positions, counts, bounds, self._genes.repeated[columns])

        limit = self._options.max_length - (0 if self._frame is None else 2)
        ranked = ranking.rank_cells(
            counts,
            columns,
            bounds,
            totals,
            self._tokens,
            self._medians,
            limit,
            self._frame,
            self._options.keep_counts,
        )
        kept = ranked.found > 0
        self._zero += rows[~filled].tolist()
        self._unknown += rows[filled & ~kept].tolist()
        self._truncated += int((ranked.found > limit).sum())
        self._total_counts += float(sums.sum())
        self._known_counts += float(known_sums.sum())
        lengths = ranked.lengths[kept]
        ids = ranked.token_ids.astype(self._id_dtype)
        return TokenizedChunk(ids, lengths, ranked.scaled, rows[kept], cells_read)

    def report(self) -> SourceReport:
        """What was understood and dropped in the chunks so far."""
        source = self._source
        return SourceReport(
            name=source.name,
            cells=self._read,
            filtered_cells=self._filtered,
            zero_cells=len(self._zero),
            unknown_cells=len(self._unknown),
            truncated_cells=self._truncated,
            dropped_names=tuple(map(str, source.obs.index[sorted(self._zero + self._unknown)])),
            genes=len(source.var),
            known_genes=self._genes.known,
            nameless_genes=self._genes.nameless,
            summed_genes=self._genes.summed,
            gene_key=self._genes.key,
            n_counts_key=self._n_counts_key,
            total_counts=self._total_counts,
            known_counts=self._known_counts,
        )


def log_report(report: SourceReport) -> None:
    """Log what was dropped and, where it is much, what was not understood."""
    if report.dropped_names:
        logger.warning(
            "%s: dropped %d cells without counts and %d without a known gene (%s%s)",
            report.name,
            report.zero_cells,
            report.unknown_cells,
            ", ".join(report.dropped_names[:5]),
            ", ..." if len(report.dropped_names) > 5 else "",
        )
    if report.kept_cells and report.known_share < 0.5:
        logger.warning(
            "%s: only %.0f%% of the counts belong to genes of the vocabulary (%d of %d genes "
            "known); is it of this species, and gene_key the right column?",
            report.name,
            100 * report.known_share,
            report.known_genes,
            report.genes,
        )
    logger.info("%s", report.summary())


def filter_pass(source: CountSource) -> np.ndarray:
    """Cells to tokenize: all, or those whose `filter_pass` in obs is 1, as published."""
    if "filter_pass" not in source.obs:
        return np.ones(len(source), dtype=bool)
    column = source.obs["filter_pass"]
    passed = column.isin([1]).to_numpy(bool)
    if not passed.any():
        values = ", ".join(map(repr, column.unique()[:5].tolist()))
        raise ValueError(
            f"{source.name}: no cell has filter_pass 1 in obs (it holds {values}), so none would "
            "be left; correct or remove the column"
        )
    return passed
