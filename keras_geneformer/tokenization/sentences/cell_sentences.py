"""Cell sentences to tokens: gene symbols in descending expression, as Cell2Sentence writes them."""

import logging
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from keras_geneformer.tokenization.cells.cell_stream import (
    CellBatch,
    ForeignObs,
    OwnObs,
    collect_cells,
    obs_of_table,
)
from keras_geneformer.tokenization.cells.cell_tables import CellTable, open_table
from keras_geneformer.tokenization.cells.dataset import CellDataset, vocabulary_metadata
from keras_geneformer.tokenization.cells.token_lists import TokenLists, id_dtype
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary
from keras_geneformer.tokenization.sentence_report import SentenceReport
from keras_geneformer.tokenization.sentences.rank_model import (
    DEFAULT_INTERCEPT,
    DEFAULT_MINIMUM,
    DEFAULT_SLOPE,
    RankModel,
)
from keras_geneformer.tokenization.sentences.sentence_words import SentenceWords

logger = logging.getLogger(__name__)

DEFAULT_COLUMN = "cell_sentence"
MODES = ("rank_value", "rank_order")
_SENTENCES_AT_ONCE = 1024
_REFUSED, _DOUBTFUL = 0.05, 0.5


def tokenize_sentences(
    sentences: Any,
    vocabulary: GeneVocabulary,
    *,
    column: str = DEFAULT_COLUMN,
    mode: str = "rank_value",
    slope: float = DEFAULT_SLOPE,
    intercept: float = DEFAULT_INTERCEPT,
    minimum: float = DEFAULT_MINIMUM,
    max_length: int | None = None,
) -> CellDataset:
    """Tokenize cell sentences: gene names separated by blanks, in descending expression.

    With `mode="rank_value"` the place of a word gives its expression by the log-linear model of
    Cell2Sentence, log10(1 + counts per 10,000) = intercept + slope * log10(rank); this is divided
    by the gene's nonzero median, and the tokens are in the order of the result, as those of
    `RankValueTokenizer`. With `mode="rank_order"` they stay in the order of the words.

    Ranks are counted over all words of a sentence, known or not. Where a gene stands more than
    once, the first place counts.

    Args:
        sentences: a DataFrame, whose other columns and index become obs; or a Series or another
            sequence of strings. (For files: `tokenize_sentence_files`.)
        vocabulary: words are understood as its ids, symbols and aliases, in any case.
        column: of a DataFrame, the one with the sentences.
        mode: "rank_value" or "rank_order".
        slope, intercept: of the model; `fit_rank_model` fits them to cells with counts. Default:
            those of 2,700 PBMC.
        minimum: the least counts per 10,000 that the model gives to a word.
        max_length: the longest cell, in tokens. Default and most: the vocabulary's.

    Returns:
        The tokenized cells, in their order; those without a known word are dropped. `.report` is
        a `SentenceReport`: words understood, unknown and repeated.

    Raises:
        ValueError: there is no such column, it holds no strings, less than 5% of the words are
            understood, or an option is out of range.

    Example:
        >>> from keras_geneformer.testing import tiny_vocabulary
        >>> words = ["GENE7 GENE3 nothing"]
        >>> cells = tokenize_sentences(words, tiny_vocabulary(), mode="rank_order")
        >>> cells[0].tolist(), cells.report.known_words
        ([9, 5], 2)

    Source: Levine et al., Cell2Sentence, ICML 2024 (see `rank_model`).
    """
    words = _words(vocabulary, mode, slope, intercept, minimum, max_length)
    if isinstance(sentences, str | os.PathLike):
        raise ValueError(
            f"got a {type(sentences).__name__}; expected a DataFrame or a sequence of sentences "
            "(for files: tokenize_sentence_files)"
        )
    if isinstance(sentences, pd.DataFrame):
        _require(column, [str(name) for name in sentences.columns], "the DataFrame")
        series, obs = sentences[column], sentences.drop(columns=[column])
    else:
        series = sentences if isinstance(sentences, pd.Series) else pd.Series(list(sentences))
        index = series.index if isinstance(sentences, pd.Series) else None
        obs = pd.DataFrame(index=pd.RangeIndex(len(series)).astype(str) if index is None else index)
    ids, lengths = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
    for start in range(0, len(series), _SENTENCES_AT_ONCE):
        part = series.iloc[start : start + _SENTENCES_AT_ONCE]
        found = words.tokenize(_strings(part))
        ids.append(found[0])
        lengths.append(found[1])
    report = words.report("sentences")
    check_understood(report, vocabulary)
    sizes = np.concatenate(lengths)
    rows = np.flatnonzero(sizes)
    offsets = np.concatenate([[0], np.cumsum(sizes[rows])])
    flat = np.concatenate(ids).astype(id_dtype(vocabulary.size))
    metadata = vocabulary_metadata(vocabulary) | {"report": report.to_dict()}
    lists = TokenLists([(flat, offsets)])
    return CellDataset.from_token_lists(lists, obs.iloc[rows], metadata, vocabulary=vocabulary)


