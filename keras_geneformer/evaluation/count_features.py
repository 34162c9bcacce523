"""What baselines look at: counts aligned with the tokenized cells, and features of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.decomposition import TruncatedSVD

from keras_geneformer.evaluation.fold_store import checksum
from keras_geneformer.tokenization.cell_totals import stated_totals
from keras_geneformer.tokenization.counts import check_entries, check_not_logarithms
from keras_geneformer.tokenization.readers.sources import opened

COMPONENTS = 50


@dataclass(frozen=True)
class AlignedCounts:
    """Counts of the cells of a dataset, in its order."""

    counts: sp.csr_matrix
    """(cells, genes)."""
    totals: np.ndarray
    """(cells,) total counts, as the tokenizer takes them."""

    def checksum(self) -> str:
        """One for the counts and totals."""
        return checksum(self.counts.data, self.counts.indices, self.counts.indptr, self.totals)


def aligned_counts(
    counts: Any,
    names: Any,
    *,
    n_counts_key: str | None = "n_counts",
    layer: str | None = None,
    check_counts: bool = True,
) -> AlignedCounts:
    """The counts of some cells, found by their names.

    Args:
        counts: an AnnData, or the path of a file that `tokenize_files` reads.
        names: of the cells, in the order wanted; the counts may be in another order, and of more
            cells.
        n_counts_key: column of obs with the cells' total counts, as for the tokenizer; where there
            is none, or it is None, they are summed over all genes.
        layer: as for the tokenizer.
        check_counts: refuse values that look like logarithms.

    Returns:
        Counts and totals in the order of `names`.

    Raises:
        ValueError: names that are not unique on either side or have no counts; values that are no
            counts; a cell without any.
        FileNotFoundError: there is no such file.
    """
    wanted = pd.Index(np.asarray(names).astype(str))
    _check_unique(wanted, "The cells")
    with opened(counts, layer) as source:
        there = pd.Index(source.obs.index.astype(str))
        _check_unique(there, source.name)
        places = there.get_indexer(wanted)
        missing = wanted[places < 0]
        if len(missing):
            raise ValueError(
                f"{source.name} has no counts of {len(missing)} of {len(wanted)} cells, first "
                f"{', '.join(map(repr, missing[:3]))}; its own are called "
                f"{', '.join(map(repr, there[:3]))}. Give the counts that the cells were "
                "tokenized from."
            )
        if check_counts:
            check_not_logarithms(source)
        totals, _ = stated_totals(source, n_counts_key)
        rows = source.read(0, len(source))
        check_entries(source, np.arange(len(source)), rows)
        name = source.name
    rows = sp.csr_matrix(rows)[places]
    rows.sum_duplicates()
    chosen = np.asarray(rows.sum(axis=1)).ravel() if totals is None else totals[places]
    bad = ~(np.isfinite(chosen) & (chosen > 0))
    if bad.any():
        raise ValueError(
            f"{name}: the total counts of {int(bad.sum())} cells are not above zero, first of "
            f"{wanted[bad][0]!r}."
        )
    return AlignedCounts(rows, np.asarray(chosen, dtype=np.float64))


def log_normalised(counts: Any, totals: np.ndarray) -> sp.csr_matrix:
    """log(1 + counts per 10,000), float64 CSR.

    Args:
        counts: (cells, genes), sparse or dense.
        totals: (cells,) total counts.

    Example:
        >>> log_normalised(np.array([[1.0, 0.0, 3.0]]), np.array([4.0])).toarray().round(2)
        array([[7.82, 0.  , 8.92]])
    """
    rows = sp.csr_matrix(counts, dtype=np.float64)
    rows.data *= np.repeat(10_000 / np.asarray(totals), np.diff(rows.indptr))
    np.log1p(rows.data, out=rows.data)
    return rows


def components(
    features: sp.csr_matrix, training: np.ndarray, test: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The first 50 components (truncated SVD) of the training cells, and the test cells on them.

    Args:
        features: (cells, genes), of all cells.
        training, test: rows.
        seed: of the solver.

    Returns:
        Components of the training and of the test cells; fewer than 50 where there are fewer
        training cells or genes.
    """
    number = min(COMPONENTS, len(training) - 1, features.shape[1] - 1)
    svd = TruncatedSVD(max(number, 1), random_state=seed)
    return svd.fit_transform(features[training]), svd.transform(features[test])


def _check_unique(names: pd.Index, whose: str) -> None:
    repeated = names[names.duplicated()].unique()
    if len(repeated):
        raise ValueError(
            f"{whose}: {len(repeated)} names stand for more than one cell, first "
            f"{repeated[0]!r}, so that counts and tokens cannot be joined by name. Make them "
            "unique before tokenizing."
        )
