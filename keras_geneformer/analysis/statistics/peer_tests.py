"""Tests of each gene's effects against those of its peers, all genes at once."""

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from keras_geneformer.analysis.statistics.effect_values import GeneValues
from keras_geneformer.analysis.statistics.mixed_model import random_intercepts
from keras_geneformer.analysis.statistics.rank_sums import (
    midranks,
    rank_sum_p,
    signed_rank_p,
    smaller_in_group,
)

TESTS = ("rank-sum", "donor-means", "donor-ranks", "mixed-model")


def peer_table(
    values: GeneValues,
    groups: np.ndarray | None,
    peer: np.ndarray | None,
    *,
    donors: tuple[np.ndarray, int] | None = None,
    test: str = "rank-sum",
    level: float = 0.95,
) -> pd.DataFrame:
    """Compares the values of each gene with those of the other peers of its group.

    Args:
        values: G genes.
        groups: (G,) group of each gene; None: compare with zero.
        peer: (G,) bool: genes that others are compared with; None without groups.
        donors: number of each cell's donor, and how many there are (`donors_of`).
        test: "rank-sum" over cells (signed ranks against zero); over donors "donor-means" (t),
            "donor-ranks" (Wilcoxon) or "mixed-model" (a random intercept for each donor).
        level: of the interval.

    Returns:
        (G rows) `p`, and the columns that `perturbation_stats` describes.
    """
    n = values.detections.astype(np.float64)
    mean = values.means
    variance = _ratio(_squares(values, mean), n - 1)
    if groups is None or peer is None:
        rest, null_mean, null_variance = (np.zeros(len(n)) for _ in range(3))
        share, df, pooled = variance / n, n - 1, variance
        biserial, p = _signed_ranks(values, n)
    else:
        rest, null_mean, null_variance = _rest(values, groups, peer)
        one, other = variance / n, _ratio(null_variance, rest)
        share = one + other
        with np.errstate(invalid="ignore", divide="ignore"):
            df = share**2 / (one**2 / (n - 1) + other**2 / (rest - 1))
        pooled = _pooled(variance, n, null_variance, rest)
        biserial, p = _ranks(values, groups, peer, n, rest)
    table = pd.DataFrame({"null_mean": null_mean, "effect": mean - null_mean})
    half = _half_width(share, df, level)
    with np.errstate(invalid="ignore", divide="ignore"):
        cohens_d = table["effect"] / np.sqrt(pooled)
    if test != "rank-sum":
        assert donors is not None
        count, own = _by_donor(values, *donors)
        excess = own if groups is None else own - _peers_by_donor(count, own, groups, peer)
        number = np.isfinite(excess).sum(axis=1)
        if test == "mixed-model":
            within = (values.value - own[values.gene, donors[0][values.cell]]) ** 2
            squares = np.bincount(values.gene, within, minlength=len(n))
            estimate, error, p = random_intercepts(excess, count, squares)
        else:
            estimate, error, p = _over_donors(excess, test)
        table["effect"] = estimate
        half = _half_width(error**2, number - 1.0, level)
        table["donors"] = number
    table["effect_low"], table["effect_high"] = table["effect"] - half, table["effect"] + half
    table["cohens_d"], table["rank_biserial"] = cohens_d, biserial
    if groups is not None and peer is not None:
        table["null_genes"] = np.bincount(groups, peer)[groups].astype(np.int64) - peer
        table["null_z"], table["null_p"] = _among_peers(mean, groups, peer)
    table["p"] = p
    return table


def _squares(values: GeneValues, centre: np.ndarray) -> np.ndarray:
    """Sum over each gene of squared distances from a centre."""
    distance = (values.value - centre[values.gene]) ** 2
    return np.bincount(values.gene, distance, minlength=len(values))


