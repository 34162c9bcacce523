"""Tables of cells that others wrote, read some rows at a time: parquet, csv, `datasets`."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from keras_geneformer.tokenization.cells.arrow_format import STATE, read_dataset

PARQUET = (".parquet",)
OWN_METADATA = b"keras_geneformer"
"""Key, in the metadata of parquet files written here, of what only we need."""

CELL_NAME = "cell_name"
CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
# A row of csv has to fit into a block; cell sentences are long.
_CSV_BLOCK = 2**24
_ROWS_AT_ONCE = 2**12  # of 2,048 tokens each, 64 MB as the 64-bit ids of others


@dataclass(frozen=True)
class CellTable:
    """A table in one or several files, one row a cell.

    Attributes:
        files: in the order of their rows.
        schema: its columns: those of all files, dictionaries included.
        metadata: the schema's metadata of each file.
        read: gives the rows of a file in record batches of `schema`.
    """

    files: tuple[Path, ...]
    schema: pa.Schema
    metadata: tuple[dict[bytes, bytes], ...]
    read: Callable[[Path], Iterator[pa.RecordBatch]]

    def own_obs(self) -> dict[str, Any] | None:
        """How to restore obs, where all files were written here, and alike; else None."""
        own = [json.loads(m[OWN_METADATA])["obs"] for m in self.metadata if OWN_METADATA in m]
        same = len(own) == len(self.files) and all(entry == own[0] for entry in own[1:])
        return own[0] if same else None

    def names_column(self) -> str | None:
        """The column with the names of the cells: what the files say, or `cell_name`.

        pandas says which column was the index, and writes it without a name into csv.
        """
        if "" in self.schema.names:
            return ""
        found = set()
        for metadata in self.metadata:
            if OWN_METADATA in metadata:
                found.add(json.loads(metadata[OWN_METADATA])["obs"]["index"]["column"])
            else:
                index = json.loads(metadata.get(b"pandas", b"{}")).get("index_columns", [])
                found.add(index[0] if len(index) == 1 and isinstance(index[0], str) else None)
        name = found.pop() if len(found) == 1 else None
        return next((n for n in (name, CELL_NAME) if n in self.schema.names), None)

    def batches(self) -> Iterator[tuple[Path, pa.RecordBatch]]:
        """All rows, in order, with the file they come from."""
        for path in self.files:
            for batch in self.read(path):
                if batch.num_rows:
                    yield path, batch


def open_table(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    suffixes: tuple[str, ...] = PARQUET + CSV,
) -> CellTable:
    """Open files as one table, the files in the sorted order of their paths.

    Args:
        paths: files, folders of them, patterns such as "shards/*.parquet", and directories that
            `datasets` saved.
        suffixes: which files of a folder are meant, and which are admitted.

    Returns:
        The table. A column that some files lack has missing values there; integers and floats of
        several widths have the widest.

    Raises:
        FileNotFoundError: a file is missing, or a folder or a pattern gives none.
        ValueError: a file is damaged, truncated or of another kind, or columns of one name are of
            kinds that do not go together.
    """
    files = table_paths(paths, suffixes)
    schemas = [_schema(path) for path in files]
    try:
        plain = _alike([schema.remove_metadata() for schema in schemas])
        unified = pa.unify_schemas(plain, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(
            f"the {len(files)} files from {files[0]} on differ in their columns: {error}. Read "
            "them one by one"
        ) from None

    def read(path: Path) -> Iterator[pa.RecordBatch]:
        try:
            for batch in _batches(path, unified):
                yield _conformed(batch, unified)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
            raise ValueError(f"{path} is damaged or truncated: {error}") from None

    metadata = tuple(dict(schema.metadata or {}) for schema in schemas)
    return CellTable(tuple(files), unified, metadata, read)


def table_paths(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    suffixes: tuple[str, ...] = PARQUET + CSV,
) -> list[Path]:
    """The files that are meant, in sorted order, each once (see `open_table`)."""
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    kinds = " or ".join(suffixes)
    found: set[Path] = set()
    for path in map(Path, given):
        if path.is_dir() and (path / STATE).is_file():
            matches = [path]
        elif path.is_dir():
            matches = [item for item in path.iterdir() if item.name.endswith(suffixes)]
        elif path.exists():
            matches = [path]
        else:
            matches = list(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        # A hidden file is one that was being written when its process was killed.
        matches = [match for match in matches if match == path or not match.name.startswith(".")]
        if not matches:
            raise FileNotFoundError(f"{path}: no such file, or no {kinds} file in that place")
        found.update(matches)
    if not found:
        raise ValueError("no files were given")
    for path in sorted(found):
        if not path.is_dir() and not path.name.endswith(suffixes):
            raise ValueError(f"{path} ends in none of {kinds}; expected such a file")
    return sorted(found)


def _alike(schemas: list[pa.Schema]) -> list[pa.Schema]:
    """The schemas, with the values of a dictionary where another file has plain values."""
    fields = [field for schema in schemas for field in schema]
    plain = {field.name for field in fields if not pa.types.is_dictionary(field.type)}
    return [
        pa.schema(
            [
                field.with_type(field.type.value_type)
                if field.name in plain and pa.types.is_dictionary(field.type)
                else field
                for field in schema
            ]
        )
        for schema in schemas
    ]


def _schema(path: Path) -> pa.Schema:
    try:
        if path.is_dir():
            return read_dataset(path)[0].schema
        if path.name.endswith(CSV):
            with closing(_open_csv(path, None)) as reader:
                return reader.schema
        return pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(
            f"{path} cannot be read: {error}. It is damaged, truncated or of another kind than "
            "its name says"
        ) from None


def _batches(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    if path.is_dir():
        yield from read_dataset(path)[0].to_batches(max_chunksize=_ROWS_AT_ONCE)
    elif path.name.endswith(CSV):
        with closing(_open_csv(path, schema)) as reader:
            yield from reader
    else:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            yield from file.iter_batches(batch_size=_ROWS_AT_ONCE, use_threads=False)


def _open_csv(path: Path, schema: pa.Schema | None) -> pyarrow.csv.CSVStreamingReader:
    types = {} if schema is None else {field.name: field.type for field in schema}
    return pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(block_size=_CSV_BLOCK),
        parse_options=pyarrow.csv.ParseOptions(delimiter="\t" if ".tsv" in path.name else ","),
        convert_options=pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=True),
    )


def _conformed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = []
    for field in schema:
        if field.name not in batch.schema.names:
            columns.append(pa.nulls(batch.num_rows, field.type))
            continue
        column = batch.column(field.name)
        columns.append(column if column.type == field.type else column.cast(field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)
