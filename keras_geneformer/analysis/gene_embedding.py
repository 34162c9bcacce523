"""One vector a gene, in the contexts of the cells that have it."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.analysis.gene_states import GenePlaces, GeneStates, mean_states
from keras_geneformer.analysis.perturbation.gene_selection import (
    check_presence,
    selected_tokens,
    vocabulary_for,
)
from keras_geneformer.analysis.pooling import special_ids
from keras_geneformer.analysis.spilled_medians import median_states
from keras_geneformer.analysis.state_embedding import STATISTICS, state_of_each
from keras_geneformer.analysis.table_files import check_table, write_tables
from keras_geneformer.models.backbone_of import backbone_of


def embed_genes(
    model: Any,
    cells: Any,
    *,
    layer: int = -2,
    genes: str | Sequence[str | int] = "all",
    statistic: str | None = "mean",
    by: str | None = None,
    dtype: str | None = None,
    batch_size: int | None = None,
    vocabulary: Any = None,
    published: bool = False,
    output: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Any:
    """Embed genes: the state of a gene's token, over the cells that have the gene.

    A gene's embedding is contextual: it differs from cell to cell. Means are summed in float64 as
    the cells come, so memory holds genes x dimensions, however many cells there are. Medians are
    exact; the states wait for them in temporary files (`spilled_medians`).

    Picture: `kg.plotting.cosine_matrix` of some genes; of all, `gene_network` and its pictures.

    Args:
        model: a `GeneformerBackbone`, a model on one, or the name or directory of a preset.
        cells: a `CellDataset`.
        layer: as in `embed_cells`.
        genes: `"all"`, or a list: Ensembl ids or symbols (then a vocabulary is needed), or token
            ids.
        statistic: `"mean"` or `"median"` over the cells that have the gene; None for a row of each
            gene of each cell.
        by: a column of obs: statistics are taken apart for each of its values. Cells without a
            value count in none.
        dtype, batch_size: as in `embed_cells`.
        vocabulary: names the genes; that of the cells, or of a given preset, by default. Without
            any, a gene's name is its token as text.
        published: special tokens have rows too, under their names, and the median is the lower of
            two middle values, as in the published `EmbExtractor`.
        output: .parquet or .csv. With `statistic=None` rows are written as they come, to parquet.
        progress: show a bar.

    Returns:
        With a statistic, a table indexed by `gene` (with `by`, by its values and `gene`), genes in
        the order of their tokens, with the columns `cells` (how many have the gene), then 0, 1,
        ..., the dimensions, float64. With None, cells in the order of the dataset and genes by
        rank: columns `cell`, `gene`, `token`, then the dimensions, float32. With `output` its path.

    Raises:
        ValueError: another statistic; a gene that is not in the vocabulary, or genes of which none
            is in any cell; no such column, or one called `gene` or `cells`; `by` without a
            statistic; an output of another suffix; or whatever `embed_cells` refuses.
        OSError: medians need more room for temporary files than there is.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> table = embed_genes(tiny_backbone(), synthetic_dataset(6), by="cell_type")
        >>> list(table.index.names), table.shape[1], int(table["cells"].max())
        (['cell_type', 'gene'], 33, 2)
    """
    if statistic is not None and statistic not in STATISTICS:
        raise ValueError(
            f"Received statistic={statistic!r}; expected one of {', '.join(STATISTICS)}, or None."
        )
    if statistic is None and by is not None:
        raise ValueError(
            f"Received by={by!r} and statistic=None; every cell has rows of its own there: choose "
            "a statistic, or leave by out."
        )
    if by in ("gene", "cells"):
        raise ValueError(
            f"Received by={by!r}, which is what a column of the result is called: give the obs "
            "column another name."
        )
    path = None if output is None else check_table(output, streamed=statistic is None)
    vocabulary = vocabulary_for(model, cells, vocabulary)
    model = backbone_of(model)
    wanted = selected_tokens(genes, vocabulary, special_ids(cells, model))
    source = GeneStates(
        model,
        cells,
        layer=layer,
        dtype=dtype,
        batch_size=batch_size,
        tokens=wanted,
        special=published,
        in_order=statistic is None,
    )
    check_presence(cells, wanted, genes)
    names = _names(len(source.wanted), vocabulary, cells)
    if statistic is None:
        tables = _every_cell(source, cells, names, progress)
        return pd.concat(tables, ignore_index=True) if path is None else write_tables(tables, path)
    table = _over_cells(source, cells, names, statistic, by, published, progress)
    if path is None:
        return table
    return write_tables(iter([table.rename(columns=str).reset_index()]), path)


def _over_cells(
    source: GeneStates,
    cells: Any,
    names: np.ndarray,
    statistic: str,
    by: str | None,
    published: bool,
    progress: bool,
) -> pd.DataFrame:
    groups, group_of = [""], np.zeros(len(cells), dtype=np.int64)
    if by is not None:
        groups, group_of = state_of_each(cells, by)
    places = GenePlaces(cells, group_of, len(groups), source.wanted)
    if statistic == "mean":
        values = mean_states(source, places, progress)
    else:
        values = median_states(source, places, published, progress)
    index = pd.Index(names[places.token], name="gene")
    if by is not None:
        of_group = np.asarray(groups, dtype=object)[places.group]
        index = pd.MultiIndex.from_arrays([of_group, index], names=[by, "gene"])
    table = pd.DataFrame(values, index=index)
    table.insert(0, "cells", places.counts)
    return table


def _every_cell(
    source: GeneStates, cells: Any, names: np.ndarray, progress: bool
) -> Iterator[pd.DataFrame]:
    cell_names = cells.obs.index.astype(str).to_numpy(dtype=object)
    for found in source.batches(progress):
        table = pd.DataFrame(found.states)
        table.insert(0, "cell", cell_names[found.cells])
        table.insert(1, "gene", names[found.tokens])
        table.insert(2, "token", found.tokens.astype(np.int64))
        yield table


def _names(size: int, vocabulary: Any, cells: Any) -> np.ndarray:
    """The name of each token id; the token as text where it has none."""
    names = np.arange(size).astype(str).astype(object)
    special = dict(cells.special_tokens)
    if vocabulary is not None:
        names[np.asarray(vocabulary.tokens)] = np.asarray(vocabulary.genes, dtype=object)
        special = dict(vocabulary.special_tokens)
    for name, token in special.items():
        names[token] = name
    return names
