"""Effects put together, without a test: cell by cell, or gene by affected gene."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.analysis.statistics.effect_values import (
    check_measures,
    of_genes,
    pieces_of,
)
from keras_geneformer.analysis.statistics.gene_labels import GeneLabels, sort_rows

_SUMMARISED = 2_000_000
"""Rows of sums that are gathered before they are joined."""


def effects_by_cell(table: pd.DataFrame, vocabulary: Any, published: bool) -> pd.DataFrame:
    """One row for each perturbation of each cell: `Cosine_sim`, and `Gene`, its symbol."""
    single = table.drop_duplicates("gene")
    genes = single["gene"].to_numpy(dtype=object).astype(str)
    labels = GeneLabels(genes, single["token"].to_numpy(np.int64), vocabulary, published)
    columns = labels.columns(genes)
    names = pd.DataFrame(columns, index=genes).loc[table["gene"].astype(str).tolist()]
    result = pd.DataFrame(
        {"Cosine_sim": table["value"].to_numpy(), "Gene": names["Gene_name"].to_numpy()}
    )
    if not published:
        result["Ensembl_ID"] = names["Ensembl_ID"].to_numpy()
        result["cell"] = table["cell"].to_numpy()
    return result


def gene_shifts(
    effects: Any,
    genes: Sequence[str] | None,
    vocabulary: Any,
    kind: str | None,
    published: bool,
) -> pd.DataFrame:
    """Mean cosine of each affected gene, and of the cell, for each gene perturbed.

    A file is read piece by piece, and held as sums: memory goes by pairs of genes, not by cells.
    """
    sums, tokens = _summed(effects, genes, vocabulary, kind)
    known = pd.DataFrame(tokens.items(), columns=["gene", "token"])
    labels = GeneLabels(
        known["gene"].to_numpy(dtype=object).astype(str),
        known["token"].to_numpy(np.int64),
        vocabulary,
        published,
    )
    perturbed = sums["gene"].unique()
    names = pd.DataFrame(labels.columns(perturbed), index=perturbed).loc[sums["gene"]]
    whole = (sums["measure"] == "cell_cosine").to_numpy()
    affected = sums["state"].unique()
    of = {name: (labels.token(name), labels.symbol(name), labels.id(name)) for name in affected}
    result = pd.DataFrame(
        {
            "Perturbed": names["Gene"].to_numpy(),
            "Gene_name": names["Gene_name"].to_numpy(),
            "Ensembl_ID": names["Ensembl_ID"].to_numpy(),
            "Affected": [
                "cell_emb" if cell else str(of[name][0]) for cell, name in zip(whole, sums["state"])
            ],
            "Affected_gene_name": [
                np.nan if cell else of[name][1] for cell, name in zip(whole, sums["state"])
            ],
            "Affected_Ensembl_ID": [
                np.nan if cell else of[name][2] for cell, name in zip(whole, sums["state"])
            ],
            "Cosine_sim_mean": sums["mean"].to_numpy(),
            "Cosine_sim_stdev": np.sqrt((sums["squares"] / sums["number"]).to_numpy()),
            "N_Detections": sums["number"].to_numpy(),
        }
    )
    if not published:
        result["Specific_shift"] = _specific(sums, whole)
    result = sort_rows(
        result.assign(cell=whole), {"cell": False, "Cosine_sim_mean": True}, published
    )
    return result.drop(columns="cell")


def _specific(sums: pd.DataFrame, whole: np.ndarray) -> np.ndarray:
    """What a pair shows beyond both of its genes: its mean less those of its row and its column.

    Plus the mean of all pairs; NaN for the cell. Negative: the affected gene moves more than this
    perturbation moves others, and than others move it.
    """
    pairs = sums[~whole]
    by = {
        "gene": pairs.groupby("gene")["mean"].mean(),
        "state": pairs.groupby("state")["mean"].mean(),
    }
    shift = pairs["mean"] + pairs["mean"].mean()
    for key, means in by.items():
        shift = shift - pairs[key].map(means)
    specific = np.full(len(sums), np.nan)
    specific[~whole] = shift.to_numpy(np.float64)
    return specific


def _summed(
    effects: Any, genes: Sequence[str] | None, vocabulary: Any, kind: str | None
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Number, mean and sum of squares of each pair; and the token of every gene perturbed."""
    joined, waiting, rows = _empty(), [], 0
    tokens: dict[str, int] = {}
    found: set[str] = set()
    kinds: set[str] = set()
    chosen = False
    for piece in pieces_of(effects):
        found.update(map(str, piece["measure"].unique()))
        piece = piece[piece["measure"].isin(["gene_cosine", "cell_cosine"])]
        piece = piece if kind is None else piece[piece["kind"] == kind]
        kinds.update(map(str, piece["kind"].unique()))
        single = piece.drop_duplicates("gene")
        tokens.update(zip(single["gene"].astype(str), single["token"].astype(int)))
        if genes is not None:
            try:
                piece = piece[of_genes(piece, genes, vocabulary)]
            except ValueError:
                continue
        chosen = chosen or len(piece) > 0
        waiting.append(_sums(piece))
        rows += len(waiting[-1])
        if rows > max(_SUMMARISED, len(joined)):
            joined, waiting, rows = _merged([joined, *waiting]), [], 0
    check_measures(["gene_cosine"], found, "effects")
    if kind is None and len(kinds) > 1:
        raise ValueError(
            f"effects: the kinds {', '.join(sorted(kinds))} are mixed, and the effect of one says "
            "nothing of the other. Give kind=..."
        )
    if not chosen:
        names = pd.DataFrame({"gene": list(tokens)})
        of_genes(names, genes, vocabulary)
    joined = _merged([joined, *waiting])
    return joined, tokens


def _empty() -> pd.DataFrame:
    return pd.DataFrame(columns=["gene", "measure", "state", "number", "mean", "squares"])


def _sums(piece: pd.DataFrame) -> pd.DataFrame:
    keys = ["gene", "measure", "state"]
    text = piece[keys].astype(str)
    value = piece["value"].to_numpy(np.float64)
    grouped = text.assign(value=value).groupby(keys, sort=False)["value"]
    distance = value - grouped.transform("mean").to_numpy()
    squares = text.assign(value=distance**2).groupby(keys, sort=False)["value"].sum()
    table = pd.DataFrame({"number": grouped.size(), "mean": grouped.mean(), "squares": squares})
    return table.reset_index()


def _merged(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Joins sums of several pieces (Chan, Golub and LeVeque: each around its own mean)."""
    parts = [part for part in parts if len(part)]
    if len(parts) < 2:
        return parts[0] if parts else _empty()
    table = pd.concat(parts, ignore_index=True)
    keys = ["gene", "measure", "state"]
    pair = table.groupby(keys, sort=False).ngroup().to_numpy()
    number = np.bincount(pair, table["number"].to_numpy(np.float64))
    mean = np.bincount(pair, table["number"] * table["mean"]) / number
    between = table["number"] * (table["mean"] - mean[pair]) ** 2
    squares = np.bincount(pair, table["squares"] + between)
    first = table[keys].iloc[np.unique(pair, return_index=True)[1]].reset_index(drop=True)
    return first.assign(number=number.astype(np.int64), mean=mean, squares=squares)
