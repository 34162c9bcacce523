"""Tokenized cells in parquet shards: read those of others, write ours."""

import json
import os
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from keras_geneformer.tokenization.cells.arrow_format import COUNTS, LENGTH, RESERVED, TOKENS
from keras_geneformer.tokenization.cells.cell_stream import (
    CellBatch,
    ForeignObs,
    OwnObs,
    collect_cells,
    obs_of_table,
)
from keras_geneformer.tokenization.cells.cell_tables import (
    OWN_METADATA,
    PARQUET,
    CellTable,
    open_table,
)
from keras_geneformer.tokenization.cells.dataset import CellDataset, vocabulary_metadata
from keras_geneformer.tokenization.cells.obs_columns import encode_obs
from keras_geneformer.tokenization.cells.token_checks import check_ids
from keras_geneformer.tokenization.cells.token_lists import TokenLists, id_dtype
from keras_geneformer.tokenization.publishing import publish_directory

if TYPE_CHECKING:
    from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary

_CELLS_AT_ONCE = 2**14
_SHARED = ("vocabulary_checksum", "vocabulary_size", "special_tokens", "max_length")


def read_parquet_tokens(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str] | None = None,
    vocabulary: "GeneVocabulary | None" = None,
    *,
    progress: bool = False,
) -> CellDataset:
    """Read parquet files of tokenized cells (see `CellDataset.from_parquet`)."""
    table = open_table(paths, PARQUET)
    kind = table.schema.field(TOKENS).type if TOKENS in table.schema.names else None
    if kind is None or not (_is_list(kind) and pa.types.is_integer(kind.value_type)):
        found = f"is {kind}" if kind is not None else "is missing"
        raise ValueError(
            f"{table.files[0]}: the column {TOKENS} {found}; expected lists of integers (the file "
            f"has {', '.join(table.schema.names)})"
        )
    shared = _shared_metadata(table)
    if vocabulary is not None:
        if shared.get("vocabulary_checksum") not in (None, vocabulary.checksum):
            raise ValueError(
                f"{table.files[0]} was written with the vocabulary of checksum "
                f"{shared['vocabulary_checksum'][:12]}, and {vocabulary.version!r} has "
                f"{vocabulary.checksum[:12]}: use the vocabulary of the cells"
            )
        shared = vocabulary_metadata(vocabulary)
    obs = obs_of_table(table, RESERVED)
    ids = id_dtype(shared.get("vocabulary_size"))

    def metadata() -> dict[str, Any]:
        return shared | {"obs": obs.kinds()}

    batches = _batches(table, vocabulary, obs, progress)
    counts = _has_counts(table.schema)
    return collect_cells(batches, obs.types, ids, metadata, output, counts, vocabulary)


def _batches(
    table: CellTable,
    vocabulary: "GeneVocabulary | None",
    obs: ForeignObs | OwnObs,
    progress: bool,
) -> Iterator[CellBatch]:
    first = 0
    file, row = None, 0
    with tqdm(disable=not progress, desc="read", unit="cell", unit_scale=True) as bar:
        for path, batch in table.batches():
            if path != file:
                file, row = path, 0
            ids, lengths = _ids(batch, f"{path}, from row {row} on:")
            check_ids(ids, lengths, vocabulary, f"{path}: row", row)
            counts = _counts(batch, lengths, path) if _has_counts(table.schema) else None
            yield CellBatch(ids, lengths, obs.take(batch, first), counts)
            first, row = first + batch.num_rows, row + batch.num_rows
            bar.update(batch.num_rows)


def _ids(batch: pa.RecordBatch, where: str) -> tuple[np.ndarray, np.ndarray]:
    column = batch[TOKENS]
    if column.null_count or column.flatten().null_count:
        raise ValueError(f"{where} {TOKENS} has missing values; expected a list for each cell")
    lengths = np.diff(column.offsets.to_numpy()).astype(np.int32)
    if LENGTH in batch.schema.names:
        stated = batch[LENGTH].to_numpy(zero_copy_only=False)
        differs = (stated != lengths) & batch[LENGTH].is_valid().to_numpy(zero_copy_only=False)
        if differs.any():
            wrong = int(np.argmax(differs))
            raise ValueError(
                f"{where} the row {wrong} after it states the length {stated[wrong]} and has "
                f"{lengths[wrong]} tokens: a file was changed. Get it again"
            )
    return column.flatten().to_numpy(), lengths


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _has_counts(schema: pa.Schema) -> bool:
    """Whether there are lists of counts; a column of obs may be called so."""
    if COUNTS not in schema.names:
        return False
    kind = schema.field(COUNTS).type
    return _is_list(kind) and pa.types.is_floating(kind.value_type)


