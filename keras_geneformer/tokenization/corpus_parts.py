"""The parts that a corpus is tokenized in: each is some cells of one file, done in one process.

The functions here run in worker processes: they take and return plain values only.
"""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from keras_geneformer.tokenization.cells.arrow_format import CellFileWriter, digest
from keras_geneformer.tokenization.cells.obs_schema import ObsLook, ObsSchema, look_at_obs
from keras_geneformer.tokenization.cells.token_lists import id_dtype
from keras_geneformer.tokenization.collected_messages import Message, collected_messages
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary
from keras_geneformer.tokenization.readers.sources import opened
from keras_geneformer.tokenization.source_tokenization import (
    SourceOptions,
    SourceTokenization,
    TokenizedChunk,
)
from keras_geneformer.tokenization.work_directory import write_json

PART_CELLS = 16_384
"""Cells of a part at most. Whatever the number of workers, the parts are the same."""

_BATCH_CELLS = 2048

# What is wrong with a file of counts, rather than with this program.
FILE_ERRORS = (ValueError, OSError, TypeError)
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class OutputError(OSError):
    """The disk cannot be written to: what is wrong is not the file of counts."""


@dataclass(frozen=True)
class FileLook:
    """What is known of a file before it is tokenized.

    Attributes:
        path: of the file.
        stamp: changes when the file does.
        cells: in it.
        columns: names of its columns of obs.
        obs: those of them that are kept; None where the file cannot be used.
        sequential: whether one process has to read all its parts.
        error: why it cannot be used, None where it can.
        messages: that were logged.
    """

    path: str
    stamp: str
    cells: int
    columns: tuple[str, ...]
    obs: ObsLook | None
    sequential: bool
    error: str | None
    messages: list[Message]


@dataclass(frozen=True)
class Part:
    """Rows `start` to `stop` of a file, under a key that says what they become."""

    path: str
    start: int
    stop: int
    key: str


@dataclass(frozen=True)
class Job:
    """What the parts of a corpus have in common.

    Attributes:
        vocabulary: the directory of the vocabulary.
        options: of reading.
        schema: of obs.
        parts: the directory of finished parts.
    """

    vocabulary: str
    options: SourceOptions
    schema: ObsSchema
    parts: str


@lru_cache(maxsize=4)
def vocabulary_in(directory: str) -> GeneVocabulary:
    """The vocabulary of a directory, loaded once a process."""
    return GeneVocabulary.load(directory)


def look_at_file(
    path: str, vocabulary: str, options: SourceOptions, columns: list[str] | None
) -> FileLook:
    """Open a file, find its genes, look at some of its cells and at its obs.

    The cells of a `sequential` source are looked at when it is tokenized.

    Args:
        path: of the file.
        vocabulary: the directory of the vocabulary.
        options: of reading.
        columns: of obs that will be kept; None for all.
    """
    with collected_messages() as messages:
        try:
            with opened(path, options.layer) as source:
                work = SourceTokenization(source, vocabulary_in(vocabulary), options)
                if not source.sequential:  # else it would be copied for this, and again later
                    work.check()
                obs = look_at_obs(source.obs, columns)
                cells, names = len(source), tuple(source.obs.columns)
                sequential = source.sequential
        except FILE_ERRORS as error:
            return FileLook(path, "", 0, (), None, False, _told(path, error), messages)
        stamp = _stamp(Path(path))
    return FileLook(path, stamp, cells, names, obs, sequential, None, messages)


def _told(path: str, error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text if path in text else f"{path}: {text}"


def _stamp(path: Path) -> str:
    """Sizes and times of change: of the file, or of all files of a folder."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    stats = [(file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(json.dumps(stats).encode()).hexdigest()


def parts_of(look: FileLook, common: str) -> list[Part]:
    """The parts of a file.

    Args:
        look: at the file.
        common: says what all parts have in common; it enters the keys.
    """
    parts = []
    for start in range(0, look.cells, PART_CELLS):
        stop = min(start + PART_CELLS, look.cells)
        content = json.dumps([common, look.path, look.stamp, start, stop])
        key = hashlib.sha256(content.encode()).hexdigest()[:32]
        parts.append(Part(look.path, start, stop, key))
    return parts


def tokenize_parts(
    parts: list[Part], job: Job, tick: Callable[[int], object] | None = None
) -> tuple[str | None, list[Message]]:
    """Tokenize some parts of one file, each into the directory of parts.

    Args:
        parts: of one file, in order.
        job: what all parts have in common.
        tick: called with the number of cells read since it was called last.

    Returns:
        Why the file cannot be read to its end, None where it can; and what was logged about it,
        where it was not looked at before (see `look_at_file`).

    Raises:
        OutputError: a part cannot be written.
    """
    messages: list[Message] = []
    with collected_messages() as logged:
        try:
            with opened(parts[0].path, job.options.layer) as source:
                for part in parts:
                    work = SourceTokenization(source, vocabulary_in(job.vocabulary), job.options)
                    if source.sequential and part == parts[0]:
                        logged.clear()
                        work.check()
                        messages = list(logged)
                    _tokenize_part(part, work, source.obs, job, tick)
        except FILE_ERRORS as error:
            if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
                raise OutputError(error.errno, error.strerror) from error
            return _told(parts[0].path, error), messages
    return None, messages


def _tokenize_part(
    part: Part,
    work: SourceTokenization,
    obs: pd.DataFrame,
    job: Job,
    tick: Callable[[int], object] | None,
) -> None:
    arrow = Path(job.parts) / f"{part.key}.arrow"
    beside = arrow.with_name(f".{arrow.name}.partial-{os.getpid()}")
    ids = id_dtype(vocabulary_in(job.vocabulary).size)
    try:
        with CellFileWriter(beside, ids, job.schema.types, job.options.keep_counts) as writer:
            for batch in _batches(work.chunks(part.start, part.stop)):
                rows = np.concatenate([chunk.rows for chunk in batch])
                counts = [chunk.counts for chunk in batch if chunk.counts is not None]
                writer.write(
                    np.concatenate([chunk.token_ids for chunk in batch]),
                    np.concatenate([chunk.lengths for chunk in batch]),
                    job.schema.encode(obs.iloc[rows], part.path),
                    np.concatenate(counts) if counts else None,
                )
                if tick is not None:
                    tick(sum(chunk.cells_read for chunk in batch))
        record = {"cells": writer.cells, "tokens": writer.tokens, "digest": digest(beside)}
        os.replace(beside, arrow)
        write_json(arrow.with_suffix(".json"), record | {"report": asdict(work.report())})
    finally:
        beside.unlink(missing_ok=True)


def _batches(chunks: Iterator[TokenizedChunk]) -> Iterator[list[TokenizedChunk]]:
    """Chunks in groups of some thousand cells, as few large batches are read fastest."""
    batch: list[TokenizedChunk] = []
    for chunk in chunks:
        batch.append(chunk)
        if sum(len(part.rows) for part in batch) >= _BATCH_CELLS:
            yield batch
            batch = []
    if batch:
        yield batch
