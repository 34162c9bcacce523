"""The tokenized dataset on disk: Arrow stream files in the layout of Hugging Face `datasets`.

Specified in docs/dataset-format.md. `datasets` itself is not needed.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary

STATE = "state.json"
INFO = "dataset_info.json"
OURS = "keras_geneformer.json"
VOCABULARY = "vocabulary"
FORMAT = "keras_geneformer cells"
FORMAT_VERSION = 1
TOKENS = "input_ids"
LENGTH = "length"
COUNTS = "counts"
RESERVED = frozenset({TOKENS, LENGTH, COUNTS})

_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def is_dataset_directory(directory: Path) -> bool:
    """Whether a directory holds a dataset, ours or one `datasets` wrote, and nothing else."""
    names = {path.name for path in directory.iterdir() if not path.name.startswith("cache-")}
    arrow = {name for name in names if name.endswith(".arrow")}
    return {STATE, INFO} <= names and names <= {STATE, INFO, OURS, VOCABULARY} | arrow


class CellFileWriter:
    """Writes cells, batch by batch, into one Arrow stream file.

    Use it in a `with` statement, which closes the file.

    Args:
        path: of the file.
        ids: the dtype of the token ids, int16 or int32.
        obs: the Arrow type of each obs column, by stored name.
        counts: whether each cell also has a list of counts per 10,000.

    Attributes:
        cells, tokens: how many were written.
        schema: of the file.
    """

    def __init__(
        self, path: Path, ids: np.dtype, obs: Mapping[str, pa.DataType], counts: bool = False
    ) -> None:
        self.schema = cell_schema(ids, obs, counts)
        self._ids = pa.from_numpy_dtype(ids)
        self._writer = pa.ipc.new_stream(str(path), self.schema)
        self._closed = False
        self.cells = 0
        self.tokens = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Mark the end of the file."""
        # Closing an Arrow stream twice would mark its end twice.
        if not self._closed:
            self._closed = True
            self._writer.close()

    def write(
        self,
        ids: np.ndarray,
        lengths: np.ndarray,
        obs: Mapping[str, pa.Array],
        counts: np.ndarray | None = None,
    ) -> None:
        """Add cells.

        Args:
            ids: their token ids, flat, fewer than 2**31.
            lengths: how many of them belong to each cell, shape (cells,).
            obs: the columns of obs, of as many rows.
            counts: beside the ids, float32, where the file has counts.
        """
        offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
        np.cumsum(lengths, out=offsets[1:])
        ids = ids.astype(self._ids.to_pandas_dtype(), copy=False)
        columns = {
            TOKENS: pa.ListArray.from_arrays(pa.array(offsets), pa.array(ids)),
            LENGTH: pa.array(lengths, pa.int32()),
            **obs,
        }
        if counts is not None:
            columns[COUNTS] = pa.ListArray.from_arrays(
                pa.array(offsets), pa.array(counts, pa.float32())
            )
        arrays = [columns[name] for name in self.schema.names]
        self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self.schema))
        self.cells += len(lengths)
        self.tokens += len(ids)


class DatasetWriter(CellFileWriter):
    """Writes cells batch by batch into an empty directory.

    The directory is no dataset, for us or for `datasets`, before `finish`. Use it in a `with`
    statement, which closes the data file.

    Args:
        directory: an existing, empty directory.
        ids, obs, counts: as `CellFileWriter` takes them.
    """

    def __init__(
        self, directory: Path, ids: np.dtype, obs: Mapping[str, pa.DataType], counts: bool = False
    ) -> None:
        self._directory = directory
        super().__init__(directory / data_file(0, 1), ids, obs, counts)

    def finish(
        self, metadata: Mapping[str, Any], vocabulary: "GeneVocabulary | None" = None
    ) -> None:
        """Close the data file and write the vocabulary and the three json files, the state last.

        Args:
            metadata: our own entries for `keras_geneformer.json`.
            vocabulary: of the cells, where it is known.
        """
        self.close()
        if vocabulary is not None:
            vocabulary.save(self._directory / VOCABULARY)
        name = data_file(0, 1)
        files = {name: digest(self._directory / name)}
        totals = {"num_cells": self.cells, "num_tokens": self.tokens}
        write_manifest(self._directory, files, self.schema, totals | dict(metadata))


