"""Joins the files of the shards of a run to one; and writes effects as csv."""

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from keras_geneformer.analysis.perturbation.effect_parts import (
    COLUMNS,
    ROW_GROUP,
    SCHEMA,
    write_effects,
)
from keras_geneformer.analysis.perturbation.effect_reading import effects_metadata
from keras_geneformer.analysis.perturbation.effect_runs import check_output, check_same

_BATCH = 2**16


def read_shard(text: str) -> tuple[int, int]:
    """A shard as it is written: i/n.

    Raises:
        ValueError: it is written otherwise.

    Example:
        >>> read_shard("2/8")
        (2, 8)
    """
    number, _, shards = text.partition("/")
    if not (number.isdecimal() and shards.isdecimal()) or not 1 <= int(number) <= int(shards):
        raise ValueError(f"{text!r} is no shard; expected i/n, as 2/8: the second of eight")
    return int(number), int(shards)


def perturb_merge(
    paths: Sequence[str | os.PathLike] | str | os.PathLike, output: str | os.PathLike
) -> Path:
    """Join the files of all shards of one run into the file of the whole run.

    It is streamed: memory does not grow with the files. What comes out is, byte for byte, what
    the run would have written without shards.

    Picture: `kg.plotting.perturbation_effects`.

    Args:
        paths: the parquet files, in any order.
        output: the parquet file to write; none of the shards. One of the same run is replaced.

    Returns:
        The output.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file holds no effects or no shard, a shard is missing, twice there or of
            another run (what differs is named).
        FileExistsError: something else stands at the output.
    """
    files = [Path(paths)] if isinstance(paths, (str, os.PathLike)) else [Path(p) for p in paths]
    output = Path(output)
    if output.suffix != ".parquet":
        raise ValueError(f"Effects are merged to parquet, and {str(output)!r} ends otherwise")
    if not files:
        raise ValueError("No files to merge; expected those of all shards of a run")
    by_number: dict[int, Path] = {}
    first: dict[str, Any] = {}
    shards = 0
    for path in files:
        about = effects_metadata(path)
        shard = about.pop("shard", None)
        if not about.get("complete") or shard is None:
            raise ValueError(
                f"{path} is no shard of a run; expected files that perturb wrote with shard=(i, n)"
            )
        if not first:
            first, shards = about, shard[1]
        if shard[1] != shards:
            raise ValueError(
                f"{path} is one of {shard[1]} shards, and {files[0]} one of {shards}; expected "
                "those of one run"
            )
        check_same(about, first, path, f"Give the shards of the run that {files[0]} is of")
        if shard[0] in by_number:
            raise ValueError(
                f"{by_number[shard[0]]} and {path} are both shard {shard[0]} of {shards}; expected "
                "each once"
            )
        by_number[shard[0]] = path
    missing = [str(number) for number in range(1, shards + 1) if number not in by_number]
    if missing:
        raise ValueError(
            f"Of {shards} shards, {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} "
            "missing; give all files of the run"
        )
    about = first | {"shard": None}
    if any(output.resolve() == path.resolve() for path in files):
        raise ValueError(f"{output} is one of the shards to merge; choose another output")
    check_output(output, about, "Choose another output")
    tables = (table for number in range(1, shards + 1) for table in _tables(by_number[number]))
    with _beside(output) as beside:
        write_effects(tables, beside, about)
    return output


def effects_to_csv(path: str | os.PathLike, output: str | os.PathLike) -> Path:
    """Write a parquet file of effects as csv, streamed, with every digit of the values.

    Raises:
        FileExistsError: something else than effects stands at the output.
    """
    output = Path(output)
    effects_metadata(path)
    check_csv(output)
    with _beside(output) as beside, pa.csv.CSVWriter(beside, SCHEMA) as writer:
        for table in _tables(Path(path)):
            writer.write_table(table)
    return output


def check_csv(output: Path) -> None:
    """Refuse to replace a csv that holds no effects.

    Raises:
        FileExistsError: it does not.
    """
    if not output.exists():
        return
    head = b""
    if output.is_file():
        with output.open("rb") as file:
            head = file.readline(200)
    if head.decode("utf-8", "replace").strip().replace('"', "") != ",".join(COLUMNS):
        raise FileExistsError(
            f"{output} exists and holds no effects that perturb wrote; it is left as it is. Choose "
            "another output or remove it yourself"
        )


def _tables(path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as file:
        try:
            for batch in file.iter_batches(min(_BATCH, ROW_GROUP), columns=list(COLUMNS)):
                table = pa.Table.from_batches([batch]).select(COLUMNS)
                yield table.replace_schema_metadata(None)
        except (pa.ArrowInvalid, OSError) as error:
            raise ValueError(f"{path} is damaged: {error}. Perturb or copy it again") from error


@contextmanager
def _beside(output: Path) -> Iterator[Path]:
    """A path beside the output, which takes its name when all is written."""
    output.parent.mkdir(parents=True, exist_ok=True)
    beside = output.with_name(f".{output.stem}.partial-{secrets.token_hex(4)}{output.suffix}")
    try:
        yield beside
        os.replace(beside, output)
    finally:
        beside.unlink(missing_ok=True)
