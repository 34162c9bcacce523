"""Tokenizes files of any number and size into one dataset on disk."""

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from keras_geneformer.tokenization.cells.arrow_format import (
    RESERVED,
    VOCABULARY,
    cell_schema,
    is_dataset_directory,
    write_manifest,
)
from keras_geneformer.tokenization.cells.dataset import vocabulary_metadata
from keras_geneformer.tokenization.cells.obs_schema import ObsSchema
from keras_geneformer.tokenization.cells.token_lists import id_dtype
from keras_geneformer.tokenization.collected_messages import say
from keras_geneformer.tokenization.corpus_parts import (
    FileLook,
    Job,
    OutputError,
    Part,
    look_at_file,
    parts_of,
    tokenize_parts,
    vocabulary_in,
)
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary
from keras_geneformer.tokenization.processes import SameProcess, worker_pool
from keras_geneformer.tokenization.ranking import compile_kernels
from keras_geneformer.tokenization.report import (
    BrokenFile,
    SourceReport,
    TokenizationReport,
    joined_reports,
)
from keras_geneformer.tokenization.source_tokenization import SourceOptions, log_report
from keras_geneformer.tokenization.work_directory import WorkDirectory, work_directory

logger = logging.getLogger(__name__)

_JOBS_A_WORKER = 2
_SECONDS_BETWEEN_LOOKS = 0.2


def tokenize_corpus(
    files: list[Path],
    output: str | os.PathLike[str],
    vocabulary: GeneVocabulary,
    options: SourceOptions,
    columns: list[str] | None,
    workers: int,
    client: Any,
    skip_broken: bool,
    progress: bool,
) -> None:
    """Tokenize files into a dataset directory.

    Every file is looked at first, then cut into parts of at most 16,384 cells, which are the same
    whatever the number of workers, and so are the bytes of the dataset. Finished parts are kept
    beside the output until it is complete: the same call goes on with what is missing.

    Args:
        files: in order.
        output: the directory (see `RankValueTokenizer.tokenize_files`).
        vocabulary: of the tokens.
        options: of reading.
        columns: of obs to keep; None for all.
        workers: processes.
        client: a `dask.distributed.Client` whose workers see the same paths; None for none.
        skip_broken: leave out files that cannot be read, which are logged as errors.
        progress: show a bar.

    Raises:
        ValueError: files cannot be read, or no cell is left.
        OSError: the output cannot be written.
    """
    with work_directory(output, is_dataset_directory) as directory:
        # Its name says what is in it: a process keeps what it loaded from a place, and a later
        # call may write the same output with another vocabulary.
        place = str(directory.absolute() / f"vocabulary-{_identity(vocabulary)}")
        vocabulary.save(place)
        if workers > 1:
            # Forked processes find both in memory.
            vocabulary_in(place)
            compile_kernels()
        try:
            with _executor(workers, client) as (pool, processes):
                looks = _look_at_all(files, place, options, columns, pool, progress)
                broken = {look.path: look.error for look in looks if look.error is not None}
                good = [look for look in looks if look.error is None]
                if broken and not (skip_broken and good):
                    raise ValueError("\n".join(broken.values()))
                _check_columns(good, columns)
                schema = ObsSchema.of(
                    [look.obs for look in good if look.obs is not None],
                    RESERVED,
                    source_file=len(files) > 1,
                )
                common = _common(vocabulary, options, schema)
                parts = {look.path: parts_of(look, common) for look in good}
                work = WorkDirectory(directory, [p.key for of in parts.values() for p in of])
                job = Job(place, options, schema, str(work.parts))
                broken |= _tokenize_all(good, parts, job, work, pool, processes, progress)
        except BrokenExecutor as error:
            raise ChildProcessError(
                "a worker process was killed, perhaps as memory ran out: run again with fewer "
                "workers. Finished parts are kept"
            ) from error
        except OutputError as error:
            raise OSError(
                f"{output} cannot be written: {error.strerror}. Finished parts are kept: make "
                "room and run again"
            ) from error
        except KeyboardInterrupt:
            if any(directory.glob("parts/*.json")):
                logger.warning(
                    "finished parts are kept in %s: the same call goes on there", directory
                )
            raise
        if broken and not skip_broken:
            raise ValueError("\n".join(broken.values()))
        for path in broken:
            logger.error("left out: %s", broken[path])
            parts.pop(path, None)
        _publish(parts, broken, job, work, vocabulary)


@contextmanager
def _executor(workers: int, client: Any) -> Iterator[tuple[Executor, int]]:
    """Where to run, and how many processes that is."""
    if client is not None:
        yield client.get_executor(pure=False), max(len(client.nthreads()), 1)
        return
    with worker_pool(workers) as pool:
        yield pool, workers


