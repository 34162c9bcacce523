"""The verbs for tokenized cells and for those of others: no Keras needed."""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_geneformer.cli.output import draw_or_say_why_not, file_of, written_whole

if TYPE_CHECKING:
    from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `describe`, and what reads and writes cell sentences and parquet shards."""
    describe = add(
        "describe",
        _describe,
        "what is in a dataset of tokens: lengths, genes, obs",
        "Prints the number of cells and tokens, how long cells are, the share of tokens that\n"
        "stand for no gene of the vocabulary, the genes most cells have, and the columns of obs.",
        "keras-geneformer describe heart.dataset --vocabulary v1 --output heart.png",
        keras=False,
    )
    describe.add_argument("cells", metavar="DATASET", help="tokenized cells")
    _add_vocabulary(describe, required=False)
    describe.add_argument(
        "--output",
        action="append",
        default=[],
        type=file_of(".png", ".json"),
        metavar="FILE",
        help="also a picture (.png) or all figures (.json); may be given twice",
    )
    describe.add_argument("--lengths", metavar="PICKLE", help="published lengths to compare with")

    sentences = add(
        "tokenize-sentences",
        _tokenize_sentences,
        "cell sentences to ranked genes: files of gene symbols to a tokenized dataset",
        "Each cell is a text of gene symbols in descending expression, as in Cell2Sentence. Their\n"
        "ranks become expression by its log-linear model, this is divided by the genes' medians.",
        "keras-geneformer tokenize-sentences pbmc.parquet --vocabulary v2 --output pbmc.dataset",
        keras=False,
    )
    sentences.add_argument(
        "files", nargs="+", metavar="FILE", help=".parquet, .csv, folders of them, datasets"
    )
    _add_vocabulary(sentences)
    sentences.add_argument("--output", required=True, metavar="DIR", help="dataset to write")
    sentences.add_argument(
        "--column",
        default="cell_sentence",
        help="the one with the sentences (default: %(default)s); the others become obs",
    )
    sentences.add_argument(
        "--mode",
        default="rank-value",
        choices=("rank-value", "rank-order"),
        help="rank-order keeps the order of the words (default: %(default)s)",
    )
    sentences.add_argument("--slope", type=float, help="of log10 expression over log10 rank")
    sentences.add_argument("--intercept", type=float, help="of the same line")
    sentences.add_argument(
        "--fit", metavar="COUNTS", help="fit the line to cells with counts, e.g. an .h5ad"
    )
    sentences.add_argument("--max-length", type=int, help="tokens a cell (default: vocabulary's)")

    written = add(
        "write-sentences",
        _write_sentences,
        "cells to cell sentences: gene symbols in order, in a parquet file",
        "Of a tokenized dataset the order is that of rank values; of counts (.h5ad and the like)\n"
        "it is that of expression, as in Cell2Sentence.",
        "keras-geneformer write-sentences heart.dataset --vocabulary v1 --output heart.parquet",
        keras=False,
    )
    written.add_argument("cells", metavar="CELLS", help="tokenized dataset, or a file of counts")
    _add_vocabulary(written, required=False)
    written.add_argument("--output", required=True, type=file_of(".parquet"), metavar="FILE")
    written.add_argument("--genes", type=int, help="the most genes a cell (default: all)")

    imported = add(
        "import-tokens",
        _import_tokens,
        "parquet shards of tokens to a tokenized dataset",
        "Files have a column input_ids with lists of token ids; other columns become obs.",
        "keras-geneformer import-tokens shards --vocabulary v1 --output corpus.dataset",
        keras=False,
    )
    imported.add_argument("files", nargs="+", metavar="FILE", help=".parquet, or folders of them")
    _add_vocabulary(imported, required=False)
    imported.add_argument("--output", required=True, metavar="DIR", help="dataset to write")

    exported = add(
        "export-tokens",
        _export_tokens,
        "a tokenized dataset to parquet shards",
        "For tools that read parquet. import-tokens makes the same dataset of them again.",
        "keras-geneformer export-tokens heart.dataset --output shards",
        keras=False,
    )
    exported.add_argument("cells", metavar="DATASET", help="tokenized cells")
    exported.add_argument("--output", required=True, metavar="DIR", help="folder to write")
    exported.add_argument(
        "--cells-per-shard", type=int, default=100_000, help="of a file (default: %(default)s)"
    )


def _add_vocabulary(verb: argparse.ArgumentParser, *, required: bool = True) -> None:
    verb.add_argument(
        "--vocabulary",
        required=required,
        help="v1 or v2 (from the Hugging Face hub), a directory, or a preset that holds one",
    )


def _vocabulary(options: argparse.Namespace) -> "GeneVocabulary | None":
    from keras_geneformer import GeneVocabulary

    return None if options.vocabulary is None else GeneVocabulary.load(options.vocabulary)


def _describe(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset

    vocabulary = _vocabulary(options)
    cells = CellDataset.load(options.cells, lengths=options.lengths)
    found = cells.describe(vocabulary)
    print(found)
    for path in options.output:
        if path.suffix == ".json":
            with written_whole(path) as beside:
                text = json.dumps(found.to_dict(), indent=1, ensure_ascii=False)
                beside.write_text(text + "\n", encoding="utf-8")
        else:
            name = Path(options.cells).name
            draw_or_say_why_not(partial(_draw, cells, path, vocabulary, name))


def _draw(cells: Any, path: Path, vocabulary: "GeneVocabulary | None", title: str) -> None:
    from keras_geneformer import plotting

    plotting.cell_lengths(cells, path, vocabulary=vocabulary, title=title)


def _tokenize_sentences(options: argparse.Namespace) -> None:
    from keras_geneformer import RankModel, round_trip_correlation, tokenize_sentence_files

    line = {"slope": options.slope, "intercept": options.intercept}
    given = {name: value for name, value in line.items() if value is not None}
    if options.fit is not None:
        if given:
            raise ValueError("--fit and --slope or --intercept: give one or the other")
        trip = round_trip_correlation(options.fit)
        print(f"fitted to {options.fit}: R2 {trip.model.r_squared:.3f}; {trip}")
        model = trip.model
    else:
        model = RankModel(**given)
    cells = tokenize_sentence_files(
        options.files,
        _vocabulary(options),
        options.output,
        column=options.column,
        mode=options.mode.replace("-", "_"),
        slope=model.slope,
        intercept=model.intercept,
        minimum=model.minimum,
        max_length=options.max_length,
        progress=True,
    )
    print(cells.report.summary())
    print(f"{len(cells)} cells in {options.output}")


def _write_sentences(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset, write_cell_sentences

    path = Path(options.cells)
    tokens = (path / "state.json").is_file()
    cells = CellDataset.load(path) if tokens else path
    vocabulary = _vocabulary(options)
    if isinstance(cells, CellDataset) and vocabulary is None:
        vocabulary = cells.vocabulary
        if vocabulary is None:
            raise ValueError(
                f"{path} has token ids only and carries no vocabulary: give --vocabulary"
            )
    write_cell_sentences(cells, options.output, vocabulary, genes=options.genes)
    order = "rank value" if tokens else "expression"
    print(f"cell sentences in the order of {order} in {options.output}")


def _import_tokens(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset

    cells = CellDataset.from_parquet(
        options.files, options.output, _vocabulary(options), progress=True
    )
    print(f"{len(cells)} cells in {options.output}")


def _export_tokens(options: argparse.Namespace) -> None:
    from keras_geneformer import CellDataset

    cells = CellDataset.load(options.cells)
    files = cells.to_parquet(options.output, options.cells_per_shard)
    print(f"{len(cells)} cells in {len(files)} files in {options.output}")
