"""Tests of each gene's effects against those of its peers, all genes at once."""

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from keras_geneformer.analysis.statistics.effect_values import GeneValues
from keras_geneformer.analysis.statistics.mixed_model import random_intercepts
from keras_geneformer.analysis.statistics.rank_sums import midranks, rank_sum_p, signed_rank_p

TESTS = ("rank-sum", "donor-means", "donor-ranks", "mixed-model")


def peer_table(
    values: GeneValues,
    groups: np.ndarray | None,
    *,
    donors: tuple[np.ndarray, int] | None = None,
    test: str = "rank-sum",
    level: float = 0.95,
) -> pd.DataFrame:
    """Compares the values of each gene with those of the other genes of its group.

    Args:
        values: G genes.
        groups: (G,) group of each gene; None: compare with zero.
        donors: number of each cell's donor, and how many there are (`donors_of`).
        test: "rank-sum" over cells (signed ranks against zero); over donors "donor-means" (t),
            "donor-ranks" (Wilcoxon) or "mixed-model" (a random intercept for each donor).
        level: of the interval.

    Returns:
        (G rows) `p`, and the columns that `perturbation_stats` describes.
    """
    n = values.detections.astype(np.float64)
    rest, rest_sum = _rest(values, groups)
    null_mean = np.zeros(len(n)) if groups is None else _ratio(rest_sum, rest)
    effect = values.means - null_mean
    variance = _ratio(_squares(values, values.means), n - 1)
    if groups is None:
        null_variance = np.zeros(len(n))
        share, df = variance / n, n - 1
    else:
        null_variance = _rest_variance(values, groups, null_mean, rest)
        one, other = variance / n, _ratio(null_variance, rest)
        share = one + other
        with np.errstate(invalid="ignore", divide="ignore"):
            df = share**2 / (one**2 / (n - 1) + other**2 / (rest - 1))
    table = pd.DataFrame({"null_mean": null_mean, "effect": effect})
    half = _half_width(share, df, level)
    biserial, p = _ranks(values, groups, n, rest)
    if test != "rank-sum":
        assert donors is not None
        excess = _donor_excess(values, groups, *donors)
        if test == "mixed-model":
            estimate, error, p = random_intercepts(values, excess, donors[0])
        else:
            estimate, error, p = _over_donors(excess, test)
        number = np.isfinite(excess).sum(axis=1)
        table["effect"] = estimate
        half = _half_width(error**2, number - 1.0, level)
        table["donors"] = number
    table["effect_low"], table["effect_high"] = table["effect"] - half, table["effect"] + half
    pooled = variance if groups is None else _pooled(variance, n, null_variance, rest)
    with np.errstate(invalid="ignore", divide="ignore"):
        table["cohens_d"] = (values.means - null_mean) / np.sqrt(pooled)
    table["rank_biserial"] = biserial
    if groups is not None:
        table["null_genes"] = np.bincount(groups)[groups] - 1
        table["null_z"], table["null_p"] = _among_peers(values.means, groups)
    table["p"] = p
    return table


def _rest(values: GeneValues, groups: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Number and sum of the values of a gene's peers."""
    if groups is None:
        return np.zeros(len(values)), np.zeros(len(values))
    group = groups[values.gene]
    return (
        (np.bincount(group)[groups] - values.detections).astype(np.float64),
        np.bincount(group, values.value)[groups]
        - np.bincount(values.gene, values.value, minlength=len(values)),
    )


def _squares(values: GeneValues, centre: np.ndarray) -> np.ndarray:
    """Sum over each gene of squared distances from a centre."""
    return np.bincount(
        values.gene, (values.value - centre[values.gene]) ** 2, minlength=len(values)
    )


def _rest_variance(
    values: GeneValues, groups: np.ndarray, null_mean: np.ndarray, rest: np.ndarray
) -> np.ndarray:
    """Variance of the values of a gene's peers, by sums around the group's mean."""
    group = groups[values.gene]
    centre = (np.bincount(group, values.value) / np.bincount(group))[groups]
    own = _squares(values, centre)
    total = np.bincount(groups, own)[groups] - own
    return _ratio(np.maximum(total - rest * (null_mean - centre) ** 2, 0), rest - 1)


def _ranks(
    values: GeneValues, groups: np.ndarray | None, n: np.ndarray, rest: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rank-biserial correlation and p."""
    if groups is None:
        ranks = midranks(values.gene, np.abs(values.value))
        signed = np.bincount(values.gene, ranks * np.sign(values.value), minlength=len(n))
        p = signed_rank_p(values.gene, values.value, len(n))
        return signed / (n * (n + 1) / 2), p
    ranks = midranks(groups[values.gene], values.value)
    # Among all values of the group: less its own ranks, the pairs in which a peer's is smaller.
    larger = np.bincount(values.gene, ranks, minlength=len(n)) - n * (n + 1) / 2
    return 2 * _ratio(larger, n * rest) - 1, rank_sum_p(larger, n, rest)


def _donor_excess(
    values: GeneValues, groups: np.ndarray | None, donor: np.ndarray, donors: int
) -> np.ndarray:
    """(G, donors): a gene's mean in each donor less that of its peers there; NaN where none."""
    place = values.gene * donors + donor[values.cell]
    shape = (len(values), donors)
    count = np.bincount(place, minlength=shape[0] * donors).reshape(shape).astype(np.float64)
    total = np.bincount(place, values.value, minlength=shape[0] * donors).reshape(shape)
    mean = _ratio(total, count)
    if groups is None:
        return mean
    peers, peers_sum = np.zeros((groups.max() + 1, donors)), np.zeros((groups.max() + 1, donors))
    np.add.at(peers, groups, count)
    np.add.at(peers_sum, groups, total)
    return mean - _ratio(peers_sum[groups] - total, peers[groups] - count)


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


def _among_peers(means: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far each gene's mean lies from those of its peers, in their standard deviations; p."""
    peers = np.bincount(groups)[groups] - 1.0
    centre = (np.bincount(groups, means) / np.bincount(groups))[groups]
    distance = means - centre
    mean = _ratio(np.bincount(groups, distance)[groups] - distance, peers)
    squares = np.bincount(groups, distance**2)[groups] - distance**2
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
