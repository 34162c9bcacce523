"""Which genes a gene is compared with: those that stand and occur alike."""

from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.analysis.statistics.effect_values import GeneValues


def matched_groups(rank: np.ndarray, detections: np.ndarray, size: int) -> np.ndarray:
    """Groups of genes that stand at similar ranks and occur in similarly many cells.

    All genes are halved again and again near the median, along the rank or the detections,
    whichever still varies more (as quantiles over all genes), while both halves hold more than
    `size`. Genes with equal numbers stay together: the order of the genes must not matter.
    Everything a test needs of a gene's peers is then a sum over its group less the gene's own.

    Args:
        rank: (G,) mean rank of each gene in its cells.
        detections: (G,) number of cells.
        size: peers that a gene has at least, where there are so many.

    Returns:
        (G,) int64 number of each gene's group.

    Example:
        >>> import numpy as np
        >>> matched_groups(np.array([0.1, 0.9, 0.2, 0.8]), np.array([9, 9, 9, 9]), 1).tolist()
        [0, 1, 0, 1]
    """
    if size < 1:
        raise ValueError(f"null_genes is {size}; expected 1 gene or more to compare a gene with.")
    place = np.column_stack([_quantiles(rank), _quantiles(detections)])
    groups = np.zeros(len(place), dtype=np.int64)
    waiting, done = [np.arange(len(place))], 0
    while waiting:
        genes = waiting.pop()
        spread = np.ptp(place[genes], axis=0)
        for axis in (0, 1) if spread[0] >= spread[1] else (1, 0):
            parts = _halved(genes, place[genes, axis], size)
            if parts is not None:
                waiting += parts
                break
        else:
            groups[genes] = done
            done += 1
    return groups


