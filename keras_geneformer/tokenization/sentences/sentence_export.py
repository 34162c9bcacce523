"""Cells to cell sentences: gene symbols in the order of rank values, or of expression."""

import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from keras_geneformer.tokenization.cells.cell_tables import OWN_METADATA
from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.tokenization.cells.obs_columns import encode_obs
from keras_geneformer.tokenization.cells.token_checks import check_vocabulary
from keras_geneformer.tokenization.counts import checked_rows
from keras_geneformer.tokenization.gene_identity import SYMBOL_KEYS, VAR_NAMES
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary
from keras_geneformer.tokenization.readers.sources import opened
from keras_geneformer.tokenization.sentences.cell_sentences import DEFAULT_COLUMN
from keras_geneformer.tokenization.sentences.rank_model import ranked, scaled_rows

_CELLS_AT_ONCE = 1000
_BLANKS = re.compile(r"\s+")


def cell_sentences(
    cells: Any,
    vocabulary: GeneVocabulary | None = None,
    *,
    genes: int | None = None,
    symbol_key: str | None = None,
    layer: str | None = None,
) -> pd.Series:
    """The genes of each cell as a sentence: symbols separated by blanks.

    Of a `CellDataset` the order is that of its tokens: by rank value, so that genes which are
    high for themselves come first. Of an AnnData or a file of counts it is that of expression,
    as Cell2Sentence has it, ties in the order of the columns.

    Args:
        cells: a `CellDataset` (one cell: `cells.subset([i])`), an AnnData, or a file of counts.
        vocabulary: that of a dataset, for the symbols. A symbol that the vocabulary does not
            lead back to its gene gives way to the gene's id. Of an AnnData, the vocabulary leaves
            out the genes it does not have, and may be None.
        genes: the most genes of a sentence. Default: all.
        symbol_key: the column of var with the symbols. Default: `symbol` or the like, else
            var_names; names that stand twice or are missing give way to var_names.
        layer: a layer with the counts, or "raw". Default: X.

    Returns:
        Strings, called "cell_sentence", indexed by the cells' names.

    Raises:
        ValueError: a dataset comes without its vocabulary or with another, there is no such
            column, or counts are negative or no numbers.

    Example:
        >>> from keras_geneformer.testing import tiny_vocabulary
        >>> cell_sentences(CellDataset([[9, 5]]), tiny_vocabulary()).tolist()
        ['GENE7 GENE3']
    """
    parts = list(_sentences(cells, vocabulary, genes, symbol_key, layer))
    texts = [text for part, _ in parts for text in part]
    index = pd.Index([]) if not parts else parts[0][1].index.append([o.index for _, o in parts[1:]])
    return pd.Series(texts, index=index, name=DEFAULT_COLUMN, dtype=object)


def write_cell_sentences(
    cells: Any,
    path: str | os.PathLike[str],
    vocabulary: GeneVocabulary | None = None,
    *,
    genes: int | None = None,
    symbol_key: str | None = None,
    layer: str | None = None,
) -> Path:
    """Write a parquet file of cell sentences and obs, some cells at a time.

    Args:
        cells, vocabulary, genes, symbol_key, layer: as in `cell_sentences`.
        path: the `.parquet` file; it appears when it is complete.

    Returns:
        The path. The columns are `cell_sentence`, those of obs and the names of the cells; the
        schema's metadata say the order: "rank value" or "expression".

    Raises:
        ValueError: as in `cell_sentences`; or the path does not end in `.parquet`.
    """
    path = Path(path)
    if path.suffix != ".parquet":
        raise ValueError(f"{path} does not end in .parquet; expected the name of such a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.partial-{secrets.token_hex(4)}.parquet")
    writer = None
    order = "rank value" if isinstance(cells, CellDataset) else "expression"
    opened_cells = nullcontext(cells) if isinstance(cells, CellDataset) else opened(cells, layer)
    try:
        with opened_cells as source:
            columns, kinds = encode_obs(source.obs, frozenset({DEFAULT_COLUMN}))
            own = json.dumps({"order": order, "obs": kinds}, ensure_ascii=False)
            schema = pa.schema(
                {DEFAULT_COLUMN: pa.string(), **{n: a.type for n, a in columns.items()}},
                metadata={OWN_METADATA: own},
            )
            writer = pq.ParquetWriter(beside, schema, compression="zstd")
            start = 0
            for texts, obs in _sentences(source, vocabulary, genes, symbol_key, layer):
                arrays = [pa.array(texts, pa.string())]
                arrays += [array[start : start + len(obs)] for array in columns.values()]
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
                start += len(obs)
        writer.close()
        os.replace(beside, path)
    finally:
        if writer is not None:
            writer.close()
        beside.unlink(missing_ok=True)
    return path