def _rest(
    values: GeneValues, groups: np.ndarray, peer: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number, mean and variance of the values of a gene's peers, by sums around the group's."""
    own_number = values.detections * peer
    own_sum = values.means * own_number
    number = (np.bincount(groups, own_number)[groups] - own_number).astype(np.float64)
    mean = _ratio(np.bincount(groups, own_sum)[groups] - own_sum, number)
    centre = _ratio(np.bincount(groups, own_sum), np.bincount(groups, own_number))[groups]
    own = _squares(values, np.nan_to_num(centre)) * peer
    squares = np.bincount(groups, own)[groups] - own - number * (mean - centre) ** 2
    return number, mean, _ratio(np.maximum(squares, 0), number - 1)


def _signed_ranks(values: GeneValues, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rank-biserial correlation and p against zero."""
    ranks = midranks(values.gene, np.abs(values.value))
    signed = np.bincount(values.gene, ranks * np.sign(values.value), minlength=len(n))
    return signed / (n * (n + 1) / 2), signed_rank_p(values.gene, values.value, len(n))


def _ranks(
    values: GeneValues, groups: np.ndarray, peer: np.ndarray, n: np.ndarray, rest: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rank-biserial correlation and p against peers."""
    smaller = smaller_in_group(groups[values.gene], values.value, peer[values.gene])
    # Of the pairs of a peer with itself half count as smaller.
    larger = np.bincount(values.gene, smaller, minlength=len(n)) - peer * n * n / 2
    return 2 * _ratio(larger, n * rest) - 1, rank_sum_p(larger, n, rest)


def _by_donor(values: GeneValues, donor: np.ndarray, donors: int) -> tuple[np.ndarray, np.ndarray]:
    """(G, donors) number and mean of the values of each gene in each donor; NaN where none."""
    place = values.gene * donors + donor[values.cell]
    size, shape = len(values) * donors, (len(values), donors)
    count = np.bincount(place, minlength=size).reshape(shape).astype(np.float64)
    return count, _ratio(np.bincount(place, values.value, minlength=size).reshape(shape), count)


def _peers_by_donor(
    count: np.ndarray, mean: np.ndarray, groups: np.ndarray, peer: np.ndarray | None
) -> np.ndarray:
    """(G, donors) mean of the values of a gene's peers in each donor."""
    assert peer is not None
    count = count * peer[:, None]
    total = np.nan_to_num(mean) * count
    peers, peers_sum = (np.zeros((groups.max() + 1, count.shape[1])) for _ in range(2))
    np.add.at(peers, groups, count)
    np.add.at(peers_sum, groups, total)
    return _ratio(peers_sum[groups] - total, peers[groups] - count)


def _over_donors(excess: np.ndarray, test: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over donors, its standard error, and p by t or by Wilcoxon's signed ranks."""
    here = np.isfinite(excess)
    number = here.sum(axis=1)
    mean = _ratio(np.where(here, excess, 0).sum(axis=1), number)
    squares = np.where(here, (excess - mean[:, None]) ** 2, 0).sum(axis=1)
    error = np.sqrt(_ratio(squares, number * (number - 1.0)))
    if test == "donor-means":
        with np.errstate(invalid="ignore", divide="ignore"):
            return mean, error, 2 * stats.t.sf(np.abs(mean / error), number - 1)
    p = np.full(len(mean), np.nan)
    for count in np.unique(number[number > 1]):
        genes = np.flatnonzero(number == count)
        rows = excess[genes][here[genes]].reshape(len(genes), count)
        p[genes] = stats.wilcoxon(rows, axis=1).pvalue
    return mean, error, p


def _among_peers(
    means: np.ndarray, groups: np.ndarray, peer: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How far each gene's mean lies from those of its peers, in their standard deviations; p."""
    number = np.bincount(groups, peer)
    centre = _ratio(np.bincount(groups, means * peer), number)[groups]
    distance = means - centre
    own = distance * peer
    peers = number[groups] - peer
    mean = _ratio(np.bincount(groups, own)[groups] - own, peers)
    squares = np.bincount(groups, own**2)[groups] - own**2
    variance = _ratio(np.maximum(squares - peers * mean**2, 0), peers - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (distance - mean) / np.sqrt(variance * (1 + 1 / peers))
        return z, 2 * stats.t.sf(np.abs(z), peers - 1)


def _pooled(one: np.ndarray, ones: np.ndarray, other: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Pooled variance; that of the null alone for a gene that was measured once."""
    one, other = np.where(ones > 1, one, 0), np.where(others > 1, other, 0)
    return _ratio((ones - 1) * one + (others - 1) * other, ones + others - 2)


def _half_width(squared_error: np.ndarray, df: np.ndarray, level: float) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return stats.t.ppf((1 + level) / 2, df) * np.sqrt(squared_error)


def _ratio(numerator: Any, denominator: Any) -> np.ndarray:
    """Quotient, NaN where the denominator is not above 0."""
    denominator = np.asarray(denominator, dtype=np.float64)
    result = np.full(denominator.shape, np.nan)
    return np.divide(numerator, denominator, out=result, where=denominator > 0)
