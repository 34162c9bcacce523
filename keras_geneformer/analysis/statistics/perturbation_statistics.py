"""Statistics of in silico perturbation: `perturbation_stats`."""

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.analysis.statistics.aggregates import effects_by_cell, gene_shifts
from keras_geneformer.analysis.statistics.belonging import check_alike, check_held
from keras_geneformer.analysis.statistics.comparison import NULLS, Comparison
from keras_geneformer.analysis.statistics.effect_values import (
    gene_values,
    known_gene,
    of_genes,
    read_effects_table,
    states_of,
)
from keras_geneformer.analysis.statistics.gene_labels import GeneLabels
from keras_geneformer.analysis.statistics.goal_shift import (
    goal_and_alternatives,
    goal_shift,
    published_goal_shift,
    published_set_shift,
)
from keras_geneformer.analysis.statistics.method_arguments import check_arguments
from keras_geneformer.analysis.statistics.mixture import (
    anchored_impact,
    impact_of_genes,
)
from keras_geneformer.analysis.statistics.versus_null import (
    versus_peers,
    versus_same_genes,
    versus_table,
)

METHODS = ("goal_state_shift", "vs_null", "mixture", "aggregate", "gene_shifts")
"""The methods of `perturbation_stats`."""

PUBLISHED_NAMES = {
    "mixture_model": "mixture",
    "aggregate_data": "aggregate",
    "aggregate_gene_shifts": "gene_shifts",
}
"""What the published package calls those that it calls otherwise; taken as well."""

SHIFTS = ("state_shift", "log_odds_shift", "probability_shift")
"""Measures that have a goal."""


