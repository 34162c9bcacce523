"""Attention rollout: how much each gene of a cell flows into what a layer says of it."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.analysis.attention.attention_models import rollout_model
from keras_geneformer.analysis.attention.wanted import (
    Asked,
    asked_of,
    chosen_layers,
    grouped,
    wanted_tokens,
)
from keras_geneformer.analysis.pooling import check_pooling, gene_tokens
from keras_geneformer.analysis.table_files import check_table, write_tables
from keras_geneformer.data.inference import compile_forward, inference_batches, run_batches
from keras_geneformer.tokenization.genes.gene_lists import cells_with_token

ROWS = ("mean", "cls", "first")

_PIECE = 200_000
"""Rows of the table of cells that are kept before they are written."""


def attention_rollout(
    model: Any,
    cells: Any,
    *,
    layer: int = -1,
    row: str = "mean",
    genes: str | Sequence[str] = "all",
    by: str | None = None,
    batch_size: int | None = None,
    vocabulary: Any = None,
    output: str | os.PathLike | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Importance of genes by attention rollout (Abnar and Zuidema, 2020, arXiv:2005.00928).

    A layer passes on 0.5 A + 0.5 I, A its attention averaged over heads and I for what goes past
    it; the rollout of a cell is the product of these matrices over the layers. Asked for is one row
    of it, so the row is multiplied through, from the top layer down and a block of queries at a
    time, and no product of matrices is formed.

    Picture: `kg.plotting.gene_bars(table, gene="symbol", value="importance")`.

    Args:
        model: a `GeneformerBackbone`, a model on one, or the name or directory of a preset.
        cells: a `CellDataset` of its vocabulary.
        layer: the encoder block whose output is explained, from 1, or negative from the end. The
            last by default.
        row: `"mean"` over the rows of a cell's genes (what a mean-pooled embedding is made of);
            `"cls"`, the row of `<cls>`; `"first"`, of the first token, whatever it is.
        genes: `"all"` that the cells have, or a list of ids, symbols or aliases.
        by: an obs column: means over the cells of each value. Cells without one are left out.
        batch_size: cells a batch; by default as many as 8192 tokens hold.
        vocabulary: the `GeneVocabulary`; by default that of the cells, or of the preset.
        output: a .parquet file for the importance of every gene in every cell, streamed: columns
            `cell`, `ensembl_id`, `token`, `rank` and `importance`, longest cells first.
        progress: show a bar.

    Returns:
        One row a gene (and group), in the order of tokens: the column `by` where given,
        `ensembl_id`, `symbol`, `importance` (the gene's part of the rollout times the number of
        tokens in the cell, 1 being an even share; mean over cells), `cells` (how many hold it) and
        `rank` (mean rank among a cell's genes, 0 the front).

    Raises:
        ValueError: no such layer, row or column, no vocabulary, a gene that is not in it or none in
            any cell, cells without `<cls>` where it is asked for, or cells of another vocabulary or
            too long for the model.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> table = attention_rollout(tiny_backbone(), synthetic_dataset(6))
        >>> table.columns.tolist()
        ['ensembl_id', 'symbol', 'importance', 'cells', 'rank']
    """
    if row not in ROWS:
        raise ValueError(f"Received row={row!r}; expected one of {', '.join(ROWS)}.")
    asked = asked_of(model, cells, vocabulary)
    chosen = chosen_layers(layer, asked.backbone.num_layers)[0]
    check_pooling(cells, row, asked.special)
    kept, codes, groups = grouped(cells, by)
    held = cells_with_token(kept, asked.backbone.vocabulary_size)
    tokens = wanted_tokens(genes, asked.vocabulary, held)
    asked = asked._replace(cells=kept)
    path = None if output is None else check_table(output, streamed=True)
    flow = _cells(asked, chosen, "mean" if row == "mean" else "first", batch_size, progress)
    sums = _Sums.empty(len(groups), asked.backbone.vocabulary_size)
    if path is None:
        for number, ids, found in flow:
            sums.add(codes[number], ids, found)
    else:
        names = np.full(asked.backbone.vocabulary_size, None, dtype=object)
        names[tokens] = asked.vocabulary.genes_of(tokens)
        write_tables(_tables_of_cells(flow, sums, codes, kept.obs.index, names), path)
    return _gene_table(sums, tokens, asked.vocabulary, groups, by)


@dataclass(frozen=True)
class _Sums:
    """Sums over the cells of each group, (groups, token ids)."""

    importance: np.ndarray
    ranks: np.ndarray
    cells: np.ndarray

    @classmethod
    def empty(cls, *shape: int) -> "_Sums":
        return cls(np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64))

    def add(self, group: int, ids: np.ndarray, importance: np.ndarray) -> None:
        self.importance[group, ids] += importance
        self.ranks[group, ids] += np.arange(len(ids))
        self.cells[group, ids] += 1


def _cells(asked: Asked, layer: int, row: str, batch_size: int | None, progress: bool) -> Any:
    """For each cell its row in the dataset, its genes' token ids, and their importance."""
    forward = compile_forward(rollout_model(asked.backbone, layer, asked.special, row))
    batches = inference_batches(asked.cells, batch_size, asked.backbone.max_sequence_length)
    for rows, inputs, flow in run_batches(forward, batches, progress, "rollout"):
        genes = gene_tokens(inputs["token_ids"], inputs["padding_mask"], asked.special)
        lengths = inputs["padding_mask"].sum(axis=1)
        for place, number in enumerate(rows.tolist()):
            chosen = genes[place]
            share = flow[place, chosen].astype(np.float64)
            yield number, inputs["token_ids"][place, chosen], share * lengths[place]


def _tables_of_cells(
    flow: Any, sums: _Sums, codes: np.ndarray, index: Any, names: np.ndarray
) -> Iterator[pd.DataFrame]:
    """The table of cells in pieces; adds every cell to the sums on its way."""
    waiting: list[pd.DataFrame] = []
    rows = 0
    for number, ids, found in flow:
        sums.add(codes[number], ids, found)
        genes = names[ids]
        wanted = np.flatnonzero(pd.notna(genes))
        table = pd.DataFrame(
            {
                "cell": str(index[number]),
                "ensembl_id": genes[wanted],
                "token": ids[wanted].astype(np.int64),
                "rank": wanted,
                "importance": found[wanted],
            }
        )
        waiting.append(table)
        rows += len(table)
        if rows >= _PIECE:
            yield pd.concat(waiting, ignore_index=True)
            waiting, rows = [], 0
    if waiting:
        yield pd.concat(waiting, ignore_index=True)


def _gene_table(
    sums: _Sums, tokens: np.ndarray, vocabulary: Any, groups: list[str], by: str | None
) -> pd.DataFrame:
    tables = []
    for group, name in enumerate(groups):
        here = tokens[sums.cells[group, tokens] > 0]
        cells = sums.cells[group, here]
        table = pd.DataFrame(
            {
                "ensembl_id": vocabulary.genes_of(here),
                "symbol": vocabulary.symbols_of(here),
                "importance": sums.importance[group, here] / cells,
                "cells": cells,
                "rank": sums.ranks[group, here] / cells,
            }
        )
        if by is not None:
            table.insert(0, by, name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
