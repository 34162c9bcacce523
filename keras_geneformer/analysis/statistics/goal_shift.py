"""Which genes shift cells towards a goal state."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.analysis.statistics.comparison import Comparison
from keras_geneformer.analysis.statistics.effect_values import GeneValues, gene_values
from keras_geneformer.analysis.statistics.gene_labels import GeneLabels, sort_rows
from keras_geneformer.analysis.statistics.rank_sums import (
    false_discovery_rate,
    larger_than_pool,
    rank_sum_p,
)

_POOLED = 100_000
_SIGNIFICANT = 0.05


def goal_and_alternatives(
    states: Mapping[str, Any] | None, table: pd.DataFrame
) -> tuple[str, list[str]]:
    """The goal and the alternative states.

    Raises:
        ValueError: no goal is given, or the effects were not measured towards one of them.
    """
    there = sorted(map(str, table["state"].unique()))
    if states is None or not states.get("goal"):
        raise ValueError(
            "Received no goal state; expected states={'goal': ..., 'alternatives': [...]}. The "
            f"effects hold the states: {', '.join(there)}."
        )
    goal = str(states["goal"])
    others = states.get("alternatives")
    others = [] if others is None else [others] if isinstance(others, str) else others
    alternatives = [str(state) for state in others]
    for state in (goal, *alternatives):
        if state not in there:
            raise ValueError(
                f"effects: nothing was measured towards the state {state!r}; the states there "
                f"are: {', '.join(there)}."
            )
    if len({goal, *alternatives}) <= len(alternatives):
        raise ValueError(
            f"Received the goal {goal!r} and the alternatives {', '.join(alternatives)}; expected "
            "states that differ."
        )
    return goal, alternatives


def published_set_shift(
    table: pd.DataFrame, goal: str, alternatives: Sequence[str]
) -> pd.DataFrame:
    """The mean shifts of one gene or set towards each state: one row, as published."""
    first = gene_values(table[table["state"] == goal]).genes[0]
    of_first = table[table["gene"] == first].groupby("state", observed=True)["value"].mean()
    row = {"Shift_to_goal_end": of_first[goal]}
    row |= {f"Shift_to_alt_end_{state}": of_first[state] for state in alternatives}
    return pd.DataFrame([row])


def published_goal_shift(
    table: pd.DataFrame, goal: str, alternatives: Sequence[str], vocabulary: Any
) -> pd.DataFrame:
    """Each gene's shifts against those of all genes, its own among them, as published.

    Of more than 100,000 values those compared with are a random sample (Python's, seed 42).
    """
    names = _names(goal, alternatives)
    shifts = {state: gene_values(table[table["state"] == state]) for state in names}
    values = shifts[goal]
    labels = GeneLabels(values.genes, values.tokens, vocabulary, published=True)
    result = pd.DataFrame(labels.columns(values.genes))
    p = {}
    for state, (shift, _, _) in names.items():
        of_state = _aligned(shifts[state], values)
        result[shift] = of_state.means
        pool = of_state.value
        if len(pool) > _POOLED:
            chosen = random.Random(42).sample(range(len(pool)), k=_POOLED)
            pool = pool[chosen]
        larger = np.bincount(of_state.gene, larger_than_pool(of_state.value, pool))
        p[state] = rank_sum_p(larger, of_state.detections, np.array(float(len(pool))))
    for state, (_, p_name, _) in names.items():
        result[p_name] = p[state]
    for state, (_, _, fdr_name) in names.items():
        result[fdr_name] = false_discovery_rate(p[state])
    return _finished(result, values.detections, published=True)


def goal_shift(
    table: pd.DataFrame,
    goal: str,
    alternatives: Sequence[str],
    vocabulary: Any,
    comparison: Comparison,
) -> pd.DataFrame:
    """Each gene's shifts against those of its peers, with effect sizes for the goal."""
    names = _names(goal, alternatives)
    shifts = {state: gene_values(table[table["state"] == state]) for state in names}
    values = shifts[goal]
    labels = GeneLabels(values.genes, values.tokens, vocabulary, published=False)
    tested = {
        state: comparison.table(_aligned(of_state, values), state)
        for state, of_state in shifts.items()
    }
    result = pd.DataFrame(labels.columns(values.genes))
    for state, (shift, _, _) in names.items():
        result[shift] = _aligned(shifts[state], values).means
    for state, (_, p_name, _) in names.items():
        result[p_name] = tested[state]["p"]
    for state, (_, _, fdr_name) in names.items():
        result[fdr_name] = comparison.fdr(tested[state]["p"], values)
    result["N_Detections"] = 0
    result["Sig"] = 0
    more = tested[goal].drop(columns="p")
    return _finished(pd.concat([result, more], axis=1), values.detections, published=False)


def _names(goal: str, alternatives: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """Names of the columns of each state: shift, p and FDR."""
    names = {goal: ("Shift_to_goal_end", "Goal_end_vs_random_pval", "Goal_end_FDR")}
    for state in alternatives:
        names[state] = (
            f"Shift_to_alt_end_{state}",
            f"Alt_end_vs_random_pval_{state}",
            f"Alt_end_FDR_{state}",
        )
    return names


def _aligned(values: GeneValues, goal: GeneValues) -> GeneValues:
    """The values, which must be of the same genes as those towards the goal."""
    if len(values) != len(goal) or (values.genes != goal.genes).any():
        odd = sorted(set(values.genes.tolist()) ^ set(goal.genes.tolist()))
        raise ValueError(
            f"effects: {len(odd)} genes were measured towards some of the states alone "
            f"({', '.join(odd[:5])}); expected every state for every gene."
        )
    return values


def _finished(result: pd.DataFrame, detections: np.ndarray, published: bool) -> pd.DataFrame:
    significant = (result["Goal_end_FDR"] < _SIGNIFICANT).astype(int)
    if "below_noise_floor" in result:
        significant *= ~result["below_noise_floor"]
    result["N_Detections"], result["Sig"] = detections, significant
    by = {"Sig": False, "Shift_to_goal_end": False, "Goal_end_FDR": True}
    return sort_rows(result, by, published)
