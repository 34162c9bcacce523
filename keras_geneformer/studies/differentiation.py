"""Which genes, deleted or overexpressed, move cells from a start state towards a goal."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.analysis.perturbation.perturbing import perturb
from keras_geneformer.analysis.perturbation.states import States
from keras_geneformer.analysis.state_embedding import embed_states
from keras_geneformer.analysis.statistics.perturbation_statistics import perturbation_stats
from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary

_FEWEST = 5
"""Cells that have to have a gene for a test of it; a third of them where there are few."""

_SURE = 0.05


DONE = {
    "delete": "deleted",
    "overexpress": "overexpressed",
    "inhibit": "inhibited",
    "activate": "activated",
}
"""What was done to a gene, by kind."""


@dataclass(frozen=True)
class DifferentiationRun:
    """What perturbing cells of a start state came to."""

    states: States
    """The states."""
    cosines: pd.DataFrame
    """Cosine between any two of them."""
    statistics: Mapping[str, pd.DataFrame]
    """By kind of perturbation, `perturbation_stats` of `goal_state_shift`, the goal first."""
    effects: Mapping[str, Path]
    """By kind of perturbation, the file of effects."""
    cells: int
    """How many were perturbed."""

    @property
    def gap(self) -> float:
        """1 - the cosine between start and goal: how far there is to go."""
        return 1.0 - float(self.cosines[self.states.goal][self.states.start])


def run_differentiation(
    model: Any,
    cells: CellDataset,
    states: Mapping[str, Any],
    output: str | os.PathLike,
    *,
    vocabulary: GeneVocabulary | None = None,
    kinds: Sequence[str] = ("delete", "overexpress"),
    genes: Sequence[str] | None = None,
    most_genes: int = 500,
    detected: float = 0.1,
    most_cells: int | None = 100,
    donor_key: str | None = None,
    pooling: str = "mean",
    seed: int = 0,
    progress: bool = False,
) -> tuple[DifferentiationRun, list[str]]:
    """Perturb cells of a start state, and test which genes move them towards a goal.

    A run that was stopped goes on: effects are kept in `output` cell by cell.

    Args:
        model: a preset's name or directory, or a backbone or model.
        cells: those of all states.
        states: `obs_key`, `start`, `goal`, `alternatives`, as `perturb` takes them.
        output: the directory of the files of effects.
        vocabulary: names the genes. Default: that of the cells.
        kinds: of perturbation.
        genes: to perturb, by id or symbol. Default: those that at least `detected` of the start
            cells have, of these the `most_genes` that most have.
        most_genes, detected: see `genes`.
        most_cells: start cells that are perturbed, drawn by `seed`; None for all.
        donor_key: column of obs: donors are then the sample, not cells.
        pooling: of cells, as `perturb` takes it.
        seed: of what is drawn.
        progress: show bars.

    Returns:
        What came out, and notes on what was done, a sentence each.

    Raises:
        ValueError: no such states or genes, or no gene names.
    """
    checked = States.of(states, cells)
    assert checked is not None
    vocabulary = cells.vocabulary if vocabulary is None else vocabulary
    if vocabulary is None:
        raise ValueError("no vocabulary says which token is which gene: give vocabulary")
    start = cells.subset(checked.rows(cells, checked.start))
    notes = []
    chosen = None if genes is None else [str(gene) for gene in genes]
    if chosen is None:
        chosen, found = detected_genes(start, vocabulary, detected, most_genes)
        said = f"{found} genes are in at least {detected:.0%} of the {checked.start} cells"
        more = f"; the {len(chosen)} that most of these cells have were perturbed"
        notes.append(said + (more if found > len(chosen) else ", and were perturbed") + ".")
    read: dict[str, Any] = {"pooling": pooling, "progress": progress}
    vectors = embed_states(model, cells, checked.obs_key, states=checked.names, **read)
    effects, statistics = {}, {}
    perturbed = 0
    for kind in kinds:
        path = Path(output) / f"{kind}.parquet"
        effects[kind] = path
        perturb(
            model,
            cells,
            kind=kind,
            genes=chosen,
            states={**checked.described(), "vectors": vectors},
            vocabulary=vocabulary,
            max_cells=most_cells,
            output=path,
            seed=seed,
            **read,
        )
        perturbed = len(start) if most_cells is None else min(most_cells, len(start))
        statistics[kind] = perturbation_stats(
            path,
            "goal_state_shift",
            states=checked.described(),
            vocabulary=vocabulary,
            cells=cells,
            donor_key=donor_key,
            minimum_detections=min(_FEWEST, max(2, perturbed // 3)),
        )
    notes.append(f"{perturbed} of the {len(start)} {checked.start} cells were perturbed.")
    if donor_key is None:
        notes.append(
            "Cells are the sample, as no donors were told apart (group_key): p values are of these "
            "cells, and too small for others."
        )
    run = DifferentiationRun(checked, _cosines(vectors), statistics, effects, perturbed)
    return run, notes


def detected_genes(
    cells: CellDataset, vocabulary: GeneVocabulary, share: float, most: int
) -> tuple[list[str], int]:
    """Genes that a share of cells have, those that most have first, and how many there are.

    Args:
        cells: tokenized.
        vocabulary: of the cells.
        share: of the cells, at least.
        most: how many genes are given.

    Raises:
        ValueError: there is none.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_vocabulary
        >>> genes, found = detected_genes(synthetic_dataset(9), tiny_vocabulary(), 0.5, 3)
        >>> len(genes), found > 3
        (3, True)
    """
    counts = np.zeros(vocabulary.size, dtype=np.int64)
    for token_ids, _ in cells.token_lists.pieces():
        counts += np.bincount(token_ids, minlength=vocabulary.size)
    counts = counts[vocabulary.tokens]
    order = np.argsort(-counts, kind="stable")
    found = int((counts >= max(1.0, share * len(cells))).sum())
    if not found:
        raise ValueError(f"no gene is in {share:.0%} of the {len(cells)} cells: choose some")
    return [str(vocabulary.genes[place]) for place in order[: min(found, most)]], found


def towards_goal(statistics: pd.DataFrame) -> pd.DataFrame:
    """The genes that move cells towards the goal, beyond their peers: the surest findings.

    Those of which the false discovery rate is below .05, that move cells further towards the goal
    than genes at like ranks do, and lie beyond the means of these (p below .05).
    """
    kept = (statistics["Sig"] == 1) & (statistics["effect"] > 0)
    if statistics["null_p"].notna().any():
        kept &= statistics["null_p"] < _SURE
    return statistics[kept & (statistics["Shift_to_goal_end"] > 0)]


def verdict(run: DifferentiationRun) -> list[str]:
    """What came out, a sentence or two for each kind of perturbation."""
    start, goal = run.states.start, run.states.goal
    said = [
        f"To this model, {start} and {goal} are {run.gap:.3g} apart (1 - the cosine between their "
        "mean embeddings)."
    ]
    for kind, table in run.statistics.items():
        tested = int(table["Goal_end_FDR"].notna().sum())
        done = f"Of {tested} genes {DONE.get(kind, kind)}"
        moves = f"{start} cells towards {goal} further than genes at like ranks do"
        hits = towards_goal(table).sort_values("Shift_to_goal_end", ascending=False)
        if hits.empty:
            said.append(f"{done}, none moves {moves}.{_largest(table, run.gap)}")
            continue
        names = ", ".join(hits["Gene_name"].astype(str).head(8))
        largest = float(hits["Shift_to_goal_end"].iloc[0])
        said.append(
            f"{done}, {len(hits)} {'moves' if len(hits) == 1 else 'move'} {moves}: "
            f"{names}{', …' if len(hits) > 8 else ''}. The largest mean shift is {largest:.2g}, "
            f"{largest / run.gap:.1%} of the way."
        )
        for name in run.states.alternatives:
            further = int((hits["Shift_to_goal_end"] > hits[f"Shift_to_alt_end_{name}"]).sum())
            said.append(
                f"Of these, {further} {'moves' if further == 1 else 'move'} them further towards "
                f"{goal} than towards {name}."
            )
    return said


def _largest(table: pd.DataFrame, gap: float) -> str:
    """Of genes of which none stands out, the one that goes furthest; empty without one tested."""
    tested = table[table["Goal_end_FDR"].notna()]
    if tested.empty:
        return ""
    first = tested.loc[tested["Shift_to_goal_end"].idxmax()]
    return (
        f" The largest mean shift is {first['Shift_to_goal_end']:.2g}, "
        f"{first['Shift_to_goal_end'] / gap:.1%} of the way, of {first['Gene_name']}: no more than "
        "chance makes of so many genes in so few cells."
    )


def figures(run: DifferentiationRun) -> dict[str, float]:
    """The figures of a run."""
    found: dict[str, float] = {"distance of start and goal": run.gap}
    for kind, table in run.statistics.items():
        tested = table[table["Goal_end_FDR"].notna()]
        found[f"{kind}: genes tested"] = len(tested)
        found[f"{kind}: genes towards the goal"] = len(towards_goal(table))
        if len(tested):
            found[f"{kind}: largest shift"] = float(tested["Shift_to_goal_end"].max())
    return found


def _cosines(vectors: pd.DataFrame) -> pd.DataFrame:
    values = vectors.to_numpy(dtype=np.float64)
    values = values / np.linalg.norm(values, axis=1, keepdims=True)
    return pd.DataFrame(values @ values.T, index=vectors.index, columns=vectors.index)
