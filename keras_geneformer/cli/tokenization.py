"""The verb `tokenize`, which needs no Keras."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from keras_geneformer.cli.counts_options import add_counts_options, counts_options


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `tokenize`."""
    tokenize = add(
        "tokenize",
        _tokenize,
        "counts to ranked genes: files of counts to a tokenized dataset",
        "Each cell becomes a list of its genes, the relatively highest first (rank values).\n"
        "Files hold raw counts of all genes: .h5ad, .loom, .zarr, 10x .h5, or folders with a\n"
        "matrix.mtx(.gz); a folder of such files stands for all of them. The dataset is a\n"
        "directory that the published package and Hugging Face datasets read too.\n\n"
        "After an interruption the same command goes on where it was stopped. Where a file cannot\n"
        "be read to its end, the others are finished, it is named, and the exit code is 1.",
        "keras-geneformer tokenize --vocabulary v1 atlas/*.h5ad --output atlas.dataset --workers 4",
        keras=False,
    )
    tokenize.add_argument("files", nargs="+", metavar="FILE", help="files of counts, or folders")
    tokenize.add_argument(
        "--vocabulary",
        required=True,
        help="v1 or v2 (from the Hugging Face hub), a directory, or a preset that holds one",
    )
    tokenize.add_argument("--output", required=True, metavar="DIR", help="dataset to write")
    tokenize.add_argument("--max-length", type=int, help="tokens a cell (default: vocabulary's)")
    tokenize.add_argument("--obs-columns", metavar="A,B", help="obs columns kept (default: all)")
    tokenize.add_argument(
        "--keep-counts",
        action="store_true",
        help="keep each gene's counts per 10,000 beside its token (column counts)",
    )
    tokenize.add_argument(
        "--orthologs",
        metavar="FILE",
        help="table of two columns, ids of another species and human ids: genes of the other "
        "species are taken as their human orthologs",
    )
    tokenize.add_argument(
        "--workers",
        type=int,
        default=default_workers(),
        help="processes to work in (default: the cores there are, 4 at most: %(default)s)",
    )
    tokenize.add_argument(
        "--distributed",
        metavar="ADDRESS",
        help="work on the Dask cluster of this scheduler, e.g. tcp://node1:8786, whose workers see "
        "the same files; or local: a cluster of --workers processes on this machine",
    )
    add_counts_options(tokenize)


def default_workers() -> int:
    """The cores that this process may use, 4 at most, as each worker takes memory."""
    available = getattr(os, "sched_getaffinity", None)
    cores = len(available(0)) if available else os.cpu_count() or 1
    return min(cores, 4)


def _tokenize(options: argparse.Namespace) -> int:
    from keras_geneformer import GeneVocabulary, RankValueTokenizer

    vocabulary = GeneVocabulary.load(options.vocabulary)
    if options.orthologs is not None:
        vocabulary = vocabulary.with_orthologs(options.orthologs)
    columns = options.obs_columns
    with _cluster(options.distributed, options.workers) as client:
        cells = RankValueTokenizer(vocabulary, max_length=options.max_length).tokenize_files(
            options.files,
            output=options.output,
            obs_columns=None if columns is None else [name for name in columns.split(",") if name],
            keep_counts=options.keep_counts,
            workers=options.workers,
            client=client,
            skip_broken=True,
            progress=True,
            **counts_options(options),
        )
    print(cells.report.summary())
    print(
        f"{len(cells)} cells of {int(cells.lengths.min())} to {int(cells.lengths.max())} tokens "
        f"(vocabulary {vocabulary.version}, {vocabulary.checksum[:12]}) in {options.output}"
    )
    if cells.report.broken:
        print(f"{len(cells.report.broken)} files were left out, see above", file=sys.stderr)
        return 1
    return 0


@contextmanager
def _cluster(address: str | None, workers: int) -> Iterator[Any]:
    """A client of a Dask cluster; None where none is asked for."""
    if address is None:
        yield None
        return
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise ImportError(
            'a Dask cluster needs dask.distributed: pip install "keras_geneformer[dask]"'
        ) from error
    local = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
    with Client(**local) if address == "local" else Client(address) as client:
        yield client