def cell_schema(ids: np.dtype, obs: Mapping[str, pa.DataType], counts: bool = False) -> pa.Schema:
    """The schema of the data files, with the features that `datasets` reads from it."""
    lists = {TOKENS: pa.list_(pa.from_numpy_dtype(ids)), LENGTH: pa.int32()}
    if counts:
        lists[COUNTS] = pa.list_(pa.float32())
    schema = pa.schema(lists | dict(obs))
    info = json.dumps({"info": {"features": _features(schema)}})
    return schema.with_metadata({"huggingface": info})


def data_file(number: int, files: int) -> str:
    """The name of a data file, as `datasets` calls them."""
    return f"data-{number:05d}-of-{files:05d}.arrow"


def digest(path: Path) -> str:
    """The sha256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(
    directory: Path, files: Mapping[str, str], schema: pa.Schema, metadata: Mapping[str, Any]
) -> None:
    """Write the three json files that make a directory a dataset, the state last.

    Args:
        directory: holds the data files.
        files: their names, in order, each with its `digest`.
        schema: of each of them.
        metadata: our own entries for `keras_geneformer.json`, `num_cells` and `num_tokens` too.
    """
    ours = {"format": FORMAT, "format_version": FORMAT_VERSION, **metadata}
    # What `datasets` knows the content by, in its caches: the same bytes give the same.
    content = json.dumps([ours, list(files.items())], sort_keys=True)
    fingerprint = hashlib.sha256(content.encode()).hexdigest()[:16]
    info = {"citation": "", "description": "", "features": _features(schema)}
    info |= {"homepage": "", "license": ""}
    state: dict[str, Any] = {
        "_data_files": [{"filename": name} for name in files],
        "_fingerprint": fingerprint,
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    for name, part in ((OURS, ours), (INFO, info), (STATE, state)):
        text = json.dumps(part, indent=1, ensure_ascii=False) + "\n"
        (directory / name).write_text(text, encoding="utf-8")


def _features(schema: pa.Schema) -> dict[str, Any]:
    return {field.name: _feature(field.type) for field in schema}


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """The `datasets` feature of an Arrow type.

    Lists are called `Sequence`: `datasets` 3 knows no `List`, and 4 and 5 read both.
    """
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "Sequence"}
    names = {
        "float": "float32",
        "double": "float64",
        "halffloat": "float16",
        "date32[day]": "date32",
    }
    return {"dtype": names.get(str(kind), str(kind)), "_type": "Value"}


def read_dataset(
    directory: Path, memory_map: bool = True
) -> tuple[pa.Table, dict[str, Any] | None]:
    """Map the Arrow files of a dataset directory into memory.

    Args:
        directory: written by us or by `datasets.save_to_disk`.
        memory_map: leave the data on disk until it is used; else read it whole.

    Returns:
        The table, its buffers memory mapped; and our metadata, None where others wrote it.

    Raises:
        FileNotFoundError: the directory, or a file its `state.json` names, is missing.
        ValueError: it is no dataset of tokenized cells, or a file is damaged or truncated.
    """
    if not directory.is_dir():
        raise FileNotFoundError(f"no dataset directory {directory}")
    if (directory / "dataset_dict.json").is_file():
        splits = _json(directory / "dataset_dict.json").get("splits", [])
        raise ValueError(
            f"{directory} holds several splits ({', '.join(splits)}): load one of them, "
            f"e.g. {directory / (splits or ['train'])[0]}"
        )
    for name in (STATE, INFO):
        if not (directory / name).is_file():
            raise FileNotFoundError(
                f"{directory} is not a complete dataset: it has no {name}. Tokenize or "
                "copy it again"
            )
    state = _json(directory / STATE)
    if state.get("_indices_data_files"):
        raise ValueError(
            f"{directory} was saved with an index by an old `datasets`: load it there, call "
            "flatten_indices() and save it again"
        )
    entries = state.get("_data_files", [])
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and isinstance(entry.get("filename"), str) for entry in entries
    ):
        raise ValueError(
            f"{directory / STATE} has _data_files {entries!r}; expected a list of objects with a "
            "filename. Tokenize or copy it again"
        )
    files = [directory / entry["filename"] for entry in entries]
    if not files:
        raise ValueError(f"{directory / STATE} names no data file")
    tables = [_map(path, memory_map) for path in files]
    try:
        table = pa.concat_tables(tables)
    except pa.ArrowInvalid as error:
        raise ValueError(f"the files of {directory} differ in their columns: {error}") from None
    ours = _ours(directory)
    if ours is not None and table.num_rows != ours["num_cells"]:
        raise ValueError(
            f"{directory} has {table.num_rows} cells; expected {ours['num_cells']} as {OURS} says: "
            "a file was changed or cut. Tokenize or copy it again"
        )
    return table, ours


def token_pieces(table: pa.Table, directory: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Token ids and offsets of a dataset, a pair for each record batch, without a copy.

    Raises:
        ValueError: there is no column of lists of integers, or cells without a list.
    """
    if TOKENS not in table.column_names:
        raise ValueError(
            f"{directory} has no column {TOKENS} (it has {', '.join(table.column_names)}); "
            "expected a dataset of tokenized cells"
        )
    kind = table.schema.field(TOKENS).type
    if not _is_list(kind) or not pa.types.is_integer(kind.value_type):
        raise ValueError(f"{TOKENS} of {directory} is {kind}; expected lists of integers")
    return _pieces(table, TOKENS, directory)


