"""Effects of perturbations on disk: the columns, parts of a run, and how parts become one file."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

COLUMNS = ("cell", "gene", "token", "kind", "measure", "state", "value")

SCHEMA = pa.schema(
    {name: pa.string() for name in COLUMNS} | {"token": pa.int64(), "value": pa.float64()}
)

KEY = b"keras_geneformer"
"""Entry of a parquet file's metadata that says what it holds, as json."""

ROW_GROUP = 2**18
"""Rows of a row group, whatever the parts were: so that a run that was stopped ends in the same
file."""

_NAME = re.compile(r"part-(\d{6})-([0-9a-f]{16})\.parquet")


class Part(NamedTuple):
    """A part of a run on disk: the effects of some cells, one after the other."""

    path: Path
    cells: list[tuple[int, int]]
    """Row of each cell in the dataset, and how many effects it has, none too."""


def write_part(directory: Path, number: int, tables: list[tuple[int, pa.Table]]) -> Part:
    """Write the effects of some cells as a part, whole or not at all.

    Its name ends in a checksum of its bytes, so that damage is seen when it is read.

    Args:
        directory: of the parts.
        number: that no part there has.
        tables: the rows of the cells, each with its effects.
    """
    cells = [(row, table.num_rows) for row, table in tables]
    joined = pa.concat_tables([table for _, table in tables])
    joined = joined.replace_schema_metadata({KEY: json.dumps({"cells": cells})})
    beside = directory / "part.partial"
    pq.write_table(joined, beside, compression="zstd")
    content = beside.read_bytes()
    path = directory / f"part-{number:06d}-{_checksum(content)}.parquet"
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(beside, path)
    return Part(path, cells)


def read_part(path: Path) -> tuple[list[tuple[int, int]], pa.Table]:
    """The cells of a part, and their effects.

    Raises:
        ValueError: its bytes are not those that were written.
    """
    name = _NAME.fullmatch(path.name)
    content = path.read_bytes()
    if name is None or _checksum(content) != name[2]:
        raise ValueError(
            f"{path} is damaged: its content ({len(content)} bytes) is not what was written. "
            "Delete it, and the next run does its cells again"
        )
    table = pq.read_table(pa.BufferReader(content))
    cells = [(int(row), int(count)) for row, count in described(table.schema)["cells"]]
    return cells, table


def parts_in(directory: Path) -> list[Part]:
    """All parts of a directory, each read to its end.

    Raises:
        ValueError: one is damaged, or two hold the same cell.
    """
    parts = [
        Part(path, read_part(path)[0])
        for path in sorted(directory.iterdir())
        if path.name.startswith("part-")
    ]
    owner: dict[int, Path] = {}
    for part in parts:
        for row, _ in part.cells:
            if row in owner:
                raise ValueError(
                    f"{owner[row]} and {part.path} both hold cell {row}: a part was copied here. "
                    "Delete both, and the next run does their cells again"
                )
            owner[row] = part.path
    return parts


def next_number(parts: Iterable[Part]) -> int:
    """A number that no part has."""
    numbers = [int(name[1]) for part in parts if (name := _NAME.fullmatch(part.path.name))]
    return max(numbers, default=-1) + 1


def in_order(parts: list[Part]) -> Iterator[pa.Table]:
    """The effects of all parts, by row of the cells, one part in memory at a time."""
    places = []
    for number, part in enumerate(parts):
        start = 0
        for row, count in part.cells:
            places.append((row, number, start, count))
            start += count
    held, table = -1, SCHEMA.empty_table()
    for number, start, count in _runs(sorted(places)):
        if number != held:
            held, table = number, read_part(parts[number].path)[1]
        yield table.slice(start, count)


def _runs(places: list[tuple[int, int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """Neighbours that stand one after the other in a part, as one: part, start, count."""
    run: tuple[int, int, int] | None = None
    for _, number, start, count in places:
        if run is not None and run[0] == number and run[1] + run[2] == start:
            run = (number, run[1], run[2] + count)
            continue
        if run is not None:
            yield run
        run = (number, start, count)
    if run is not None:
        yield run


def write_effects(tables: Iterable[pa.Table], path: Path, about: dict[str, Any]) -> None:
    """Write effects as one parquet file, streamed; the same bytes however the tables are cut.

    Args:
        tables: the effects in order.
        path: the file.
        about: what is said of them in its metadata, plain values.
    """
    schema = SCHEMA.with_metadata({KEY: json.dumps(about, sort_keys=True)})
    text = [name for name in COLUMNS if name != "value"]
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=text) as writer:
        for group in _of_size(tables, ROW_GROUP):
            writer.write_table(group.cast(schema), row_group_size=ROW_GROUP)


def _of_size(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table.select(COLUMNS).replace_schema_metadata(None))
        rows += table.num_rows
        while rows >= size:
            joined = pa.concat_tables(waiting)
            # Pages end where chunks do: one chunk a column, or the bytes would tell of the parts.
            yield joined.slice(0, size).combine_chunks()
            waiting = [joined.slice(size)]
            rows -= size
    if rows:
        yield pa.concat_tables(waiting).combine_chunks()


def described(schema: pa.Schema) -> dict[str, Any]:
    """What a file's metadata say it holds; empty where it is not ours."""
    try:
        about = json.loads((schema.metadata or {}).get(KEY, b"{}"))
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
