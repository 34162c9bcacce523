"""The verb `tokenize`, which needs no Keras."""

import argparse
from collections.abc import Callable

from keras_geneformer.cli.counts_options import add_counts_options, counts_options


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `tokenize`."""
    tokenize = add(
        "tokenize",
        _tokenize,
        "counts to ranked genes: .h5ad files to a tokenized dataset",
        "Each cell becomes a list of its genes, the relatively highest first (rank values).\n"
        "Files hold raw counts of all genes; cells are read some at a time. The dataset is a\n"
        "directory that the published package and Hugging Face datasets read too.",
        "keras-geneformer tokenize --vocabulary v1 heart.h5ad --output heart.dataset",
        keras=False,
    )
    tokenize.add_argument("files", nargs="+", metavar="FILE", help=".h5ad, or folders of them")
    tokenize.add_argument(
        "--vocabulary",
        required=True,
        help="v1 or v2 (from the Hugging Face hub), a directory, or a preset that holds one",
    )
    tokenize.add_argument("--output", required=True, metavar="DIR", help="dataset to write")
    tokenize.add_argument("--max-length", type=int, help="tokens a cell (default: vocabulary's)")
    tokenize.add_argument("--obs-columns", metavar="A,B", help="obs columns kept (default: all)")
    add_counts_options(tokenize)


def _tokenize(options: argparse.Namespace) -> None:
    from keras_geneformer import GeneVocabulary, RankValueTokenizer

    vocabulary = GeneVocabulary.load(options.vocabulary)
    columns = options.obs_columns
    cells = RankValueTokenizer(vocabulary, max_length=options.max_length).tokenize_files(
        options.files,
        output=options.output,
        obs_columns=None if columns is None else [name for name in columns.split(",") if name],
        progress=True,
        **counts_options(options),
    )
    print(cells.report.summary())
    print(
        f"{len(cells)} cells of {int(cells.lengths.min())} to {int(cells.lengths.max())} tokens "
        f"(vocabulary {vocabulary.version}, {vocabulary.checksum[:12]}) in {options.output}"
    )
