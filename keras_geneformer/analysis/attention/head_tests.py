"""Do heads attend more to genes of a class than to others? Rank-sum tests, a head at a time."""

from typing import NamedTuple

import numpy as np
from scipy import stats

ALTERNATIVES = ("greater", "less", "two-sided")


class RankSum(NamedTuple):
    """Tests of many heads, (...) each."""

    auc: np.ndarray
    """Share of pairs (a gene of the class, another one) in which the first has more; ties half."""
    p: np.ndarray


def rank_sum(
    values: np.ndarray,
    chosen: np.ndarray,
    strata: np.ndarray | None = None,
    alternative: str = "greater",
) -> RankSum:
    """Wilcoxon's rank-sum test of genes of a class against others, by its normal approximation.

    With strata genes are compared within theirs alone (van Elteren, 1960): each stratum's statistic
    is divided by its size plus one, and the sum set against its variance. Ties are corrected for;
    there is no continuity correction.

    Args:
        values: (heads, genes).
        chosen: (genes,) bool, those of the class.
        strata: (genes,) int; None for one.
        alternative: "greater": the class has more; "less"; or "two-sided".

    Returns:
        (heads,) areas and p-values; NaN where no two genes can be compared.

    Raises:
        ValueError: no such alternative.

    Example:
        >>> test = rank_sum(np.array([[3.0, 4.0, 1.0, 2.0]]), np.array([True, True, False, False]))
        >>> test.auc.tolist(), test.p.round(3).tolist()
        ([1.0], [0.061])
    """
    if alternative not in ALTERNATIVES:
        raise ValueError(
            f"Received alternative={alternative!r}; expected one of {', '.join(ALTERNATIVES)}."
        )
    strata = np.zeros(len(chosen), dtype=np.int64) if strata is None else strata
    wins, pairs = np.zeros(len(values)), 0
    statistic, variance = np.zeros(len(values)), np.zeros(len(values))
    for stratum in np.unique(strata):
        inside = strata == stratum
        own = chosen[inside]
        few, others = int(own.sum()), int((~own).sum())
        if not few or not others:
            continue
        number = few + others
        ranks = stats.rankdata(values[:, inside], axis=1)
        won = ranks[:, own].sum(axis=1) - few * (few + 1) / 2
        # The variance of the ranks, ties and all, over genes drawn without replacement.
        spread = ranks.var(axis=1, ddof=1) * few * others / number
        wins += won
        pairs += few * others
        statistic += (won - few * others / 2) / (number + 1)
        variance += spread / (number + 1) ** 2
    if not pairs:
        return RankSum(np.full(len(values), np.nan), np.full(len(values), np.nan))
    deviation = np.sqrt(variance)
    z = np.divide(statistic, deviation, out=np.zeros(len(values)), where=deviation > 0)
    p = {"greater": stats.norm.sf(z), "less": stats.norm.cdf(z)}.get(
        alternative, 2 * stats.norm.sf(np.abs(z))
    )
    return RankSum(wins / pairs, p)


def rank_strata(rank_shares: np.ndarray, number: int = 10) -> np.ndarray:
    """(genes,) which tenth of the genes, by mean rank, each belongs to; tenths of even size."""
    order = stats.rankdata(rank_shares, method="ordinal") - 1
    return (order * number // len(rank_shares)).astype(np.int64)


def false_discovery_rate(p: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's (1995) adjusted p-values; NaN stay so and do not count."""
    adjusted = np.full(p.shape, np.nan)
    known = np.isfinite(p)
    if known.any():
        adjusted[known] = stats.false_discovery_control(p[known])
    return adjusted
