"""The verbs that embed: `embed`, `embed-genes` and `embed-states`."""

import argparse
from collections.abc import Callable
from pathlib import Path

from keras_geneformer.cli.gene_option import named_genes
from keras_geneformer.cli.model_options import add_input, add_states
from keras_geneformer.cli.output import TABLES, file_of, write_table

POOLINGS = ("mean", "cls", "first", "attention", "trained_attention")
_DTYPES = ("float32", "bfloat16")


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `embed`, `embed-genes` and `embed-states`."""
    embed = add(
        "embed",
        _embed,
        "one vector a cell, from a model's hidden states",
        "Writes a table with one row a cell, in the order of the dataset: its name, and a column\n"
        "for each dimension. As .h5ad or .zarr: obs, and the vectors in obsm['X_geneformer'], for\n"
        "scanpy. Until all are there they stand in OUTPUT.parts, from where the same command goes\n"
        "on after an interruption.",
        "keras-geneformer embed cells.dataset --model geneformer_v1_10m --output cells.h5ad",
        resumes=True,
    )
    add_input(embed)
    embed.add_argument(
        "--output", required=True, type=_embedding_file, help=".parquet, .csv, .h5ad or .zarr"
    )
    add_states(embed, POOLINGS)
    embed.add_argument("--task", help="with --pooling trained_attention: whose pooling")
    _add_dtype(embed)
    embed.add_argument(
        "--no-resume", action="store_true", help="begin anew, whatever an earlier run left"
    )

    genes = add(
        "embed-genes",
        _embed_genes,
        "one vector a gene: its contextual embedding over the cells that have it",
        "Writes a table with one row a gene (with --by, a gene and value of the obs column): its\n"
        "name, the number of cells, and a column for each dimension. With --statistic none a row\n"
        "for each gene of each cell, written as it comes; parquet only.",
        "keras-geneformer embed-genes cells.dataset --model geneformer_v1_10m --by cell_type "
        "--output genes.parquet",
    )
    add_input(genes)
    genes.add_argument("--output", required=True, type=file_of(*TABLES), help=".parquet or .csv")
    genes.add_argument(
        "--genes", default="all", help="all (the default), names with commas, or a file of them"
    )
    genes.add_argument(
        "--statistic",
        choices=("mean", "median", "none"),
        default="mean",
        help="over cells (default: %(default)s)",
    )
    genes.add_argument("--by", metavar="OBS_COLUMN", help="apart for each value of it")
    genes.add_argument("--vocabulary", help="that names the genes (default: the dataset's)")
    add_states(genes, None)
    _add_dtype(genes)
    _add_published(genes, "with special tokens, and the lower of two middle values as median")

    states = add(
        "embed-states",
        _embed_states,
        "one vector a state of cells: the mean or median of its cells' vectors",
        "Writes a table with one row a value of an obs column: its name, the number of cells, and\n"
        "a column for each dimension. Perturbation measures shifts towards them.",
        "keras-geneformer embed-states cells.dataset --model geneformer_v1_10m --obs-key disease "
        "--output states.parquet",
    )
    add_input(states)
    states.add_argument("--output", required=True, type=file_of(*TABLES), help=".parquet or .csv")
    states.add_argument("--obs-key", required=True, help="the obs column")
    states.add_argument(
        "--states", nargs="+", metavar="VALUE", help="values of the column (default: all)"
    )
    states.add_argument(
        "--statistic",
        choices=("mean", "median"),
        default="mean",
        help="over cells (default: %(default)s)",
    )
    add_states(states, POOLINGS[:-1])
    _add_dtype(states)
    _add_published(states, "the lower of two middle values as median")


def _embed(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset, embed_cells

    cells = CellDataset.load(options.dataset)
    embed_cells(
        options.model,
        cells,
        layer=options.layer,
        pooling=options.pooling,
        task=options.task,
        dtype=options.dtype,
        batch_size=options.batch_size,
        output=options.output,
        resume=not options.no_resume,
        progress=True,
    )
    print(f"{len(cells)} cells embedded in {options.output}")


def _embed_genes(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset, GeneVocabulary, embed_genes

    vocabulary = options.vocabulary and GeneVocabulary.load(options.vocabulary)
    every = options.statistic == "none"
    table = embed_genes(
        options.model,
        CellDataset.load(options.dataset),
        layer=options.layer,
        genes=named_genes(options.genes),
        statistic=None if every else options.statistic,
        by=options.by,
        dtype=options.dtype,
        batch_size=options.batch_size,
        vocabulary=vocabulary,
        published=options.published,
        output=options.output,
        progress=True,
    )
    print(f"gene embeddings in {table}")


def _embed_states(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset, embed_states

    embedded = embed_states(
        options.model,
        CellDataset.load(options.dataset),
        options.obs_key,
        states=options.states,
        statistic=options.statistic,
        layer=options.layer,
        pooling=options.pooling,
        dtype=options.dtype,
        batch_size=options.batch_size,
        published=options.published,
        progress=True,
    )
    cells = embedded.attrs["cells"]
    embedded.insert(0, "cells", [cells[state] for state in embedded.index])
    embedded.attrs = {}
    write_table(embedded, options.output)
    print(f"{len(embedded)} states x {embedded.shape[1] - 1} dimensions in {options.output}")


def _embedding_file(text: str) -> Path:
    """A path that `embed` writes; .zarr is a directory."""
    if text.endswith(".zarr"):
        return Path(text)
    return file_of(*TABLES, ".h5ad", ".zarr")(text)


def _add_dtype(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--dtype", choices=_DTYPES, help="what the model computes in (default: as it was saved)"
    )


def _add_published(verb: argparse.ArgumentParser, what: str) -> None:
    verb.add_argument("--published", action="store_true", help=f"as the published package: {what}")