def _halved(genes: np.ndarray, along: np.ndarray, size: int) -> list[np.ndarray] | None:
    """Genes of high and of low numbers, more than `size` each; None where that cannot be."""
    order = np.argsort(along, kind="stable")
    cuts = np.flatnonzero(np.diff(along[order])) + 1
    cuts = cuts[(cuts > size) & (len(genes) - cuts > size)]
    if not len(cuts):
        return None
    cut = cuts[np.argmin(np.abs(cuts - len(genes) // 2))]
    return [genes[order[cut:]], genes[order[:cut]]]


def ranks_in_cells(values: GeneValues, cells: Any = None) -> np.ndarray:
    """(N,) relative rank of each value's gene in its cell, 0 the front and 1 the end.

    Args:
        values: the effects.
        cells: the `CellDataset` that was perturbed; without it the order of the genes perturbed
            in each cell is taken, which is that of their ranks, as `perturb` gives it. So it is
            for what a cell does not hold: overexpressed genes, or several at once.

    Raises:
        ValueError: a cell of the effects is not in `cells`.
    """
    if cells is None:
        return values.order
    rows = _rows_of(values.cells, pd.Index(cells.obs.index.astype(str)), "cells")
    rank = np.full(len(values.value), np.nan)
    specials = np.array(sorted(cells.special_tokens.values()), dtype=np.int64)
    by_cell = np.argsort(values.cell, kind="stable")
    ends = np.searchsorted(values.cell[by_cell], np.arange(len(rows) + 1))
    for number, row in enumerate(rows.tolist()):
        here = by_cell[ends[number] : ends[number + 1]]
        ids = np.asarray(cells[row], dtype=np.int64)
        ids = ids[~np.isin(ids, specials)]
        order = np.argsort(ids, kind="stable")
        tokens = values.tokens[values.gene[here]]
        found = np.minimum(np.searchsorted(ids[order], tokens), len(ids) - 1)
        held = ids[order][found] == tokens
        rank[here[held]] = (order[found[held]] + 0.5) / len(ids)
    return np.where(np.isnan(rank), values.order, rank)


def beside_ranks(
    values: GeneValues, rank: np.ndarray, groups: np.ndarray, peer: np.ndarray
) -> np.ndarray:
    """(N,) the values less what the gene's peers show at the same ranks.

    In each group a parabola over ranks is fitted to the peers' values, without the gene's own:
    within a group too, genes that stand higher move a cell more.

    Args:
        values: the effects.
        rank: (N,) `ranks_in_cells`.
        groups: (G,) `matched_groups`.
        peer: (G,) bool: genes that others are compared with.
    """
    x = 2 * rank - 1
    scale = float(np.abs(values.value).max()) or 1.0
    y = values.value / scale
    # Sums of x^k for the normal equations of each gene, k up to 4, and of x^k y, k up to 2.
    sums = [np.bincount(values.gene, x**k, minlength=len(values)) * peer for k in range(5)]
    own_left = np.stack(sums, axis=1)[:, np.add.outer(range(3), range(3))]
    own_right = np.stack(
        [np.bincount(values.gene, x**k * y, minlength=len(values)) * peer for k in range(3)], axis=1
    )
    left = np.zeros((groups.max() + 1, 3, 3))
    right = np.zeros((groups.max() + 1, 3))
    np.add.at(left, groups, own_left)
    np.add.at(right, groups, own_right)
    # Where few ranks occur a parabola is not determined: a small ridge holds it.
    rest = left[groups] - own_left
    rest += (1e-6 * rest[:, :1, :1] + 1e-12) * np.diag([0.0, 1.0, 1.0]) + 1e-12 * np.eye(3)
    coefficients = np.linalg.solve(rest, (right[groups] - own_right)[..., None])[..., 0]
    constant, slope, bend = (coefficients[values.gene, k] for k in range(3))
    return values.value - scale * (constant + x * (slope + x * bend))


def without_outliers(means: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(G,) bool: genes whose mean lies within 3 robust deviations of the median of their group.

    The others are no null for anybody: hits would hide one another.
    """
    table = pd.DataFrame({"mean": means, "group": groups})
    distance = (table["mean"] - table.groupby("group")["mean"].transform("median")).abs()
    deviation = 1.4826 * distance.groupby(groups).transform("median")
    return ((distance <= 3 * deviation) | (deviation == 0)).to_numpy()


def donors_of(cells: np.ndarray, obs: Any, donor_key: str) -> tuple[np.ndarray, int]:
    """(C,) int64 number of each cell's donor, and how many donors there are.

    Raises:
        ValueError: no such column, a cell that obs does not name, one without a donor, or fewer
            than two donors.
    """
    if donor_key not in obs.columns:
        raise ValueError(
            f"obs has no column {donor_key!r} for donor_key; its columns are: "
            f"{', '.join(map(str, obs.columns)) or 'none'}."
        )
    rows = _rows_of(cells, pd.Index(obs.index.astype(str)), "obs")
    donor = obs[donor_key].iloc[rows]
    if donor.isna().any():
        raise ValueError(
            f"{int(donor.isna().sum())} cells have no {donor_key!r}; expected a donor for every "
            "cell of the effects. Leave these cells out."
        )
    codes, names = pd.factorize(donor)
    if len(names) < 2:
        raise ValueError(
            f"All {len(cells)} cells of the effects are of one {donor_key!r}; a test between "
            "donors needs two or more. Use test='rank-sum' without donor_key."
        )
    return np.asarray(codes, dtype=np.int64), len(names)


def _rows_of(cells: np.ndarray, index: pd.Index, name: str) -> np.ndarray:
    if not index.is_unique:
        twice = index[index.duplicated()][0]
        raise ValueError(f"{name} names the cell {str(twice)!r} twice; expected every name once.")
    rows = index.get_indexer(pd.Index(cells))
    if (rows < 0).any():
        raise ValueError(
            f"{int((rows < 0).sum())} of {len(cells)} cells of the effects are not in {name}, "
            f"{str(cells[rows < 0][0])!r} for one: expected the cells that were perturbed."
        )
    return rows


def _quantiles(numbers: np.ndarray) -> np.ndarray:
    return pd.Series(numbers).rank(pct=True).to_numpy()
