"""A mixed model for each gene: its effects, with a random intercept for each donor."""

import numpy as np
from scipy import stats

_RATIOS = np.concatenate([[0.0], np.logspace(-4, 4, 65)])
_REFINEMENTS = 12


def random_intercepts(
    mean: np.ndarray, number: np.ndarray, squares: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fits value = intercept + donor + residual to every gene, by restricted maximum likelihood.

    The same model as statsmodels' `MixedLM` with a constant and donors as groups, which takes
    50 ms a gene and often ends without convergence where donors do not differ. Here the likelihood
    is a function of one number, the variance between donors over that within; it is found for all
    genes at once, 0 included. The intercept is tested by t with as many degrees of freedom as
    donors, less one: with few donors the normal distribution, which `MixedLM` takes, finds too
    much.

    Args:
        mean: (G, donors) mean of the values of each gene in each donor; NaN where there is none.
        number: (G, donors) how many values.
        squares: (G,) sum of squares of the values around their donor's mean.

    Returns:
        Intercept, standard error and p, (G,) each; NaN for a gene in fewer than two donors, with
        one value in each, or whose values are all the same.
    """
    here = np.isfinite(mean)
    number = np.where(here, number, 0).astype(np.float64)
    mean = np.where(here, mean, 0.0)
    donors, total = here.sum(axis=1), number.sum(axis=1)
    ratio = np.zeros(len(mean))
    best = np.full(len(mean), -np.inf)
    for candidate in _RATIOS:
        ratio, best = _better(ratio, best, np.full(len(mean), candidate), mean, number, squares)
    step = np.sqrt(_RATIOS[2] / _RATIOS[1])
    for _ in range(_REFINEMENTS):
        for candidate in (ratio * step, ratio / step):
            ratio, best = _better(ratio, best, candidate, mean, number, squares)
        step = np.sqrt(step)
    _, intercept, weight, variance = _fit(ratio, mean, number, squares)
    fitted = (donors > 1) & (total > donors) & (variance > 0)
    error = np.full(len(mean), np.nan)
    np.sqrt(np.divide(variance, weight, out=error, where=fitted), out=error)
    p = np.full(len(mean), np.nan)
    p[fitted] = 2 * stats.t.sf(np.abs(intercept / error)[fitted], donors[fitted] - 1)
    return np.where(fitted, intercept, np.nan), error, p


def _better(
    ratio: np.ndarray,
    best: np.ndarray,
    candidate: np.ndarray,
    mean: np.ndarray,
    number: np.ndarray,
    squares: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """For each gene the candidate where it is likelier than what there is."""
    likelihood = _fit(candidate, mean, number, squares)[0]
    better = likelihood > best
    return np.where(better, candidate, ratio), np.where(better, likelihood, best)


def _fit(
    ratio: np.ndarray, mean: np.ndarray, number: np.ndarray, squares: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Restricted log likelihood at a ratio of variances, intercept, its weight, and variance."""
    scale = 1 + number * ratio[:, None]
    weights = number / scale
    weight = weights.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        intercept = (weights * mean).sum(axis=1) / weight
        between = (weights * (mean - intercept[:, None]) ** 2).sum(axis=1)
        free = number.sum(axis=1) - 1
        variance = (squares + between) / free
        likelihood = -(free * np.log(variance) + np.log(scale).sum(axis=1) + np.log(weight)) / 2
    return likelihood, intercept, weight, variance