def count_pieces(table: pa.Table, directory: Path) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """Counts per 10,000 and offsets, as `token_pieces`; None where the dataset keeps none.

    Raises:
        ValueError: the lists are not as long as those of the token ids.
    """
    if COUNTS not in table.column_names or not _is_list(table.schema.field(COUNTS).type):
        return None
    pieces = _pieces(table, COUNTS, directory)
    for (_, offsets), (_, expected) in zip(pieces, _pieces(table, TOKENS, directory)):
        if not np.array_equal(np.diff(offsets), np.diff(expected)):
            raise ValueError(
                f"{directory} has lists in {COUNTS} of other lengths than in {TOKENS}: a file was "
                "changed. Tokenize or copy it again"
            )
    return pieces


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _pieces(table: pa.Table, name: str, directory: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    column = table[name]
    if column.null_count or any(chunk.values.null_count for chunk in column.chunks):
        raise ValueError(f"{name} of {directory} has missing values; expected a list for each cell")
    return [(chunk.values.to_numpy(), chunk.offsets.to_numpy()) for chunk in column.chunks]


def _ours(directory: Path) -> dict[str, Any] | None:
    if not (directory / OURS).is_file():
        return None
    ours = _json(directory / OURS)
    if ours.get("format") != FORMAT or "num_cells" not in ours:
        raise ValueError(f"{directory / OURS} is not a {FORMAT} manifest")
    if ours.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{directory} has format version {ours.get('format_version')}; this keras_geneformer "
            f"reads version {FORMAT_VERSION}: install a newer one"
        )
    for name, kind in (("num_cells", int), ("num_tokens", int), ("obs", dict)):
        if not isinstance(ours.get(name), kind):
            raise ValueError(
                f"{directory / OURS} has {name} {ours.get(name)!r}; expected an {kind.__name__}. "
                "Tokenize or copy it again"
            )
    return ours


def _map(path: Path, memory_map: bool) -> pa.Table:
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent} has no {path.name}, which its {STATE} names")
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - len(_END_OF_STREAM)))
        complete = file.read() == _END_OF_STREAM
    if not complete:
        raise ValueError(
            f"{path} is truncated or damaged: it does not end as an Arrow stream does "
            f"({size} bytes). Tokenize or copy it again"
        )
    try:
        source = pa.memory_map(str(path)) if memory_map else pa.BufferReader(path.read_bytes())
        return pa.ipc.open_stream(source).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}. Tokenize or copy it again") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}). Tokenize or copy it again") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no JSON object. Tokenize or copy it again")
    return content