def perturbation_stats(
    effects: "pd.DataFrame | str | os.PathLike[str]",
    method: str = "goal_state_shift",
    *,
    null: Any = None,
    states: Mapping[str, Any] | None = None,
    genes: Sequence[str] | None = None,
    anchor: str | None = None,
    combination: bool | None = None,
    vocabulary: Any = None,
    cells: Any = None,
    obs: pd.DataFrame | None = None,
    donor_key: str | None = None,
    test: str | None = None,
    measure: str | None = None,
    kind: str | None = None,
    null_genes: int = 50,
    minimum_detections: int = 5,
    noise: Any = None,
    level: float = 0.95,
    published: bool = False,
) -> pd.DataFrame:
    """Which genes move cells, against what, and how surely.

    A gene's effects are compared with those of its peers: genes that stand at similar ranks and
    are detected in similarly many cells (`null="matched"`), because an effect grows with both by
    itself. With `donor_key` the donors are the sample and not the cells, which are no independent
    draws. `Sig` is 1 where the false discovery rate (Benjamini and Hochberg) is below 0.05 and the
    effect is above the noise floor. Every gene truly differs a little from the mean of its peers,
    and many cells show it: `null_z` and `null_p` say whether it lies apart from the means of its
    peers, one by one.

    Methods, by the names of the columns that the published package writes and we keep:
    * `goal_state_shift`: `Shift_to_goal_end`, `Shift_to_alt_end_<state>` and their p and FDR;
      sorted by `Sig`, then by the shift to the goal, genes that were not tested last.
    * `vs_null`: `Test_avg_shift` (mean cosine, 1: nothing moved), `Null_avg_shift` and their
      difference. With a table as `null`: the same gene in other cells. Else: its peers.
    * `mixture`: `Impact_component` 1 for genes in the component of lower similarity, of a mixture
      of two normal distributions; `Impact_component_percent` of its cells; with `anchor` what a
      pair does beyond the sum of both alone, or what the anchor does to each other gene.
    * `aggregate`: every cell's cosine, without a test.
    * `gene_shifts`: mean cosine of each affected gene for each gene perturbed. Files are streamed.

    Ours are added in small letters: `effect`, the mean difference from the null, with its interval
    (`effect_low`, `effect_high`: Welch's t over cells, t over donors); `cohens_d`, the difference
    of the means of single values in pooled standard deviations, and `rank_biserial` (-1 to 1), both
    over cells; `null_mean`; `null_genes`, how many peers; `null_z`, `null_p`: the gene's mean among
    those of its peers, in standard deviations, and p by t; `mean_rank` (0: front of the cells);
    `donors`; `noise_floor`, `below_noise_floor`; `Impact_probability`; `Specific_shift` of a pair,
    its mean less those of both its genes.

    Picture: `kg.plotting.volcano`, `ranked_genes`, `gene_arrows`, `gene_effect_heatmap`
    (gene_shifts).

    Args:
        effects: the table that `perturb` gives, or its path (.parquet or .csv).
        method: see above; the published package's names are taken too.
        null: "matched" (default); "all" other genes; "zero": nothing; or, for `vs_null`, a table
            of effects (or its path) in other cells.
        states: `goal` and `alternatives`, names of states (of classes with another measure).
            Default: those that the file of effects names.
        genes: only these are reported, alone or together; the others are still their peers. With
            `published`, the one set that was perturbed.
        anchor: the gene perturbed along with each other one, for `mixture`.
        combination: with an anchor, True: what pairs do; False: what the anchor does to other
            genes. Default: what the table holds.
        vocabulary: the `GeneVocabulary` that names genes. Default: that of `cells`.
        cells: the `CellDataset` that was perturbed: gives ranks and obs.
        obs: obs of the cells, in place of it.
        donor_key: the column of obs with donors.
        test: "rank-sum" over cells (default without donors); "donor-means", t over the donors'
            differences (default with them); "donor-ranks", Wilcoxon over them; "mixed-model", a
            random intercept a donor (statsmodels).
        measure: for `goal_state_shift`, "state_shift" (default), "log_odds_shift" or
            "probability_shift".
        kind: the kind of perturbation, where the table holds several.
        null_genes: peers of a gene, at least.
        minimum_detections: genes in fewer cells get no FDR.
        noise: the effects of the same genes in the same cells, measured again in another
            precision: effects within the noise are flagged (`noise_floors`).
        level: of intervals.
        published: give what the published package (InSilicoPerturberStats) gives, its mistakes
            too: cells as the sample, all genes as the null and at most 100,000 of their values, the
            mixture's components in the order found; the index is the row's place before sorting.

    Returns:
        One row a gene (a pair; a cell).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column, the measure, a state, a gene or a donor is missing, or arguments
            contradict one another.
        ImportError: "mixed-model" without statsmodels.

    Example:
        >>> from keras_geneformer import perturb
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> effects = perturb(tiny_backbone(), synthetic_dataset(4))
        >>> table = perturbation_stats(effects, "vs_null", minimum_detections=2)
        >>> bool((table["Test_vs_null_FDR"].dropna() <= 1).all())
        True
    """
    method = PUBLISHED_NAMES.get(method, method)
    if method not in METHODS:
        raise ValueError(f"Received method={method!r}; the methods are: {', '.join(METHODS)}.")
    if vocabulary is None and cells is not None:
        vocabulary = cells.vocabulary
    if anchor is not None and method != "mixture":
        raise ValueError(f"Received anchor={anchor!r} with method={method!r}; expected 'mixture'.")
    given = {
        "null": null,
        "states": states,
        "genes": genes,
        "combination": combination,
        "donor_key": donor_key,
        "test": test,
        "noise": noise,
    }
    elsewhere = null is not None and not (isinstance(null, str) and null in NULLS)
    check_arguments(method, given, anchor=anchor is not None, table=elsewhere, published=published)
    if method == "gene_shifts":
        return gene_shifts(effects, genes, vocabulary, kind, published)

    wanted = _measure(method, measure)
    measures = [wanted, "gene_cosine"] if anchor is not None else [wanted]
    # What the published package reads has no names of cells.
    table = read_effects_table(effects, measures, kind=kind, each_once=not published)
    if cells is not None:
        check_held(table, cells)
    if method == "aggregate":
        return effects_by_cell(table[of_genes(table, genes, vocabulary)], vocabulary, published)
    against = None
    if method == "vs_null" and elsewhere:
        against = read_effects_table(
            null, [wanted], kind=kind, name="null", each_once=not published
        )
        check_alike(effects, table, null, against, "null")
        null = None
    if published:
        return _published(
            method, effects, table, against, states, genes, anchor, combination, vocabulary
        )
    again = None
    if noise is not None:
        again = read_effects_table(noise, [wanted], kind=kind, name="noise")
        check_alike(effects, table, noise, again, "noise")
    comparison = Comparison.of(
        null,
        test,
        cells,
        obs,
        donor_key,
        null_genes=null_genes,
        minimum_detections=minimum_detections,
        noise=again,
        level=level,
        chosen=_chosen(table, genes, vocabulary),
    )
    if method == "goal_state_shift":
        goal, alternatives = goal_and_alternatives(states_of(effects, states), table)
        result = goal_shift(table, goal, alternatives, vocabulary, comparison)
    elif method == "vs_null" and against is not None:
        result = versus_same_genes(table, against, vocabulary, comparison)
    elif method == "vs_null":
        result = versus_peers(table, vocabulary, comparison)
    elif anchor is not None:
        result = anchored_impact(table, anchor, combination, vocabulary, comparison)
    else:
        result = impact_of_genes(gene_values(table), vocabulary, published=False)
    if genes is None:
        return result
    return result[result["Ensembl_ID"].isin(_ids(table, genes, vocabulary))].reset_index(drop=True)


