"""Networks of genes, from how alike their embeddings are or from what perturbing them does."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.analysis.embedding_formats import written_settings
from keras_geneformer.analysis.gene_network import GeneNetwork
from keras_geneformer.analysis.network_edges import effect_sums, nearest, similar_pairs

EFFECTS = {"gene", "measure", "state", "value"}
"""Columns that tell a table of effects from one of embeddings."""


_ENDS = ["source", "target"]


def gene_network(
    source: Any,
    *,
    neighbours: int | None = 10,
    threshold: float | None = None,
    centred: bool = False,
    min_cells: int = 1,
    vocabulary: Any = None,
) -> GeneNetwork:
    """Link genes whose contextual embeddings are alike, or of which one moves the other.

    From embeddings (`embed_genes`) the weight of two genes is the cosine of their vectors; two
    genes are linked where either is among the nearest of the other, negative cosines never. From
    effects (`perturb(..., affected_genes=True)`) the weight from a perturbed gene to an affected
    one is the mean over cells of 1 - cosine of the affected gene's state after and before
    (`gene_cosine`), and the network is directed. No gene is linked to itself. Cosines are computed
    a block of genes at a time, effects are read piece by piece.

    Picture: `kg.plotting.module_matrix`, `kg.plotting.network_map`.

    Args:
        source: what `embed_genes` gives with a statistic and without `by`, or any table indexed by
            gene (a column `cells` counts cells, all others are dimensions); or effects as `perturb`
            gives them; or the path of either, .parquet or .csv.
        neighbours: of every gene so many at most, those of the largest weight; None for all.
        threshold: links of less weight are left out.
        centred: take the mean of all genes off their vectors first. Contextual embeddings share a
            direction that makes all cosines large; without it, they differ more.
        min_cells: genes of fewer cells (pairs, with effects) are left out.
        vocabulary: a `GeneVocabulary`, for symbols.

    Returns:
        A `GeneNetwork`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such table, holds no effects on genes or those of several kinds of
            perturbation, `neighbours` and `threshold` are both None, the vocabulary knows
            none of the genes, or no link is left.

    Example:
        >>> vectors = pd.DataFrame([[1.0, 0.1], [0.9, 0.2], [0.0, 1.0]], index=["a", "b", "c"])
        >>> network = gene_network(vectors, neighbours=1)
        >>> network.edges[["source", "target"]].values.tolist()
        [['a', 'b'], ['b', 'c']]
    """
    if neighbours is None and threshold is None:
        raise ValueError(
            "Received neighbours=None and threshold=None, which links all genes with each other: "
            "give one of them."
        )
    if neighbours is not None and neighbours < 1:
        raise ValueError(f"Received neighbours={neighbours}; expected 1 or more, or None.")
    columns = _columns(source)
    if columns >= EFFECTS:
        network = _of_effects(source, neighbours, threshold, min_cells)
    else:
        network = _of_embeddings(source, neighbours, threshold, centred, min_cells)
    if not len(network.edges):
        raise ValueError(
            f"No link between {len(network.genes)} genes is left (threshold={threshold}, "
            f"min_cells={min_cells}): lower them."
        )
    if vocabulary is None:
        return network
    if not (vocabulary.positions_of(network.genes.index) >= 0).any():
        raise ValueError(
            f"The vocabulary knows none of the {len(network.genes)} genes, first "
            f"{network.genes.index[0]!r}: is it that of the model, and is this a table of genes?"
        )
    return network.with_symbols(vocabulary)


def _of_embeddings(
    source: Any,
    neighbours: int | None,
    threshold: float | None,
    centred: bool,
    min_cells: int,
) -> GeneNetwork:
    table = _embeddings(source)
    cells = table["cells"] if "cells" in table else pd.Series(1, index=table.index)
    kept = (cells >= min_cells).to_numpy()
    vectors = table.drop(columns=["cells"], errors="ignore").loc[kept]
    values = vectors.to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("The embeddings hold values that are not finite.")
    if len(values) < 2:
        raise ValueError(
            f"{len(values)} genes of {len(table)} are in {min_cells} cells or more; expected 2 at "
            "least."
        )
    counts = cells.to_numpy(dtype=np.int64)[kept]
    if centred:
        values = values - values.mean(axis=0)
    one, other, weights = similar_pairs(values, neighbours, threshold)
    names = vectors.index.to_numpy(dtype=object)
    edges = pd.DataFrame(
        {
            "source": names[one],
            "target": names[other],
            "weight": weights,
            "cells": np.minimum(counts[one], counts[other]),
        }
    )
    genes = pd.DataFrame({"symbol": names.astype(str), "cells": counts}, index=names)
    return GeneNetwork(genes.rename_axis("gene"), edges, False, vectors.rename_axis("gene"))


def _of_effects(
    source: Any, neighbours: int | None, threshold: float | None, min_cells: int
) -> GeneNetwork:
    pairs = effect_sums(source)
    several = pairs["gene"].str.contains("+", regex=False)
    pairs = pairs[~several & (pairs["gene"] != pairs["state"]) & (pairs["cells"] >= min_cells)]
    if pairs.empty:
        raise ValueError(
            "There is no effect of one perturbed gene on another in as many cells as "
            f"{min_cells}: perturb each gene alone, with affected_genes=True."
        )
    pairs = pairs.assign(weight=pairs["total"] / pairs["cells"])
    if threshold is not None:
        pairs = pairs[pairs["weight"] >= threshold]
    if neighbours is not None:
        pairs = nearest(pairs, neighbours)
    edges = pairs.rename(columns={"gene": "source", "state": "target"})
    edges = edges[["source", "target", "weight", "cells"]].reset_index(drop=True)
    names = np.unique(np.concatenate([edges["source"], edges["target"]]).astype(str))
    # The most cells that any link of a gene was seen in.
    ends = [edges[[end, "cells"]].set_axis(["gene", "cells"], axis=1) for end in _ENDS]
    cells = pd.concat(ends).groupby("gene")["cells"].max().reindex(names)
    genes = pd.DataFrame({"symbol": names, "cells": cells.to_numpy()}, index=names.astype(object))
    return GeneNetwork(genes.rename_axis("gene"), edges, True, None)


def _columns(source: Any) -> set[str]:
    """Names of the columns of a table, without reading it."""
    if isinstance(source, pd.DataFrame):
        return set(map(str, source.columns))
    if not isinstance(source, (str, os.PathLike)):
        raise ValueError(
            f"Received a {type(source).__name__}; expected a table of gene embeddings or of "
            "effects, or the path of one."
        )
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        if path.suffix == ".csv":
            return set(pd.read_csv(path, nrows=0).columns)
        import pyarrow.parquet as pq

        return set(pq.read_schema(path).names)
    except (ValueError, OSError) as error:
        raise ValueError(
            f"{path} is no table that can be read: {error}. Expected .parquet or .csv."
        ) from error


def _embeddings(source: Any) -> pd.DataFrame:
    """Gene embeddings, indexed by gene."""
    if isinstance(source, pd.DataFrame):
        table, name = source, "The table"
    else:
        path, name = Path(source), str(source)
        table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
        if path.suffix == ".parquet" and written_settings(path) is not None:
            raise ValueError(
                f"{path} holds one row a cell (embed wrote it); expected one row a gene, from "
                "embed_genes."
            )
    if "gene" in table.columns:
        table = table.set_index("gene")
    others = [
        str(column) for column in table.columns if not pd.api.types.is_numeric_dtype(table[column])
    ]
    if others or table.index.nlevels > 1 or not table.shape[1]:
        found = others or table.index.names
        raise ValueError(
            f"{name} holds {', '.join(map(str, found)) or 'nothing'} beside numbers; expected one "
            "row a gene: its name and the dimensions (of embed_genes with a statistic, and of one "
            "group of cells)."
        )
    if not table.index.is_unique:
        twice = table.index[table.index.duplicated()][0]
        raise ValueError(f"{name} holds the gene {twice!r} more than once; expected one row each.")
    return table.set_axis(table.index.astype(str), axis=0)
