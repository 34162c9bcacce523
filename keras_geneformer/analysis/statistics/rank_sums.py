"""Rank-sum tests of every gene at once, and the false discovery rate."""

import numpy as np
from scipy import special, stats


def midranks(group: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Ranks within groups, from 1; equal values share the mean of their ranks.

    Example:
        >>> import numpy as np
        >>> midranks(np.array([0, 0, 1, 0]), np.array([5.0, 5.0, 7.0, 1.0])).tolist()
        [2.5, 2.5, 1.0, 1.0]
    """
    ranks = np.empty(len(value))
    if not len(value):
        return ranks
    order = np.lexsort((value, group))
    groups, values = group[order], value[order]
    first = np.r_[True, groups[1:] != groups[:-1]]
    run = np.cumsum(np.r_[True, first[1:] | (values[1:] != values[:-1])]) - 1
    place = np.arange(len(value)) - np.flatnonzero(first)[np.cumsum(first) - 1] + 1.0
    ranks[order] = (np.bincount(run, place) / np.bincount(run))[run]
    return ranks


def smaller_in_group(group: np.ndarray, value: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """For each value, how many counted ones of its group are smaller, equal ones counted half.

    Args:
        group: (N,) int64, from 0.
        value: (N,) float64.
        counted: (N,) bool.

    Example:
        >>> import numpy as np
        >>> group, counted = np.zeros(3, dtype=int), np.array([True, True, False])
        >>> smaller_in_group(group, np.array([1.0, 2.0, 3.0]), counted).tolist()
        [0.5, 1.5, 2.0]
    """
    order = np.lexsort((value, group))
    groups, values = group[order], value[order]
    total = np.cumsum(counted[order])
    first = np.r_[True, (groups[1:] != groups[:-1]) | (values[1:] != values[:-1])]
    starts = np.flatnonzero(first)
    run = np.cumsum(first) - 1
    before = np.r_[0, total[starts[1:] - 1]]
    after = np.r_[total[starts[1:] - 1], total[-1]]
    begins = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    offset = np.r_[0, total][begins][np.searchsorted(begins, np.arange(len(order)), "right") - 1]
    smaller = np.empty(len(order))
    smaller[order] = (before[run] + after[run]) / 2 - offset
    return smaller


def larger_than_pool(value: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """For each value, how many of a pool are smaller, equal ones counted half.

    Example:
        >>> import numpy as np
        >>> larger_than_pool(np.array([2.0, 9.0]), np.array([1.0, 2.0, 3.0])).tolist()
        [1.5, 3.0]
    """
    pool = np.sort(pool)
    return (np.searchsorted(pool, value) + np.searchsorted(pool, value, side="right")) / 2


def rank_sum_p(larger: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Two-sided p of rank-sum tests (Wilcoxon; normal approximation, ties not corrected for).

    Args:
        larger: Mann-Whitney's U: of all pairs, those in which the first sample's is the larger,
            equal ones counted half.
        one, other: sizes of both samples; NaN comes out where one is empty.
    """
    one, other = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    spread = np.sqrt(one * other * (one + other + 1) / 12)
    z = np.divide(
        larger - one * other / 2, spread, out=np.full(spread.shape, np.nan), where=spread > 0
    )
    return 2 * special.ndtr(-np.abs(z))


def signed_rank_p(group: np.ndarray, value: np.ndarray, groups: int) -> np.ndarray:
    """Two-sided p that the values of each group lie around 0 (Wilcoxon's signed ranks, normal)."""
    kept = value != 0
    group, value = group[kept], value[kept]
    ranks = midranks(group, np.abs(value))
    number = np.bincount(group, minlength=groups).astype(np.float64)
    positive = np.bincount(group, ranks * (value > 0), minlength=groups)
    spread = np.sqrt(number * (number + 1) * (2 * number + 1) / 24)
    distance = np.abs(positive - number * (number + 1) / 4)
    z = np.divide(distance, spread, out=np.full(groups, np.nan), where=spread > 0)
    return 2 * special.ndtr(-z)


def false_discovery_rate(p: np.ndarray, tested: np.ndarray | None = None) -> np.ndarray:
    """Benjamini and Hochberg's adjusted p, over the finite p of what was tested; NaN elsewhere.

    Example:
        >>> import numpy as np
        >>> false_discovery_rate(np.array([0.01, 0.02, np.nan, 0.5])).tolist()
        [0.03, 0.03, nan, 0.5]
    """
    p = np.asarray(p, dtype=np.float64)
    counted = np.isfinite(p) if tested is None else np.isfinite(p) & tested
    adjusted = np.full(len(p), np.nan)
    if counted.any():
        adjusted[counted] = stats.false_discovery_control(p[counted])
    return adjusted
