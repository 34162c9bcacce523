"""Which genes move cells more than a null does: the same genes elsewhere, or their peers here."""

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from keras_geneformer.analysis.statistics.comparison import Comparison
from keras_geneformer.analysis.statistics.effect_values import GeneValues, gene_values
from keras_geneformer.analysis.statistics.gene_labels import GeneLabels, sort_rows
from keras_geneformer.analysis.statistics.rank_sums import (
    false_discovery_rate,
    midranks,
    rank_sum_p,
)

_SIGNIFICANT = 0.05


def versus_table(table: pd.DataFrame, null: pd.DataFrame, vocabulary: Any) -> pd.DataFrame:
    """Each gene against itself in the null's cells, as published."""
    values, nulls = gene_values(table), gene_values(null)
    place = _places(values, nulls)
    result, p = _compared(values, nulls, place, vocabulary, published=True)
    result["Test_vs_null_pval"] = np.where(np.isnan(p), 1, p)
    result["Test_vs_null_FDR"] = false_discovery_rate(result["Test_vs_null_pval"].to_numpy())
    return _finished(result, values, nulls, place, published=True)


def versus_same_genes(
    table: pd.DataFrame, null: pd.DataFrame, vocabulary: Any, comparison: Comparison
) -> pd.DataFrame:
    """Each gene against itself in the null's cells, with effect sizes; over donors if asked."""
    values, nulls = gene_values(table), gene_values(null)
    place = _places(values, nulls)
    result, p = _compared(values, nulls, place, vocabulary, published=False)
    if comparison.test == "donor-means":
        own, others = (_donor_means(each, comparison) for each in (values, nulls))
        more, p = _welch(own, others, place, comparison.level)
        result["donors"] = own[2].astype(int)
    elif comparison.test == "rank-sum":
        own = _moments(values.gene, values.value, len(values))
        others = _moments(nulls.gene, nulls.value, len(nulls))
        more, _ = _welch(own, others, place, comparison.level)
    else:
        raise ValueError(
            f"Received test={comparison.test!r} with a null measured in other cells; expected "
            "'rank-sum' or 'donor-means'."
        )
    here = _taken(nulls.detections.astype(float), place)
    enough = np.nan_to_num(here) >= comparison.minimum_detections
    result["Test_vs_null_pval"] = p
    result["Test_vs_null_FDR"] = comparison.fdr(np.where(enough, p, np.nan), values)
    finished = pd.concat([result, more], axis=1)
    return _finished(finished, values, nulls, place, published=False)


def versus_peers(table: pd.DataFrame, vocabulary: Any, comparison: Comparison) -> pd.DataFrame:
    """Each gene against its peers in the same cells."""
    values = gene_values(table)
    labels = GeneLabels(values.genes, values.tokens, vocabulary, published=False)
    tested = comparison.table(values, str(table["state"].iloc[0]))
    result = pd.DataFrame(labels.columns(values.genes))
    result["Test_avg_shift"] = values.means
    result["Null_avg_shift"] = tested["null_mean"]
    result["Test_vs_null_avg_shift"] = tested["effect"]
    result["Test_vs_null_pval"] = tested["p"]
    result["Test_vs_null_FDR"] = comparison.fdr(tested["p"], values)
    result["N_Detections"] = values.detections
    result["Sig"] = 0
    more = tested.drop(columns=["p", "null_mean"])
    result = _significant(pd.concat([result, more], axis=1))
    by = {"Sig": False, "Test_vs_null_avg_shift": True, "Test_vs_null_FDR": True}
    return sort_rows(result, by, published=False)


def _compared(
    values: GeneValues, nulls: GeneValues, place: np.ndarray, vocabulary: Any, published: bool
) -> tuple[pd.DataFrame, np.ndarray]:
    """Means, their difference, and p of the rank-sum test."""
    labels = GeneLabels(values.genes, values.tokens, vocabulary, published)
    result = pd.DataFrame(labels.columns(values.genes))
    result["Test_avg_shift"] = values.means
    result["Null_avg_shift"] = _taken(nulls.means, place)
    result["Test_vs_null_avg_shift"] = result["Test_avg_shift"] - result["Null_avg_shift"]
    back = np.full(len(nulls), -1)
    back[place[place >= 0]] = np.flatnonzero(place >= 0)
    kept = back[nulls.gene] >= 0
    gene = np.concatenate([values.gene, back[nulls.gene][kept]])
    ranks = midranks(gene, np.concatenate([values.value, nulls.value[kept]]))
    n = values.detections
    own = np.bincount(values.gene, ranks[: len(values.gene)], minlength=len(values))
    larger = own - n * (n + 1) / 2
    other = np.nan_to_num(_taken(nulls.detections.astype(float), place))
    p = rank_sum_p(larger, n, other)
    if not published:
        with np.errstate(invalid="ignore", divide="ignore"):
            result["rank_biserial"] = 2 * larger / (n * other) - 1
    return result, p


