"""A mixed model for each gene: its effects, with a random intercept for each donor."""

import warnings
from itertools import pairwise

import numpy as np
from scipy import stats

from keras_geneformer.analysis.statistics.effect_values import GeneValues


def random_intercepts(
    values: GeneValues, excess: np.ndarray, donor: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fits value = intercept + donor + residual to each gene's values less its peers' in a donor.

    Fitted by statsmodels (restricted maximum likelihood), some 10 ms a gene. The intercept is
    tested by t with as many degrees of freedom as donors, less one: with few donors the normal
    distribution, which statsmodels gives, finds too much.

    Args:
        values: the effects of G genes.
        excess: (G, donors) a gene's mean in each donor less that of its peers there.
        donor: (C,) donor of each cell.

    Returns:
        Intercept, standard error and p, (G,) each; NaN for a gene in fewer than two donors, or
        whose values in all of them are the same.

    Raises:
        ImportError: statsmodels is not installed.
    """
    try:
        from statsmodels.regression.mixed_linear_model import MixedLM
        from statsmodels.tools.sm_exceptions import ConvergenceWarning
    except ImportError as error:
        raise ImportError(
            "test='mixed-model' needs statsmodels: pip install 'keras_geneformer[statistics]'"
        ) from error

    own = np.full(excess.shape, np.nan)
    count = np.zeros(excess.shape)
    total = np.zeros(excess.shape)
    where = (values.gene, donor[values.cell])
    np.add.at(count, where, 1)
    np.add.at(total, where, values.value)
    np.divide(total, count, out=own, where=count > 0)
    peers = own - excess
    result = np.full((3, len(values)), np.nan)
    ends = np.searchsorted(values.gene, np.arange(len(values) + 1))
    unfinished = 0
    for gene, (start, stop) in enumerate(pairwise(ends)):
        group = donor[values.cell[start:stop]]
        differences = values.value[start:stop] - peers[gene, group]
        kept = np.isfinite(differences)
        differences, group = differences[kept], group[kept]
        number = len(np.unique(group))
        # Effects are as small as 1e-6: the fit works on numbers around 1.
        scale = differences.std() if len(differences) else 0.0
        if number < 2 or len(differences) <= number or scale == 0:
            continue
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            fitted = MixedLM(differences / scale, np.ones(len(differences)), group).fit()
        unfinished += any(
            issubclass(one.category, ConvergenceWarning) and "converge" in str(one.message)
            for one in said
        )
        estimate, error = float(fitted.fe_params[0]) * scale, float(fitted.bse_fe[0]) * scale
        p = 2 * stats.t.sf(abs(estimate / error), number - 1) if error > 0 else np.nan
        result[:, gene] = estimate, error, p
    if unfinished:
        warnings.warn(
            f"The mixed model of {unfinished} of {len(values)} genes did not converge: their p is "
            "that of the last step.",
            stacklevel=2,
        )
    return result[0], result[1], result[2]
