"""The verb that scores embeddings for batch effects: `batch-effects`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_geneformer.cli.output import TABLES, draw_or_say_why_not, file_of, write_table


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `batch-effects`."""
    verb = add(
        "batch-effects",
        _batch_effects,
        "how cell types hold together and batches mix in an embedding, beside PCA and counts",
        "Writes a table with one row a representation and one column a measure (0 worst, 1 best),\n"
        "and a picture of it beside. Needs the extra scib.",
        "keras-geneformer batch-effects counts.h5ad --model geneformer_v1_10m --batch tech "
        "--label cell_type --output batch_effects.csv",
    )
    verb.add_argument("counts", help="raw counts with obs, .h5ad")
    source = verb.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--model", "--preset", help="preset with its vocabulary: tokenizes and embeds the counts"
    )
    source.add_argument("--embedding", type=file_of(*TABLES), help="table that `embed` wrote")
    verb.add_argument("--batch", required=True, metavar="OBS_COLUMN", help="batch of a cell")
    verb.add_argument("--label", required=True, metavar="OBS_COLUMN", help="type of a cell")
    verb.add_argument("--output", required=True, type=file_of(*TABLES), help=".csv or .parquet")
    verb.add_argument(
        "--layer",
        type=int,
        default=-2,
        help="after so many encoder blocks, negative from the end (default: %(default)s)",
    )
    verb.add_argument("--pooling", default="mean", help="as for embed (default: %(default)s)")
    verb.add_argument(
        "--max-cells", type=int, default=20_000, help="draw so many at most (default: %(default)s)"
    )
    verb.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")


def _batch_effects(options: argparse.Namespace) -> None:
    import anndata

    from keras_geneformer import batch_effects
    from keras_geneformer.analysis.batch_effects import check_columns
    from keras_geneformer.plotting import measure_table

    if not Path(options.counts).is_file():
        raise FileNotFoundError(f"{options.counts}: no such file")
    try:
        adata = anndata.read_h5ad(options.counts)
    except OSError as error:
        raise ValueError(f"{options.counts} is no .h5ad file that can be read: {error}") from error
    keys = (options.batch, options.label)
    # Before the model runs, which may take hours.
    check_columns(adata.obs, *keys)
    common: dict[str, Any] = {"max_cells": options.max_cells, "seed": options.seed}
    if options.embedding is not None:
        embedding = _read(options.embedding)
        table = batch_effects(embedding, *keys, counts=adata, **common)
    else:
        from keras_geneformer import embed_cells

        embed_cells(
            options.model, adata, layer=options.layer, pooling=options.pooling, progress=True
        )
        table = batch_effects(adata, *keys, **common)
    write_table(table, options.output)
    print(table.T.to_string(float_format="{:.3f}".format))
    print(f"{table.attrs['cells']} cells, {table.attrs['left_out']} left out: {options.output}")
    picture = options.output.with_suffix(".png")
    if draw_or_say_why_not(lambda: measure_table(table, picture, title="Batch effects")):
        print(f"picture in {picture}")


def _read(path: Path) -> Any:
    import pandas as pd

    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, index_col=0, dtype={0: str})