def _places(values: GeneValues, nulls: GeneValues) -> np.ndarray:
    """Where each gene stands in the null, -1 where it is not."""
    place = pd.Index(nulls.genes).get_indexer(pd.Index(values.genes))
    if (place < 0).all():
        raise ValueError(
            f"null: it has none of the {len(values)} genes of the effects "
            f"({', '.join(values.genes[:3])}, …); it has {', '.join(nulls.genes[:3])}, …: expected "
            "the same genes, perturbed in other cells."
        )
    return place


def _taken(numbers: np.ndarray, place: np.ndarray) -> np.ndarray:
    return np.where(place >= 0, numbers[place], np.nan)


def _moments(
    group: np.ndarray, value: np.ndarray, groups: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, variance and number of the values of each group."""
    number = np.bincount(group, minlength=groups).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(group, value, minlength=groups) / number
        squares = np.bincount(group, (value - mean[group]) ** 2, minlength=groups)
        return mean, np.where(number > 1, squares / (number - 1), np.nan), number


def _donor_means(
    values: GeneValues, comparison: Comparison
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`_moments` of the means of each gene in each donor."""
    donors = comparison.donors(values)
    assert donors is not None
    place = values.gene * donors[1] + donors[0][values.cell]
    pairs, inverse = np.unique(place, return_inverse=True)
    means = np.bincount(inverse, values.value) / np.bincount(inverse)
    return _moments(pairs // donors[1], means, len(values))


def _welch(
    own: tuple[np.ndarray, np.ndarray, np.ndarray],
    others: tuple[np.ndarray, np.ndarray, np.ndarray],
    place: np.ndarray,
    level: float,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Difference of means with its interval, Cohen's d, and p of Welch's t, from `_moments`."""
    mean, variance, number = own
    null_mean, null_variance, null_number = (_taken(part, place) for part in others)
    one, other = variance / number, null_variance / null_number
    effect, error = mean - null_mean, np.sqrt(one + other)
    with np.errstate(invalid="ignore", divide="ignore"):
        df = (one + other) ** 2 / (one**2 / (number - 1) + other**2 / (null_number - 1))
        half = stats.t.ppf((1 + level) / 2, df) * error
        squares = (number - 1) * variance + (null_number - 1) * null_variance
        deviation = np.sqrt(squares / (number + null_number - 2))
        columns = {
            "effect": effect,
            "effect_low": effect - half,
            "effect_high": effect + half,
            "cohens_d": effect / deviation,
        }
        return pd.DataFrame(columns), 2 * stats.t.sf(np.abs(effect / error), df)


def _finished(
    result: pd.DataFrame,
    values: GeneValues,
    nulls: GeneValues,
    place: np.ndarray,
    published: bool,
) -> pd.DataFrame:
    """Adds the numbers of detections and what is significant, beside the FDR, and sorts."""
    after = list(result.columns).index("Test_vs_null_FDR") + 1
    result.insert(after, "N_Detections_test", values.detections)
    found = np.nan_to_num(_taken(nulls.detections.astype(float), place)).astype(np.int64)
    result.insert(after + 1, "N_Detections_null", found)
    result.insert(after + 2, "Sig", 0)
    by = {"Sig": False, "Test_vs_null_avg_shift": False, "Test_vs_null_FDR": True}
    return sort_rows(_significant(result), by, published)


def _significant(result: pd.DataFrame) -> pd.DataFrame:
    significant = result["Test_vs_null_FDR"] < _SIGNIFICANT
    if "below_noise_floor" in result:
        significant &= ~result["below_noise_floor"]
    return result.assign(Sig=significant.astype(int))