def tokenize_sentence_files(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    vocabulary: GeneVocabulary,
    output: str | os.PathLike[str] | None = None,
    *,
    column: str = DEFAULT_COLUMN,
    mode: str = "rank_value",
    slope: float = DEFAULT_SLOPE,
    intercept: float = DEFAULT_INTERCEPT,
    minimum: float = DEFAULT_MINIMUM,
    max_length: int | None = None,
    progress: bool = False,
) -> CellDataset:
    """Tokenize files of cell sentences, some at a time, in the sorted order of their paths.

    Args:
        paths: `.parquet` and `.csv` files (`.tsv` too, gzip too), folders and patterns of them,
            and directories that `datasets` saved.
        vocabulary: see `tokenize_sentences`.
        output: a `.dataset` directory to write; only some cells are in memory then. It appears
            when it is complete. Default: none, the tokens are kept in memory.
        column: the one with the sentences; all others are obs, but for those of lists.
        mode, slope, intercept, minimum, max_length: see `tokenize_sentences`.
        progress: show a progress bar.

    Returns:
        The tokenized cells. Names of cells are the index that pandas wrote, else the number of
        their row over all files.

    Raises:
        FileNotFoundError: a file is missing, or a folder or pattern gives none.
        FileExistsError: `output` holds anything else than a dataset.
        ValueError: as in `tokenize_sentences`; or a file is damaged or of another kind.
    """
    words = _words(vocabulary, mode, slope, intercept, minimum, max_length)
    table = open_table(paths)
    _require(column, table.schema.names, str(table.files[0]))
    kind = table.schema.field(column).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise ValueError(
            f"{table.files[0]}: the column {column!r} is {kind}; expected strings, gene names "
            "separated by blanks"
        )
    obs = obs_of_table(table, frozenset({column}))
    name = str(table.files[0]) + (f" and {len(table.files) - 1} more" if table.files[1:] else "")

    def metadata() -> dict[str, Any]:
        report = words.report(name)
        check_understood(report, vocabulary)
        known = vocabulary_metadata(vocabulary) | {"report": report.to_dict()}
        return known | {"obs": obs.kinds()}

    batches = _batches(table, column, words, obs, progress)
    ids = id_dtype(vocabulary.size)
    return collect_cells(batches, obs.types, ids, metadata, output, vocabulary=vocabulary)


def _batches(
    table: CellTable, column: str, words: SentenceWords, obs: ForeignObs | OwnObs, progress: bool
) -> Iterator[CellBatch]:
    first = 0
    with tqdm(disable=not progress, desc="tokenize", unit="cell", unit_scale=True) as bar:
        for _, whole in table.batches():
            for start in range(0, whole.num_rows, _SENTENCES_AT_ONCE):
                batch = whole.slice(start, _SENTENCES_AT_ONCE)
                ids, lengths = words.tokenize(batch[column])
                rows = np.flatnonzero(lengths)
                yield CellBatch(ids, lengths[rows], obs.take(batch, first, rows))
                first += batch.num_rows
                bar.update(batch.num_rows)


def check_understood(report: SentenceReport, vocabulary: GeneVocabulary) -> None:
    """Refuse sentences of which almost nothing is understood; warn of those half understood.

    Raises:
        ValueError: less than 5% of the words are genes of the vocabulary, or no cell is left.
    """
    share = f"{report.known_share:.1%} of the {report.words} words of {report.name}"
    shown = ", ".join(report.unknown_names[:3])
    if not report.kept_cells or report.known_share < _REFUSED:
        raise ValueError(
            f"{share} are genes of the vocabulary {vocabulary.version!r}"
            + (f" (unknown are {shown})" if shown else "")
            + "; expected gene symbols or Ensembl ids separated by blanks. Is it the right column, "
            "and the species of the vocabulary?"
        )
    if report.known_share < _DOUBTFUL:
        logger.warning(
            "only %s are genes of the vocabulary %r (unknown are %s)",
            share,
            vocabulary.version,
            shown,
        )
    if report.dropped_cells:
        logger.warning(
            "%d of %d cells were dropped, as they have no known word",
            report.dropped_cells,
            report.cells,
        )


def _words(
    vocabulary: GeneVocabulary,
    mode: str,
    slope: float,
    intercept: float,
    minimum: float,
    max_length: int | None,
) -> SentenceWords:
    from keras_geneformer.tokenization.tokenizer import RankValueTokenizer

    if mode not in MODES:
        raise ValueError(f'mode is {mode!r}; expected "rank_value" or "rank_order"')
    model = RankModel(slope, intercept, minimum) if mode == "rank_value" else None
    # The tokenizer refuses lengths that do not go with the vocabulary.
    limit = RankValueTokenizer(vocabulary, max_length=max_length).max_length
    return SentenceWords(vocabulary, model, limit)


def _require(column: str, names: list[str], where: str) -> None:
    if column not in names:
        raise ValueError(
            f"{where} has no column {column!r} with cell sentences; it has {', '.join(names)}. "
            "Give column="
        )
    if names.count(column) > 1:
        raise ValueError(f"{where} has several columns {column!r}; expected one. Rename the others")


def _strings(part: pd.Series) -> pa.Array:
    try:
        return pa.array(part.astype(object), pa.large_string(), from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        missing = part.isna()
        wrong = next(value for value in part[~missing] if not isinstance(value, str))
        raise ValueError(
            f"a sentence is a {type(wrong).__name__} ({wrong!r}); expected a string, gene names "
            "separated by blanks"
        ) from None
