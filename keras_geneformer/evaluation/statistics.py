"""How far scores can be relied on: intervals, and a test between two methods."""

from typing import Any, NamedTuple

import numpy as np
from scipy import stats


class PairedTest(NamedTuple):
    """What `corrected_t_test` finds."""

    difference: float
    """Mean of the first method's scores less the second's."""
    t: float
    """Difference over its corrected standard error."""
    p: float
    """Two-sided; 1 where the folds are all equal, NaN with fewer than two."""


def bootstrap_interval(
    scores: Any, *, level: float = 0.95, draws: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Interval of the mean of some scores (of folds), by resampling them (percentiles).

    The training cells of folds overlap, so folds are no independent draws, and the interval is
    rather too narrow: of two methods on the same folds ask `corrected_t_test`.

    Args:
        scores: one a fold.
        level: share of the resampled means within the interval.
        draws: resampled sets.
        seed: of the draws.

    Returns:
        Both ends; NaN with fewer than two scores.

    Example:
        >>> low, high = bootstrap_interval([0.8, 0.9, 1.0])
        >>> 0.8 <= low < 0.9 < high <= 1.0
        True
    """
    scores = np.asarray(scores, dtype=np.float64)
    if len(scores) < 2:
        return float("nan"), float("nan")
    rows = np.random.default_rng(seed).integers(len(scores), size=(draws, len(scores)))
    return _percentiles(scores[rows].mean(axis=1), level)


def cell_intervals(
    true: Any, predicted: Any, *, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Intervals of accuracy and macro-F1 by resampling the cells that were predicted.

    They say what the choice of test cells is worth, for models as they were trained. Resampling
    cells changes scores by the confusion matrix alone, so it is that which is drawn anew.

    Args:
        true: (cells,) class of every cell.
        predicted: (cells,) class it was given.
        level, draws, seed: as in `bootstrap_interval`.

    Returns:
        `accuracy` and `macro_f1`, both ends of each.

    Example:
        >>> cell_intervals(["B", "T"] * 10, ["B", "T"] * 10)["accuracy"]
        (1.0, 1.0)
    """
    true, predicted = np.asarray(true).astype(str), np.asarray(predicted).astype(str)
    classes, index = np.unique(np.concatenate([true, predicted]), return_inverse=True)
    rows, columns = index[: len(true)], index[len(true) :]
    number = len(classes)
    confusion = np.bincount(rows * number + columns, minlength=number**2) / len(true)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(true), confusion, size=draws).reshape(draws, number, number)
    right = np.diagonal(drawn, axis1=1, axis2=2)
    occurring = drawn.sum(axis=1) + drawn.sum(axis=2)
    f1 = np.divide(2 * right, occurring, out=np.zeros(right.shape), where=occurring > 0)
    macro = f1.sum(axis=1) / (occurring > 0).sum(axis=1)
    return {
        "accuracy": _percentiles(right.sum(axis=1) / len(true), level),
        "macro_f1": _percentiles(macro, level),
    }


def corrected_t_test(one: Any, other: Any, test_share: float) -> PairedTest:
    """The corrected resampled t-test of Nadeau and Bengio (2003) on the scores of the same folds.

    A plain t-test takes folds for independent, although any two train on mostly the same cells; the
    variance of the mean difference is therefore multiplied by 1 + k * test / train (k folds).

    Args:
        one, other: (folds,) scores of two methods, fold by fold.
        test_share: cells tested over cells trained on, in a fold: 1/4 with five folds.

    Returns:
        The difference, t and the two-sided p.

    Raises:
        ValueError: there are not as many scores of one as of the other, or the share is not above
            0.

    Example:
        >>> round(corrected_t_test([0.9, 0.92, 0.91], [0.8, 0.85, 0.8], 0.5).p, 3)
        0.039
    """
    one, other = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if one.shape != other.shape or one.ndim != 1:
        raise ValueError(
            f"Received {one.shape} and {other.shape} scores; expected one a fold of each method."
        )
    if not test_share > 0:
        raise ValueError(f"Received test_share={test_share}; expected test over training cells.")
    differences = one - other
    mean, folds = float(differences.mean()), len(differences)
    if folds < 2:
        return PairedTest(mean, float("nan"), float("nan"))
    # Scores that differ by rounding alone are equal.
    differences = np.where(np.abs(differences) < 1e-12, 0.0, differences)
    if not differences.any():
        return PairedTest(0.0, 0.0, 1.0)
    error = np.sqrt((1 / folds + test_share) * differences.var(ddof=1))
    t = mean / error if error > 0 else float(np.copysign(np.inf, mean))
    return PairedTest(mean, float(t), float(2 * stats.t.sf(abs(t), folds - 1)))


def _percentiles(values: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.quantile(values, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)