def _look_at_all(
    files: list[Path],
    vocabulary: str,
    options: SourceOptions,
    columns: list[str] | None,
    pool: Executor,
    progress: bool,
) -> list[FileLook]:
    """Look at every file; say what was logged about it, in the order of the files."""
    futures: Iterable[Future[FileLook]] = (
        pool.submit(look_at_file, str(path), vocabulary, options, columns) for path in files
    )
    if not isinstance(pool, SameProcess):  # which does at once what it is given
        futures = list(futures)
    looks = []
    with tqdm(total=len(files), desc="look at files", unit="file", disable=not progress) as bar:
        for future in futures:
            looks.append(future.result())
            bar.update()
            say(looks[-1].messages)
    return looks


def _check_columns(looks: list[FileLook], columns: list[str] | None) -> None:
    there = list(dict.fromkeys(name for look in looks for name in look.columns))
    lacking = [name for name in columns or () if name not in there]
    if lacking:
        raise ValueError(
            f"obs has no column {lacking[0]!r} in any file; it has "
            f"{', '.join(map(str, there)) or 'none'}"
        )


def _identity(vocabulary: GeneVocabulary) -> str:
    """Tells vocabularies apart also by their aliases, which the checksum leaves out."""
    content = [vocabulary.checksum, sorted(vocabulary.aliases.items())]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def _common(vocabulary: GeneVocabulary, options: SourceOptions, schema: ObsSchema) -> str:
    """Says what the parts of a corpus have in common: where it differs, none is taken up again."""
    content = [_identity(vocabulary), asdict(options), str(schema)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _tokenize_all(
    looks: list[FileLook],
    parts: dict[str, list[Part]],
    job: Job,
    work: WorkDirectory,
    pool: Executor,
    processes: int,
    progress: bool,
) -> dict[str, str]:
    """Tokenize the parts that are not done; returns what is wrong with files, by their names."""
    every = [part for of in parts.values() for part in of]
    waiting = {part.key: part.stop - part.start for part in every if not work.is_done(part.key)}
    total = sum(part.stop - part.start for part in every)
    done = total - sum(waiting.values())
    if done:
        logger.warning("%d of %d cells were tokenized by an earlier run", done, total)
    here = isinstance(pool, SameProcess)
    futures: dict[Future, str] = {}
    broken: dict[str, str] = {}
    bar = tqdm(
        total=total,
        initial=done,
        disable=not progress,
        desc="tokenize",
        unit="cell",
        unit_scale=True,
    )
    with bar:
        for look in looks:
            missing = [part for part in parts[look.path] if part.key in waiting]
            jobs = 1 if look.sequential or here else _JOBS_A_WORKER * processes
            size = max(-(-len(missing) // jobs), 1)
            for start in range(0, len(missing), size):
                ticking = (bar.update,) if here else ()
                future = pool.submit(tokenize_parts, missing[start : start + size], job, *ticking)
                futures[future] = look.path
        pending = set(futures)
        while pending:
            finished, pending = wait(pending, _SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
            for future in finished:
                error, messages = future.result()
                say(messages)
                if error is not None:
                    broken[futures[future]] = error
            if not here:
                for key in [key for key in waiting if work.is_done(key)]:
                    bar.update(waiting.pop(key))
    return broken


def _publish(
    parts: dict[str, list[Part]],
    broken: dict[str, str],
    job: Job,
    work: WorkDirectory,
    vocabulary: GeneVocabulary,
) -> None:
    records = {path: [work.read_record(part.key) for part in of] for path, of in parts.items()}
    sources = tuple(
        joined_reports([SourceReport.from_dict(record["report"]) for record in of])
        for of in records.values()
    )
    report = TokenizationReport(
        sources, tuple(BrokenFile(name, error) for name, error in broken.items())
    )
    for source in sources:
        log_report(source)
    if not report.kept_cells:
        work.discard()
        raise ValueError(f"no cell is left to tokenize. {report.summary()}")
    every = [record for of in records.values() for record in of]

    def finish(directory: Path, names: list[str]) -> None:
        metadata = vocabulary_metadata(vocabulary) | {
            "num_cells": sum(record["cells"] for record in every),
            "num_tokens": sum(record["tokens"] for record in every),
            "report": report.to_dict(),
            "obs": job.schema.kinds(list(parts)),
        }
        files = {name: record["digest"] for name, record in zip(names, every)}
        ids = id_dtype(vocabulary.size)
        schema = cell_schema(ids, job.schema.types, job.options.keep_counts)
        vocabulary.save(directory / VOCABULARY)
        write_manifest(directory, files, schema, metadata)

    work.assemble([part.key for of in parts.values() for part in of], finish)