def _sentences(
    cells: Any,
    vocabulary: GeneVocabulary | None,
    genes: int | None,
    symbol_key: str | None,
    layer: str | None,
) -> Iterator[tuple[list[str], pd.DataFrame]]:
    """Sentences and obs, some cells at a time."""
    if genes is not None and genes < 1:
        raise ValueError(f"genes is {genes}; expected 1 or more")
    if not isinstance(cells, CellDataset):
        is_open = hasattr(cells, "chunks")
        with nullcontext(cells) if is_open else opened(cells, layer) as source:
            yield from _of_counts(source, vocabulary, genes, symbol_key)
        return
    if vocabulary is None:
        raise ValueError("a CellDataset has token ids only: give vocabulary=, for the symbols")
    check_vocabulary(cells, vocabulary)
    names, known = _token_names(vocabulary)
    start = 0
    for ids, offsets in cells.token_lists.pieces():
        for first in range(0, len(offsets) - 1, _CELLS_AT_ONCE):
            bounds = offsets[first : first + _CELLS_AT_ONCE + 1]
            texts: list[str] = []
            for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist()):
                tokens = ids[begin:end]
                if len(tokens) and not 0 <= tokens.min() <= tokens.max() < len(names):
                    raise ValueError(
                        f"cell {start + len(texts)} has token ids from {tokens.min()} to "
                        f"{tokens.max()}; the vocabulary {vocabulary.version!r} has "
                        f"{vocabulary.size}"
                    )
                texts.append(" ".join(names[tokens[known[tokens]][:genes]]))
            yield texts, cells.obs.iloc[start : start + len(texts)]
            start += len(texts)


def _of_counts(
    source: Any, vocabulary: GeneVocabulary | None, genes: int | None, symbol_key: str | None
) -> Iterator[tuple[list[str], pd.DataFrame]]:
    names = _column_names(source, symbol_key)
    kept = np.ones(len(names), dtype=bool)
    if vocabulary is not None:
        kept = vocabulary.positions_of(names.tolist()) >= 0
    for start, counts in source.chunks(_CELLS_AT_ONCE):
        rows = checked_rows(source, np.arange(start, start + counts.shape[0]), counts)
        values, bounds, columns = scaled_rows(rows, np.ones(len(source)), start)
        inside = kept[columns]
        bounds = np.concatenate([[0], np.cumsum(inside)])[bounds]
        values, columns = values[inside], columns[inside]
        order, _ = ranked(values, bounds)
        words = names[columns[order]]
        texts = [
            " ".join(words[begin:end][:genes])
            for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist())
        ]
        yield texts, source.obs.iloc[start : start + len(texts)]


def _token_names(vocabulary: GeneVocabulary) -> tuple[np.ndarray, np.ndarray]:
    """The word of each token id, and which ids are genes."""
    symbols = [_BLANKS.sub("_", symbol) for symbol in vocabulary.symbols.tolist()]
    back = vocabulary.positions_of(symbols)
    same = back == np.arange(len(vocabulary))
    words = np.where(same, np.array(symbols, dtype=object), vocabulary.genes.astype(object))
    names = np.full(vocabulary.size, "", dtype=object)
    names[vocabulary.tokens] = words
    known = np.zeros(vocabulary.size, dtype=bool)
    known[vocabulary.tokens] = True
    return names, known


def _column_names(source: Any, symbol_key: str | None) -> np.ndarray:
    """The word of each column of a count matrix."""
    var = source.var
    if symbol_key is not None and symbol_key != VAR_NAMES and symbol_key not in var:
        raise ValueError(
            f"{source.name} has no var column {symbol_key!r}; it has "
            f"{', '.join(map(str, var.columns)) or 'none'} (var_names takes the index)"
        )
    key = symbol_key or next((name for name in SYMBOL_KEYS if name in var), VAR_NAMES)
    own = pd.Series(var.index.astype(str).to_numpy(), dtype=object)
    if key == VAR_NAMES and key not in var:
        names = own
    else:
        names = pd.Series(var[key].astype(object).to_numpy(), dtype=object)
        names = names.where(names.map(lambda name: isinstance(name, str) and name.strip() != ""))
        names = names.where(~names.duplicated(keep=False), own).where(names.notna(), own)
    return np.array([_BLANKS.sub("_", name.strip()) for name in names], dtype=object)
