"""The verb that perturbs genes in cells: `perturb`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_geneformer.cli.model_options import add_input, add_states
from keras_geneformer.cli.output import TABLES, file_of, write_table


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `perturb`."""
    perturb = add(
        "perturb",
        _perturb,
        "delete genes in cells, one at a time, and measure how far each cell moves",
        "Writes a table with one row a deletion: cell, gene, token, kind, measure, state and\n"
        "value, the cosine between the cell's embedding after and before (1: nothing moved).",
        "keras-geneformer perturb cells.dataset --model geneformer_v1_10m --genes GATA4,TBX5 "
        "--output effects.parquet",
    )
    add_input(perturb)
    perturb.add_argument("--output", required=True, type=file_of(*TABLES), help=".parquet or .csv")
    perturb.add_argument("--kind", choices=("delete",), default="delete", help="what is done")
    perturb.add_argument(
        "--genes", default="all", help="Ensembl ids or symbols, with commas (default: %(default)s)"
    )
    perturb.add_argument(
        "--where", metavar="COLUMN=VALUE", help="only cells with this value in an obs column"
    )
    perturb.add_argument("--max-cells", type=int, help="only the first cells (of those)")
    perturb.add_argument(
        "--vocabulary",
        help="v1, v2 or a directory: names the genes (default: the vocabulary in the preset)",
    )
    add_states(perturb, ("mean", "cls"))


def _perturb(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset, GeneVocabulary, perturb

    cells = _chosen(CellDataset.load(options.dataset), options.where, options.max_cells)
    genes = options.genes
    effects = perturb(
        options.model,
        cells,
        kind=options.kind,
        genes="all" if genes == "all" else [name.strip() for name in genes.split(",")],
        layer=options.layer,
        pooling=options.pooling,
        batch_size=options.batch_size,
        vocabulary=GeneVocabulary.load(options.vocabulary) if options.vocabulary else None,
        progress=True,
    )
    write_table(effects, Path(options.output), index=False)
    print(
        f"{len(effects)} deletions in {effects['cell'].nunique()} cells, in {options.output}\n"
        f"they move a cell to a cosine of {effects['value'].median():.6f} (median), "
        f"{effects['value'].min():.6f} at most, from {effects['gene'][effects['value'].idxmin()]}"
    )


def _chosen(cells: Any, where: str | None, max_cells: int | None) -> Any:
    """The cells that --where and --max-cells leave."""
    if where is not None:
        column, equals, value = where.partition("=")
        if not equals or column not in cells.obs:
            raise ValueError(
                f"--where {where!r}: expected COLUMN=VALUE with one of the columns "
                f"{', '.join(map(str, cells.obs.columns))}"
            )
        kept = (cells.obs[column].astype(str) == value).to_numpy()
        if not kept.any():
            values = ", ".join(sorted(set(cells.obs[column].astype(str)))[:20])
            raise ValueError(f"--where {where!r}: no cell has it; {column} holds {values}")
        cells = cells.subset(kept)
    if max_cells is not None:
        if max_cells < 1:
            raise ValueError(f"--max-cells is {max_cells}; expected 1 or more")
        cells = cells.subset(range(min(max_cells, len(cells))))
    return cells
