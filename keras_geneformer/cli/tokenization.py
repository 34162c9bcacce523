"""The verbs that need no Keras: `tokenize` and `fit-vocabulary`."""

import argparse
from collections.abc import Callable
from typing import Any


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `tokenize` and `fit-vocabulary`."""
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
    _add_counts(tokenize)

    fit = add(
        "fit-vocabulary",
        _fit_vocabulary,
        "a vocabulary of your own: the genes of a corpus, and their nonzero medians",
        "For a species or corpus that the published vocabularies do not cover. Models have to be\n"
        "pretrained with it.",
        "keras-geneformer fit-vocabulary mouse/*.h5ad --output mouse_vocabulary",
        keras=False,
    )
    fit.add_argument("files", nargs="+", metavar="FILE", help=".h5ad, or folders of them")
    fit.add_argument("--output", required=True, metavar="DIR", help="vocabulary to write")
    _add_counts(fit)


def _add_counts(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--gene-key",
        default="ensembl_id",
        help="var column with gene ids or symbols, or var_names (default: %(default)s)",
    )
    verb.add_argument(
        "--n-counts-key",
        default="n_counts",
        help="obs column with the cells' total counts (default: %(default)s; where there is none, "
        "total_counts, else the sum over all genes), or sum: always the sum over all genes",
    )
    verb.add_argument("--layer", help="layer with the counts, or raw (default: X)")
    verb.add_argument(
        "--no-check-counts",
        action="store_true",
        help="accept values that look like logarithms (default: refuse them)",
    )


def _counts_options(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "gene_key": None if options.gene_key == "var_names" else options.gene_key,
        "n_counts_key": None if options.n_counts_key == "sum" else options.n_counts_key,
        "layer": options.layer,
        "check_counts": not options.no_check_counts,
    }


def _tokenize(options: argparse.Namespace) -> None:
    from keras_geneformer import GeneVocabulary, RankValueTokenizer

    vocabulary = GeneVocabulary.load(options.vocabulary)
    columns = options.obs_columns
    cells = RankValueTokenizer(vocabulary, max_length=options.max_length).tokenize_files(
        options.files,
        output=options.output,
        obs_columns=None if columns is None else [name for name in columns.split(",") if name],
        progress=True,
        **_counts_options(options),
    )
    print(cells.report.summary())
    print(
        f"{len(cells)} cells of {int(cells.lengths.min())} to {int(cells.lengths.max())} tokens "
        f"(vocabulary {vocabulary.version}, {vocabulary.checksum[:12]}) in {options.output}"
    )


def _fit_vocabulary(options: argparse.Namespace) -> None:
    from keras_geneformer import GeneVocabulary

    vocabulary = GeneVocabulary.fit(options.files, progress=True, **_counts_options(options))
    vocabulary.save(options.output)
    print(
        f"{len(vocabulary)} genes, {vocabulary.size} token ids (checksum "
        f"{vocabulary.checksum[:12]}) in {options.output}"
    )
