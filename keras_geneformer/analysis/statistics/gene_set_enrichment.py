"""Do the genes found match what is known? `gene_set_enrichment`."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from keras_geneformer.analysis.statistics.gene_sets import read_gene_sets
from keras_geneformer.analysis.statistics.matched_genes import matched_groups
from keras_geneformer.analysis.statistics.rank_sums import midranks

RANKED_BY = {
    "Shift_to_goal_end": False,
    "Test_vs_null_avg_shift": True,
    "Combo_minus_sum_shift": True,
    "Test_avg_shift": True,
}
"""Columns that genes are ranked by, the first that a table has; True: the lowest value first."""


def gene_set_enrichment(
    statistics: pd.DataFrame,
    gene_set: Any,
    *,
    null: str = "matched",
    by: str | None = None,
    ascending: bool | None = None,
    top: int | None = None,
    vocabulary: Any = None,
    null_genes: int = 50,
    minimum_detections: int = 5,
    permutations: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Do the genes at the top match a known set, against genes that occur like those of the set?

    Known genes are well expressed and stand high in many cells, and such genes move cells more by
    that alone. So each gene of the set is compared with the other genes of its group only, which
    occur in similarly many cells at similar ranks (`matched_groups`), and permutations exchange
    genes within groups. A list with two classes gives a third row: the first against the second.

    Picture: `kg.plotting.gene_set_bars`.

    Args:
        statistics: a table of `perturbation_stats`, one row a gene.
        gene_set: gene ids or symbols; or a dict of lists, a table or its path as
            `read_gene_classes` takes, a set for each class; or a table without classes, one set.
        null: "matched", or "all": any gene is compared with any.
        by: the column that ranks genes. Default: `Shift_to_goal_end` (highest first), else
            `Test_vs_null_avg_shift`, `Combo_minus_sum_shift` or `Test_avg_shift` (lowest first).
        ascending: whether the lowest value of `by` ranks first; needed with other columns.
        top: how many genes are the top. Default: a tenth of them.
        vocabulary: a `GeneVocabulary` that knows other names of the genes.
        null_genes: size of the matched groups, at least.
        minimum_detections: genes in fewer cells are left out, where the table says how many.
        permutations: how many.
        level: of the intervals.
        seed: of permutations and resampling.

    Returns:
        One row a set: `set`; `genes` of it in the table and `unknown`, those of the list that are
        not; `compared`, those that there are genes to match with; `auroc`: how often a gene of
        the set ranks before one it is matched with, with an interval by resampling the set, and
        the one-sided p of the permutations (at least 1 / (permutations + 1)); `top`, `in_top`,
        `expected_in_top` by the matched genes, their ratio `fold` with an interval (exact
        binomial), `top_p` by permutations and `hypergeometric_p`, which knows no matching.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, no gene of a set is in the table, or nothing is left to
            compare it with.

    Example:
        >>> table = pd.DataFrame({"Gene": range(2, 42), "N_Detections": 9,
        ...     "Ensembl_ID": [f"ENSG{n:011d}" for n in range(40)],
        ...     "Gene_name": [f"G{n}" for n in range(40)], "Shift_to_goal_end": range(40, 0, -1)})
        >>> found = gene_set_enrichment(table, ["G0", "G1", "G2"], null_genes=20)
        >>> found[["genes", "auroc", "in_top"]].iloc[0].tolist()
        [3.0, 1.0, 3.0]
    """
    if null not in ("matched", "all"):
        raise ValueError(f"Received null={null!r}; expected 'matched' or 'all'.")
    column, lowest_first = _ranking(statistics, by, ascending)
    detections = _detections(statistics)
    kept = statistics[column].notna().to_numpy() & (detections >= minimum_detections)
    table, detections = statistics[kept], detections[kept]
    if len(table) < 2:
        raise ValueError(
            f"{len(table)} of {len(statistics)} genes have {minimum_detections} detections and a "
            f"{column}; expected two at least. Lower minimum_detections."
        )
    sets = read_gene_sets(gene_set, table, vocabulary)
    ids = table["Ensembl_ID"].astype(str)
    members = [ids.isin(one.ids).to_numpy() for one in sets]
    for one, inside in zip(sets, members):
        if not inside.any():
            raise ValueError(
                f"None of the {len(one.ids)} genes of {one.name} is in the table of statistics "
                f"with {minimum_detections} detections or more ({', '.join(one.ids[:3])}, …)."
            )
    score = table[column].to_numpy(np.float64) * (-1 if lowest_first else 1)
    size = max(1, round(len(table) / 10)) if top is None else top
    if not 0 < size < len(table):
        raise ValueError(f"top is {top}; expected 1 to {len(table) - 1} of {len(table)} genes.")
    first = np.zeros(len(table), dtype=bool)
    first[np.argsort(-score, kind="stable")[:size]] = True
    ranks = table["mean_rank"].to_numpy() if "mean_rank" in table else np.zeros(len(table))
    pairs = [(one.name, inside, ~inside, one.unknown) for one, inside in zip(sets, members)]
    if len(sets) == 2:
        title = f"{sets[0].name} against {sets[1].name}"
        pairs.append((title, members[0], members[1], sets[0].unknown))
    rows = []
    for name, inside, outside, unknown in pairs:
        genes = np.flatnonzero(inside | outside)
        groups = np.zeros(len(genes), dtype=np.int64)
        if null == "matched":
            groups = matched_groups(ranks[genes], detections[genes], null_genes)
        ranking = _Ranking(score[genes], first[genes], inside[genes], groups)
        row = {"set": name, "genes": int(inside.sum()), "unknown": unknown}
        row |= _compared(ranking, name, permutations, level, np.random.default_rng(seed))
        rows.append(row)
    return pd.DataFrame(rows)


