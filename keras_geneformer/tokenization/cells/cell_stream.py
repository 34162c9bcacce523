"""Datasets made batch by batch, on disk or in memory, and the obs columns of such batches."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from keras_geneformer.tokenization.cells.arrow_format import (
    RESERVED,
    DatasetWriter,
    is_dataset_directory,
)
from keras_geneformer.tokenization.cells.cell_tables import CELL_NAME, CellTable
from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.tokenization.cells.obs_columns import decode_obs, nullable_dtype
from keras_geneformer.tokenization.cells.token_lists import TokenLists
from keras_geneformer.tokenization.publishing import publish_directory

if TYPE_CHECKING:
    from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CellBatch:
    """Some cells.

    Attributes:
        token_ids: flat.
        lengths: how many of them belong to each cell.
        obs: the columns of obs, as they are stored.
        counts: per 10,000, beside the token ids; None where there are none.
    """

    token_ids: np.ndarray
    lengths: np.ndarray
    obs: Mapping[str, pa.Array]
    counts: np.ndarray | None = None


def collect_cells(
    batches: Iterable[CellBatch],
    types: Mapping[str, pa.DataType],
    ids: np.dtype,
    metadata: Callable[[], dict[str, Any]],
    output: str | os.PathLike[str] | None,
    counts: bool = False,
    vocabulary: "GeneVocabulary | None" = None,
) -> CellDataset:
    """Make a dataset of batches, without holding them where it is written to a directory.

    Args:
        batches: the cells, in order.
        types: the Arrow type of each obs column, by stored name.
        ids: dtype of the token ids, int16 or int32.
        metadata: called after the last batch; gives what the dataset carries, `obs` included.
        output: a `.dataset` directory, which appears when it is complete; None for memory.
        counts: whether the batches have counts.
        vocabulary: of the cells, where it is known.

    Returns:
        The dataset; memory mapped where it was written.
    """
    if output is not None:
        with (
            publish_directory(output, is_dataset_directory) as partial,
            DatasetWriter(partial, ids, types, counts) as writer,
        ):
            for batch in batches:
                writer.write(batch.token_ids, batch.lengths, batch.obs, batch.counts)
            writer.finish(metadata(), vocabulary)
        return CellDataset.load(output)
    held = [
        (b.token_ids.astype(ids), b.lengths, [b.obs[name] for name in types], b.counts)
        for b in batches
    ]
    schema = pa.schema(types)
    table = pa.Table.from_batches(
        [pa.RecordBatch.from_arrays(columns, schema=schema) for _, _, columns, _ in held], schema
    )
    lengths = np.concatenate([np.zeros(1, np.int64), *(lengths for _, lengths, _, _ in held)])
    flat = np.concatenate([np.zeros(0, ids), *(part for part, *_ in held)])
    known = metadata()
    offsets = np.cumsum(lengths, dtype=np.int64)
    kept = None
    if counts:
        parts = [np.zeros(0, np.float32), *(part for *_, part in held if part is not None)]
        kept = TokenLists([(np.concatenate(parts), offsets)])
    obs = decode_obs(table, known["obs"], RESERVED)
    lists = TokenLists([(flat, offsets)])
    return CellDataset.from_token_lists(lists, obs, known, kept, vocabulary)


def obs_of_table(table: CellTable, without: frozenset[str]) -> "ForeignObs | OwnObs":
    """The columns of a table that are those of obs.

    Args:
        table: in files written here or by others.
        without: columns that are none of obs.
    """
    own = table.own_obs()
    if own is not None:
        return OwnObs(table.schema, own)
    return ForeignObs(table.schema, without, table.names_column())


@dataclass(frozen=True)
class OwnObs:
    """Columns of obs in files that were written here, which say how to restore them.

    Args:
        schema: of the table.
        stored: what `encode_obs` gave.
    """

    schema: pa.Schema
    stored: dict[str, Any]

    @property
    def types(self) -> dict[str, pa.DataType]:
        """The Arrow type of each column, by stored name."""
        kinds = [self.stored["index"], *self.stored["columns"]]
        return {kind["column"]: self.schema.field(kind["column"]).type for kind in kinds}

    def take(self, batch: pa.RecordBatch, first: int, rows: np.ndarray | None = None) -> Any:
        """The columns of a batch (see `ForeignObs.take`)."""
        columns = {name: batch[name] for name in self.types}
        if rows is None:
            return columns
        return {name: column.take(pa.array(rows)) for name, column in columns.items()}

    def kinds(self) -> dict[str, Any]:
        """How to restore obs."""
        return self.stored


@dataclass
class ForeignObs:
    """Columns of a table that others wrote, as columns of obs.

    Dictionaries become categoricals with all their categories, integers and bools with missing
    values become nullable ones, and lists and the like are left out, which is logged.

    Args:
        schema: of the table.
        without: columns that are none of obs.
        names: the column with the cells' names; None: they are called by the number of their row.
    """

    schema: pa.Schema
    without: frozenset[str]
    names: str | None = None
    types: dict[str, pa.DataType] = field(init=False, default_factory=dict)
    _stored: dict[str, str] = field(init=False, default_factory=dict)
    _categories: dict[str, dict[Any, None]] = field(init=False, default_factory=dict)
    _missing: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        left_out = []
        for column in self.schema:
            if column.name in self.without and column.name != self.names:
                continue
            kind = column.type
            if pa.types.is_dictionary(kind):
                self._categories[column.name] = {}
                kind = kind.value_type
            if pa.types.is_nested(kind) or pa.types.is_binary(kind):
                left_out.append(f"{column.name} ({kind})")
                continue
            names = column.name == self.names
            self.types[self._store(column.name)] = pa.string() if names else _plain(kind)
        if self.names is None:
            self.types[self._store(CELL_NAME, None)] = pa.string()
        if left_out:
            logger.warning("columns left out, as obs holds no lists: %s", ", ".join(left_out))

    def _store(self, name: str, column: str | None = "") -> str:
        """A free name to store a column under; `column` None is the row number."""
        stored = name or CELL_NAME
        while stored in self.types or stored in RESERVED:
            stored += "_"
        if column is not None:
            self._stored[name] = stored
        else:
            self._row_names = stored
        return stored

    def take(self, batch: pa.RecordBatch, first: int, rows: np.ndarray | None = None) -> Any:
        """The columns of a batch, as they are stored.

        Args:
            batch: of the table.
            first: the number of its first row in the table.
            rows: which of its rows; None for all.
        """
        arrays = {}
        for name, stored in self._stored.items():
            column = batch.column(batch.schema.get_field_index(name))
            if isinstance(column, pa.DictionaryArray):
                self._categories[name].update(dict.fromkeys(column.dictionary.to_pylist()))
                column = column.dictionary_decode()
            if rows is not None:
                column = column.take(pa.array(rows))
            if column.null_count:
                self._missing.add(name)
            arrays[stored] = column.cast(self.types[stored])
        if self.names is None:
            numbers = first + (np.arange(batch.num_rows) if rows is None else rows)
            arrays[self._row_names] = pa.array(numbers.astype(str).tolist(), pa.string())
        return arrays

    def kinds(self) -> dict[str, Any]:
        """How to restore obs, as the dataset keeps it; after the last batch."""
        columns = [
            {"name": name, **self._kind(name)} for name in self._stored if name != self.names
        ]
        if self.names is None:
            index = {"name": None, "column": self._row_names, "dtype": "object"}
        else:
            # pandas writes an index without a name under one of these.
            made = not self.names or self.names.startswith("__index_level_")
            index = {"name": None if made else self.names, **self._kind(self.names)}
        return {"index": index, "columns": columns}

    def _kind(self, name: str) -> dict[str, Any]:
        stored = self._stored[name]
        dtype = pa.array([], self.types[stored]).to_pandas().dtype
        if name in self._categories:
            categories = [value for value in self._categories[name] if value is not None]
            ordered = bool(self.schema.field(name).type.ordered)
            kind = {"categories": categories, "ordered": ordered, "values": str(dtype)}
            return {"column": stored, "dtype": "category", **kind}
        missing = nullable_dtype(dtype) if name in self._missing else None
        return {"column": stored, "dtype": missing or str(dtype)}


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type that a column of obs is stored in."""
    simple = (
        pa.types.is_boolean,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_timestamp,
        pa.types.is_duration,
        pa.types.is_date,
    )
    return kind if any(is_kind(kind) for is_kind in simple) else pa.string()
