"""How much attention each gene receives, layer by layer and head by head."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.analysis.attention.sums import AttentionSums, sum_attention
from keras_geneformer.analysis.attention.wanted import (
    asked_of,
    chosen_layers,
    grouped,
    wanted_tokens,
)
from keras_geneformer.analysis.table_files import check_table, write_tables
from keras_geneformer.tokenization.genes.gene_lists import cells_with_token


def attention_by_gene(
    model: Any,
    cells: Any,
    *,
    layers: Sequence[int] | int | None = None,
    genes: str | Sequence[str] = "all",
    by: str | None = None,
    batch_size: int | None = None,
    vocabulary: Any = None,
    output: str | os.PathLike | None = None,
    progress: bool = False,
) -> "pd.DataFrame | Path":
    """Attention that genes receive, averaged over the cells that hold them.

    In a cell of n tokens a gene receives, of every gene of the cell as a query (itself too), a
    weight; its attention is n times their mean, so that 1 is an even share in short and long cells
    alike. Weights are summed on the device as they arise (an n x n array exists for 128 queries at
    a time), and sums over cells are of the size (groups, token ids, layers, heads), float64,
    however many cells there are.

    Picture: `kg.plotting.gene_attention`.

    Args:
        model: a `GeneformerBackbone`, a model on one, or the name or directory of a preset.
        cells: a `CellDataset` of its vocabulary.
        layers: encoder blocks, from 1, or negative from the end; all by default. No block above
            the last of them runs.
        genes: `"all"` that the cells have, or a list of ids, symbols or aliases.
        by: an obs column: means over the cells of each value. Cells without one are left out.
        batch_size: cells a batch; by default as many as 8192 tokens hold.
        vocabulary: the `GeneVocabulary`; by default that of the cells, or of the preset.
        output: a .parquet file to write, a layer at a time, or a .csv file; its path is returned
            then.
        progress: show a bar.

    Returns:
        One row a group, layer, head and gene, genes in the order of tokens: the column `by` where
        given, `layer` and `head` (both from 1), `ensembl_id`, `symbol`, `attention`, `cells` (how
        many hold the gene), `rank` (its mean rank among a cell's genes, 0 the front) and
        `rank_share` (that over the number of genes).

    Raises:
        ValueError: no such layer or column, no vocabulary, a gene that is not in it or none in any
            cell, or cells of another vocabulary or too long for the model.

    Source: Theodoris et al., Nature 618, 616 (2023), analyse attention weights by gene and head.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> table = attention_by_gene(tiny_backbone(), synthetic_dataset(6), genes=["GENE1"])
        >>> len(table), table.columns.tolist()[:4]
        (12, ['layer', 'head', 'ensembl_id', 'symbol'])
    """
    asked = asked_of(model, cells, vocabulary)
    chosen = chosen_layers(layers, asked.backbone.num_layers)
    kept, codes, groups = grouped(cells, by)
    held = cells_with_token(kept, asked.backbone.vocabulary_size)
    tokens = wanted_tokens(genes, asked.vocabulary, held)
    path = None if output is None else check_table(output)
    sums = sum_attention(
        asked._replace(cells=kept),
        chosen,
        codes,
        groups,
        described=False,
        batch_size=batch_size,
        progress=progress,
    )
    tables = gene_tables(sums, tokens, asked.vocabulary, by)
    if path is None:
        return pd.concat(tables, ignore_index=True)
    return write_tables(tables, path)


def gene_tables(
    sums: AttentionSums, tokens: np.ndarray, vocabulary: Any, by: str | None
) -> Iterator[pd.DataFrame]:
    """The table of `attention_by_gene`, a group and layer at a time."""
    for group, name in enumerate(sums.groups):
        here = tokens[sums.gene_cells[group, tokens] > 0]
        if not len(here):
            continue
        cells = sums.gene_cells[group, here]
        received = sums.mean_received(group, here)
        genes = {
            "ensembl_id": vocabulary.genes_of(here),
            "symbol": vocabulary.symbols_of(here),
            "cells": cells,
            "rank": sums.ranks[group, here] / cells,
            "rank_share": sums.mean_rank_shares(group, here),
        }
        for number, (layer, heads) in enumerate(zip(sums.layers, sums.heads)):
            repeated = {key: np.tile(values, heads) for key, values in genes.items()}
            columns = {} if by is None else {by: np.full(len(here) * heads, name, dtype=object)}
            columns |= {
                "layer": np.full(len(here) * heads, layer),
                "head": np.repeat(np.arange(1, heads + 1), len(here)),
                "ensembl_id": repeated["ensembl_id"],
                "symbol": repeated["symbol"],
                "attention": received[:, number, :heads].T.ravel(),
            }
            yield pd.DataFrame(columns | repeated)