class _Ranking(NamedTuple):
    """Scores of genes (high: first), which are at the top, which are of the set, and groups."""

    score: np.ndarray
    first: np.ndarray
    inside: np.ndarray
    groups: np.ndarray

    def each(self) -> "Iterator[_Ranking]":
        """Group by group: those that hold genes of the set and others."""
        order = np.argsort(self.groups, kind="stable")
        ends = np.searchsorted(self.groups[order], np.arange(self.groups.max() + 2))
        for start, stop in pairwise(ends):
            here = order[start:stop]
            inside = self.inside[here]
            if inside.any() and not inside.all():
                yield _Ranking(self.score[here], self.first[here], inside, self.groups[here])


def _compared(
    ranking: _Ranking, name: str, permutations: int, level: float, rng: np.random.Generator
) -> dict[str, float]:
    placements = []
    drawn_auroc, drawn_first = np.zeros(permutations), np.zeros(permutations)
    in_first, expected = 0, 0.0
    for group in ranking.each():
        total, number = len(group.score), int(group.inside.sum())
        ranks = midranks(np.zeros(total, dtype=np.int64), group.score)
        among = midranks(np.zeros(number, dtype=np.int64), group.score[group.inside])
        placements.append((ranks[group.inside] - among) / (total - number))
        in_first += int(group.first[group.inside].sum())
        expected += number * group.first[~group.inside].mean()
        drawn = np.argpartition(rng.random((permutations, total)), number - 1)[:, :number]
        drawn_auroc += (ranks[drawn].sum(axis=1) - number * (number + 1) / 2) / (total - number)
        drawn_first += group.first[drawn].sum(axis=1)
    if not placements:
        raise ValueError(
            f"No group of matched genes holds both genes of {name} and others to compare them "
            "with. Use null='all', or a larger null_genes."
        )
    place = np.concatenate(placements)
    auroc = float(place.mean())
    again = place[rng.integers(len(place), size=(2000, len(place)))].mean(axis=1)
    low, high = np.quantile(again, [(1 - level) / 2, (1 + level) / 2])
    share = stats.binomtest(in_first, len(place)).proportion_ci(level)
    ratio = len(place) / expected if expected else np.nan
    size, everything = int(ranking.first.sum()), len(ranking.score)
    return {
        "compared": len(place),
        "auroc": auroc,
        "auroc_low": float(low),
        "auroc_high": float(high),
        "auroc_p": _p(drawn_auroc / len(place), auroc),
        "top": size,
        "in_top": in_first,
        "expected_in_top": expected,
        "fold": in_first / expected if expected else np.nan,
        "fold_low": share.low * ratio,
        "fold_high": share.high * ratio,
        "top_p": _p(drawn_first, in_first),
        "hypergeometric_p": float(
            stats.hypergeom.sf(
                ranking.first[ranking.inside].sum() - 1, everything, ranking.inside.sum(), size
            )
        ),
    }


def _p(drawn: np.ndarray, found: float) -> float:
    """One-sided p of a permutation test; what is drawn equal up to rounding counts."""
    return (1 + int((drawn >= found - 1e-9).sum())) / (1 + len(drawn))


def _ranking(statistics: pd.DataFrame, by: str | None, ascending: bool | None) -> tuple[str, bool]:
    """The column that ranks genes, and whether the lowest is first."""
    columns = list(map(str, statistics.columns))
    column = by or next((name for name in RANKED_BY if name in columns), None)
    absent = [
        name for name in ("Ensembl_ID", "Gene_name", column) if name is None or name not in columns
    ]
    if absent:
        raise ValueError(
            f"statistics: the columns {', '.join(columns) or 'none'} lack "
            f"{absent[0] or ' or '.join(RANKED_BY)}; expected a table of perturbation_stats with "
            "one row a gene."
        )
    assert column is not None
    if ascending is None and column not in RANKED_BY:
        raise ValueError(
            f"Received by={column!r} without ascending; expected True where its lowest value is "
            "the strongest effect, else False."
        )
    return column, RANKED_BY[column] if ascending is None else ascending


def _detections(statistics: pd.DataFrame) -> np.ndarray:
    for name in ("N_Detections", "N_Detections_test"):
        if name in statistics:
            return statistics[name].to_numpy()
    raise ValueError("statistics: there is no column N_Detections; expected a row for each gene.")
