"""Tokenizes one source of counts, a chunk of cells at a time."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from keras_geneformer.tokenization import ranking
from keras_geneformer.tokenization.cell_totals import check_totals, stated_totals
from keras_geneformer.tokenization.counts import check_entries, check_not_logarithms
from keras_geneformer.tokenization.gene_identity import map_genes
from keras_geneformer.tokenization.readers import CountSource
from keras_geneformer.tokenization.report import SourceReport
from keras_geneformer.tokenization.vocabulary import GeneVocabulary

logger = logging.getLogger(__name__)

CHUNK_CELLS = 256


@dataclass(frozen=True)
class TokenizedChunk:
    """Some tokenized cells: flat ids, the length of each, and their rows in the source."""

    token_ids: np.ndarray
    lengths: np.ndarray
    rows: np.ndarray
    cells_read: int


class SourceTokenization:
    """One source on its way through a vocabulary.

    Args:
        source: the counts.
        vocabulary: of the tokens.
        max_length: the longest cell, special tokens included.
        gene_key, n_counts_key: columns of var and obs (see `RankValueTokenizer`).
        check_counts: refuse what looks like logarithms.

    Raises:
        ValueError: the source has no cells, no known gene, no such column or no counts.
    """

    def __init__(
        self,
        source: CountSource,
        vocabulary: GeneVocabulary,
        max_length: int,
        gene_key: str | None,
        n_counts_key: str | None,
        check_counts: bool,
    ) -> None:
        if not len(source):
            raise ValueError(f"{source.name} has no cells")
        self._source = source
        self._vocabulary = vocabulary
        self._max_length = max_length
        self._genes = map_genes(source.var, vocabulary, gene_key, source.name)
        self._totals, self._n_counts_key = stated_totals(source, n_counts_key)
        self._pass = filter_pass(source)
        if check_counts:
            check_not_logarithms(source)
        self._zero: list[int] = []
        self._unknown: list[int] = []
        self._truncated = 0
        self._total_counts = 0.0
        self._known_counts = 0.0

    def chunks(self) -> Iterator[TokenizedChunk]:
        """The tokenized cells, in the order of the source."""
        for start, matrix in self._source.chunks(CHUNK_CELLS):
            read = matrix.shape[0]
            rows = np.flatnonzero(self._pass[start : start + read])
            yield self._tokenize(matrix if len(rows) == read else matrix[rows], start + rows, read)

    def _tokenize(self, matrix: sp.csr_matrix, rows: np.ndarray, cells_read: int) -> TokenizedChunk:
        check_entries(self._source, rows, matrix)
        if not matrix.has_canonical_format:
            matrix = matrix.copy()
            matrix.sum_duplicates()
        # Counts per cell as exact sums: float32 loses integers above 2**24.
        sums = np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()
        filled = sums > 0
        if self._totals is None:
            totals = sums
        else:
            check_totals(self._source, self._totals, rows[filled], str(self._n_counts_key))
            totals = self._totals[rows]

        counts, positions, bounds = self._known_entries(matrix)
        found = np.diff(bounds)
        kept = found > 0
        self._zero += rows[~filled].tolist()
        self._unknown += rows[filled & ~kept].tolist()
        self._total_counts += float(sums.sum())
        self._known_counts += float(counts.sum())
        # Cells without an entry take part in nothing below; their total may be zero.
        bounds = np.concatenate([[0], np.cumsum(found[kept])])
        values = ranking.rank_values(
            counts, totals[kept], self._vocabulary.medians[positions], bounds
        )
        first, last = self._vocabulary.cls_token_id, self._vocabulary.eos_token_id
        limit = self._max_length - (2 if first is not None else 0)
        tokens = self._vocabulary.tokens[positions]
        token_ids, lengths = ranking.rank_tokens(values, tokens, bounds, limit)
        self._truncated += int((found[kept] > limit).sum())
        if first is not None and last is not None:
            token_ids, lengths = ranking.add_special_tokens(token_ids, lengths, first, last)
        return TokenizedChunk(token_ids, lengths, rows[kept], cells_read)

    def _known_entries(self, matrix: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Counts of known genes above zero, their genes' positions, and each cell's bounds."""
        counts, bounds = matrix.data, matrix.indptr.astype(np.int64)
        positions = self._genes.positions[matrix.indices]
        if self._genes.repeated.any():
            repeated = self._genes.repeated[matrix.indices]
            counts = ranking.sum_repeated(positions, counts, bounds, repeated)
        known = (positions >= 0) & (counts > 0)
        before = np.concatenate([[0], np.cumsum(known)])
        return counts[known].astype(np.float64), positions[known], before[bounds]

    def report(self) -> SourceReport:
        """What was understood and dropped, once all chunks are done; drops are also logged."""
        source = self._source
        dropped = sorted(self._zero + self._unknown)
        report = SourceReport(
            name=source.name,
            cells=len(source),
            filtered_cells=int((~self._pass).sum()),
            zero_cells=len(self._zero),
            unknown_cells=len(self._unknown),
            truncated_cells=self._truncated,
            dropped_names=tuple(map(str, source.obs.index[dropped])),
            genes=len(source.var),
            known_genes=self._genes.known,
            nameless_genes=self._genes.nameless,
            summed_genes=self._genes.summed,
            gene_key=self._genes.key,
            n_counts_key=self._n_counts_key,
            total_counts=self._total_counts,
            known_counts=self._known_counts,
        )
        if dropped:
            logger.warning(
                "%s: dropped %d cells without counts and %d without a known gene (%s%s)",
                source.name,
                report.zero_cells,
                report.unknown_cells,
                ", ".join(report.dropped_names[:5]),
                ", ..." if len(dropped) > 5 else "",
            )
        if report.kept_cells and report.known_share < 0.5:
            logger.warning(
                "%s: only %.0f%% of the counts belong to genes of the vocabulary (%d of %d genes "
                "known); is it of this species, and gene_key the right column?",
                source.name,
                100 * report.known_share,
                report.known_genes,
                report.genes,
            )
        logger.info("%s", report.summary())
        return report


def filter_pass(source: CountSource) -> np.ndarray:
    """Cells to tokenize: all, or those whose `filter_pass` in obs is 1, as published."""
    if "filter_pass" not in source.obs:
        return np.ones(len(source), dtype=bool)
    column = source.obs["filter_pass"].astype(object)
    passed = np.asarray([value == 1 for value in column], dtype=bool)
    if not passed.any():
        values = ", ".join(map(repr, column.unique()[:5].tolist()))
        raise ValueError(
            f"{source.name}: no cell has filter_pass 1 in obs (it holds {values}), so none would "
            "be left; correct or remove the column"
        )
    return passed
