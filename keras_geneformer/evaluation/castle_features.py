"""The features of CaSTLe (Lieberman, Rokach and Shay 2018, PLoS ONE 13(10):e0205499)."""

import numpy as np
import scipy.sparse as sp

TOP = 100
EDGES = (0.0, 1.0, 6.0)
MOST_CORRELATED = 0.9


def castle_genes(levels: sp.csr_matrix, labels: np.ndarray) -> np.ndarray:
    """The genes that CaSTLe takes: of high expression or telling of the class, none twice.

    The union of the 100 genes of highest mean and the 100 whose binned level shares most
    information with the class; of two that correlate above .9 the one chosen later goes.

    Args:
        levels: (training cells, genes), from `expression_levels`.
        labels: (training cells,) class of each.

    Returns:
        Columns, the most telling first.
    """
    detected = np.diff(levels.tocsc().indptr) > 0
    information = np.where(detected, mutual_information(levels, labels), -1.0)
    mean = np.where(detected, np.asarray(levels.mean(axis=0)).ravel(), -1.0)
    telling = np.argsort(-information, kind="stable")[:TOP]
    high = np.argsort(-mean, kind="stable")[:TOP]
    candidates = np.fromiter(dict.fromkeys([*telling, *high]), dtype=np.int64)
    candidates = candidates[detected[candidates]]
    values = levels[:, candidates].toarray()
    values = values - values.mean(axis=0)
    spread = np.sqrt((values**2).sum(axis=0))
    # A gene that never changes correlates with none, and tells nothing.
    candidates, values, spread = candidates[spread > 0], values[:, spread > 0], spread[spread > 0]
    correlation = np.abs((values / spread).T @ (values / spread))
    kept: list[int] = []
    for number in range(len(candidates)):
        if not kept or correlation[number, kept].max() <= MOST_CORRELATED:
            kept.append(number)
    return candidates[kept]


def expression_levels(counts: sp.csr_matrix, totals: np.ndarray) -> sp.csr_matrix:
    """log2(1 + counts per 10,000), whose range CaSTLe cuts at 0, 1 and 6."""
    levels = sp.csr_matrix(counts, dtype=np.float64)
    levels.data *= np.repeat(10_000 / np.asarray(totals), np.diff(levels.indptr))
    levels.data = np.log2(1 + levels.data)
    levels.eliminate_zeros()
    return levels


def binned(levels: sp.csr_matrix, genes: np.ndarray) -> np.ndarray:
    """(cells, 3 * genes) float32: whether each gene is in each of CaSTLe's bins above none.

    Example:
        >>> binned(sp.csr_matrix([[0.0, 0.5, 7.0]]), np.array([0, 1, 2]))
        array([[0., 1., 0., 0., 0., 0., 0., 0., 1.]], dtype=float32)
    """
    values = np.digitize(levels[:, genes].toarray(), EDGES, right=True)
    return np.hstack([values == level for level in (1, 2, 3)]).astype(np.float32)


def mutual_information(levels: sp.csr_matrix, labels: np.ndarray) -> np.ndarray:
    """Mutual information (nats) of each gene's bin and the class.

    Args:
        levels: (cells, genes).
        labels: (cells,).

    Returns:
        (genes,).
    """
    classes, index = np.unique(labels, return_inverse=True)
    cells, genes = levels.shape
    one_hot = sp.csr_matrix((np.ones(cells), (np.arange(cells), index)), (cells, len(classes)))
    bins = np.digitize(levels.data, EDGES, right=True)
    joint = np.empty((4, genes, len(classes)))
    for level in (1, 2, 3):
        inside = sp.csr_matrix(
            ((bins == level).astype(np.float64), levels.indices, levels.indptr), levels.shape
        )
        joint[level] = (inside.T @ one_hot).toarray()
    joint[0] = np.bincount(index)[None] - joint[1:].sum(axis=0)
    joint /= cells
    of_bin, of_class = joint.sum(axis=2, keepdims=True), joint.sum(axis=0, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(joint > 0, joint * np.log(joint / (of_bin * of_class)), 0.0)
    return terms.sum(axis=(0, 2))