def _counts(batch: pa.RecordBatch, lengths: np.ndarray, path: Path) -> np.ndarray:
    column = batch[COUNTS]
    if column.null_count or not np.array_equal(np.diff(column.offsets.to_numpy()), lengths):
        raise ValueError(f"{path}: {COUNTS} are not as many as {TOKENS} in each cell")
    return column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)


def _shared_metadata(table: CellTable) -> dict[str, Any]:
    """What all files say of their vocabulary, where we wrote them.

    Raises:
        ValueError: they were written with different vocabularies.
    """
    own = [json.loads(metadata.get(OWN_METADATA, b"{}")) for metadata in table.metadata]
    checksums = {entry.get("vocabulary_checksum") for entry in own}
    if len(checksums) > 1:
        shown = ", ".join(sorted(str(checksum or "unknown")[:12] for checksum in checksums))
        raise ValueError(
            f"the files from {table.files[0]} on were tokenized with different vocabularies "
            f"(checksums {shown}): read them one by one"
        )
    unknown: dict[str, Any] = dict.fromkeys(_SHARED) | {"special_tokens": {}, "report": None}
    return unknown | {name: own[0][name] for name in _SHARED if name in own[0]}


def write_parquet_tokens(
    cells: CellDataset, directory: str | os.PathLike[str], cells_per_shard: int = 100_000
) -> list[Path]:
    """Write cells as parquet shards (see `CellDataset.to_parquet`)."""
    if cells_per_shard < 1:
        raise ValueError(f"cells_per_shard is {cells_per_shard}; expected 1 or more")
    obs, kinds = encode_obs(cells.obs, RESERVED)
    size = cells.vocabulary_size
    ids = pa.from_numpy_dtype(
        cells.token_lists.narrowest_dtype() if size is None else id_dtype(size)
    )
    ours = {name: cells.metadata[name] for name in _SHARED} | {"obs": kinds}
    kept = cells.counts
    beside = {} if kept is None else {COUNTS: pa.list_(pa.float32())}
    schema = pa.schema(
        {TOKENS: pa.list_(ids), LENGTH: pa.int32(), **beside}
        | {name: array.type for name, array in obs.items()},
        metadata={OWN_METADATA: json.dumps(ours, ensure_ascii=False)},
    )
    shards = max(-(-len(cells) // cells_per_shard), 1)
    names = [f"cells-{number:05d}-of-{shards:05d}.parquet" for number in range(shards)]
    with publish_directory(directory, _is_parquet_directory) as partial:
        writer, shard = None, -1
        try:
            for start, flat, offsets in _slices(cells.token_lists, cells_per_shard):
                if start // cells_per_shard != shard or writer is None:
                    if writer is not None:
                        writer.close()
                    shard = start // cells_per_shard
                    writer = pq.ParquetWriter(partial / names[shard], schema, compression="zstd")
                stop = start + len(offsets) - 1
                ends = pa.array(offsets.astype(np.int32))
                columns = [
                    pa.ListArray.from_arrays(
                        ends, pa.array(flat.astype(ids.to_pandas_dtype(), copy=False))
                    ),
                    pa.array(np.diff(offsets), pa.int32()),
                ]
                if kept is not None:
                    values = np.concatenate([kept[row] for row in range(start, stop)])
                    columns.append(pa.ListArray.from_arrays(ends, pa.array(values, pa.float32())))
                columns += [array[start:stop] for array in obs.values()]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
            if writer is None:
                pq.write_table(schema.empty_table(), partial / names[0])
        finally:
            if writer is not None:
                writer.close()
    return [Path(directory) / name for name in names]


def _slices(
    lists: TokenLists, cells_per_shard: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Token ids and offsets of a few cells at a time, none across the border of two shards."""
    first = 0
    for flat, offsets in lists.pieces():
        number = len(offsets) - 1
        borders = np.arange(0, first + number + 1, cells_per_shard) - first
        cuts = {0, number, *range(0, number, _CELLS_AT_ONCE), *borders[borders > 0].tolist()}
        for start, stop in pairwise(sorted(cuts)):
            begin, end = offsets[start], offsets[stop]
            yield first + start, flat[begin:end], offsets[start : stop + 1] - begin
        first += number


def _is_parquet_directory(directory: Path) -> bool:
    return all(
        path.name.startswith("cells-") and path.suffix == ".parquet" for path in directory.iterdir()
    )