def _published(
    method: str,
    effects: Any,
    table: pd.DataFrame,
    against: pd.DataFrame | None,
    states: Mapping[str, Any] | None,
    genes: Sequence[str] | None,
    anchor: str | None,
    combination: bool | None,
    vocabulary: Any,
) -> pd.DataFrame:
    if method == "goal_state_shift":
        goal, alternatives = goal_and_alternatives(states_of(effects, states), table)
        if genes is None:
            return published_goal_shift(table, goal, alternatives, vocabulary)
        chosen = table[of_genes(table, genes, vocabulary)]
        return published_set_shift(chosen, goal, alternatives)
    if method == "vs_null":
        if against is None:
            raise ValueError(
                "Received no null; the published vs_null compares with a table of effects in "
                "other cells: expected null=... (published=False compares with matched genes)."
            )
        return versus_table(table, against, vocabulary)
    if anchor is not None:
        return anchored_impact(table, anchor, combination, vocabulary, None)
    return impact_of_genes(gene_values(table), vocabulary, published=True)


def _measure(method: str, measure: str | None) -> str:
    if method == "goal_state_shift":
        if measure is not None and measure not in SHIFTS:
            raise ValueError(
                f"Received measure={measure!r}; those towards a goal are: {', '.join(SHIFTS)}."
            )
        return measure or "state_shift"
    if measure not in (None, "cell_cosine"):
        raise ValueError(
            f"Received measure={measure!r} with method={method!r}; expected cell_cosine, or "
            "method='goal_state_shift'."
        )
    return "cell_cosine"


def _chosen(
    table: pd.DataFrame, genes: Sequence[str] | None, vocabulary: Any
) -> frozenset[str] | None:
    if genes is None:
        return None
    chosen = frozenset(table["gene"][of_genes(table, genes, vocabulary)].astype(str))
    if not isinstance(genes, str) and not any("+" in name for name in chosen):
        absent = [name for name in genes if known_gene(str(name), vocabulary) not in chosen]
        if absent:
            warnings.warn(
                f"{len(absent)} of the {len(genes)} genes asked for were not perturbed, and are "
                f"left out: {', '.join(map(str, absent[:10]))}.",
                stacklevel=3,
            )
    return chosen


def _ids(table: pd.DataFrame, genes: Sequence[str], vocabulary: Any) -> list[Any]:
    """`Ensembl_ID` of the genes asked for."""
    rows = table[of_genes(table, genes, vocabulary)].drop_duplicates("gene")
    names = rows["gene"].to_numpy(dtype=object).astype(str)
    labels = GeneLabels(names, rows["token"].to_numpy(np.int64), vocabulary, published=False)
    return labels.columns(names)["Ensembl_ID"]
