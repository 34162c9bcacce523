"""The verb that embeds cells: `embed`."""

import argparse
from collections.abc import Callable

from keras_geneformer.cli.model_options import add_input, add_states
from keras_geneformer.cli.output import (
    MARK,
    TABLES,
    file_of,
    refuse_foreign_h5ad,
    write_adata,
    write_table,
)


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `embed`."""
    embed = add(
        "embed",
        _embed,
        "one vector a cell, from a model's hidden states",
        "Writes a table with one row a cell, in the order of the dataset: its name, and a column\n"
        "for each dimension. As .h5ad: obs, and the vectors in obsm['X_geneformer'], for scanpy.",
        "keras-geneformer embed cells.dataset --model geneformer_v1_10m --output cells.h5ad",
    )
    add_input(embed)
    embed.add_argument(
        "--output", required=True, type=file_of(*TABLES, ".h5ad"), help=".parquet, .csv or .h5ad"
    )
    add_states(embed, ("mean", "cls", "first"))


def _embed(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset, embed_cells

    if options.output.suffix == ".h5ad":
        refuse_foreign_h5ad(options.output)
    cells = CellDataset.load(options.dataset)
    embedding = embed_cells(
        options.model,
        cells,
        layer=options.layer,
        pooling=options.pooling,
        batch_size=options.batch_size,
        progress=True,
    )
    if options.output.suffix == ".h5ad":
        from anndata import AnnData

        vectors = embedding.to_numpy()
        adata = AnnData(obs=cells.obs, obsm={"X_geneformer": vectors}, uns={MARK: "embed"})
        write_adata(adata, options.output)
    else:
        write_table(embedding, options.output)
    print(f"{len(embedding)} cells x {embedding.shape[1]} dimensions in {options.output}")
