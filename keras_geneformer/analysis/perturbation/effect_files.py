"""Files of effects: written cell by cell by a run that may be stopped at any moment, and read."""

import json
import os
import shutil
import time
from pathlib import Path
from typing import IO, Any, Self

import pandas as pd
import pyarrow as pa

from keras_geneformer.analysis.perturbation.effect_parts import (
    SCHEMA,
    Part,
    in_order,
    next_number,
    parts_in,
    write_effects,
    write_part,
)
from keras_geneformer.analysis.perturbation.effect_reading import effects_metadata, read_effects
from keras_geneformer.analysis.perturbation.effect_runs import (
    about_run,
    check_output,
    check_same,
    locked,
)

__all__ = ["EffectsWriter", "effects_metadata", "read_effects"]

PART_ROWS = 100_000
"""Effects that are collected before a part is written."""

PART_SECONDS = 20.0
"""Seconds after which a part is written whatever it holds: about what a kill loses."""

_RUN, _LOCK, _JOINED = "run.json", "lock", "joined.parquet"


class EffectsWriter:
    """Streams effects to `<output>.parts` beside the output, and joins them into it at the end.

    Parts are written beside their place and renamed: a kill at any moment loses at most the cells
    of the part that is being collected, and the file in the end is byte for byte that of a run
    that was never stopped. Use it in a `with` statement: where the body fails, what was collected
    is kept for the next run, and where that is nothing, nothing is left.

    Args:
        output: the parquet file to write.
        settings: what the run is of, plain values by name. `states`, `vocabulary_checksum`,
            `model_checksum`, `cells_checksum` and `shard` become entries of the file's metadata
            beside `settings`, which holds the others.
        resume: go on with the parts of an earlier run, and leave an output as it is that is
            complete; else begin again, and replace it.

    Attributes:
        finished: whether the output is there, complete and of these settings.

    Raises:
        ValueError: not a `.parquet`; parts or an output of other settings (named); a damaged part.
        FileExistsError: something that is not such a file, or not such parts, is in the place.
        BlockingIOError: another process writes there.
        OSError: the directory cannot be made or written.

    Example:
        >>> import tempfile
        >>> effects = pd.DataFrame({"cell": "a", "gene": "ENSG1", "token": [7], "kind": "delete",
        ...     "measure": "cell_cosine", "state": "original", "value": 0.99})
        >>> output = Path(tempfile.mkdtemp()) / "effects.parquet"
        >>> with EffectsWriter(output, {"kind": "delete"}, resume=True) as writer:
        ...     writer.add(0, effects)
        ...     _ = writer.finish()
        >>> float(read_effects(output)["value"][0])
        0.99
    """

    def __init__(
        self, output: str | os.PathLike, settings: dict[str, Any], resume: bool = True
    ) -> None:
        self.output = Path(output)
        if self.output.suffix != ".parquet":
            raise ValueError(
                f"Effects are written as parquet, and {str(self.output)!r} does not end in .parquet"
            )
        self._about = about_run(settings)
        self._directory = self.output.with_name(self.output.name + ".parts")
        self._tables: list[tuple[int, pa.Table]] = []
        self._parts: list[Part] = []
        self._lock: IO[str] | None = None
        self.finished = False
        check_output(self.output, self._about if resume else None)
        self._check_directory()
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                error.errno,
                f"{self.output} cannot be written: {self._directory}, for its parts, cannot be "
                f"made ({error.strerror or error}). Choose another output",
            ) from error
        self._lock = locked(self._directory / _LOCK, self.output)
        try:
            self._begin(resume)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            # Where the disk failed, it would fail again, and hide what was said of it.
            if self._lock is not None and not (kind and issubclass(kind, OSError)):
                self._flush()
        finally:
            self.close()

    def done(self) -> set[int]:
        """Rows of the cells that are on disk, those without effects too."""
        return {row for part in self._parts for row, _ in part.cells}

    def add(self, row: int, table: pd.DataFrame) -> None:
        """Take the effects of one cell.

        Args:
            row: of the cell in the dataset.
            table: its effects, which may be none.

        Raises:
            OSError: a part cannot be written; those before it are kept.
        """
        if table.empty:
            arrow = SCHEMA.empty_table()
        else:
            arrow = pa.Table.from_pandas(table, schema=SCHEMA, preserve_index=False)
        self._tables.append((int(row), arrow.replace_schema_metadata(None)))
        self._rows += len(table)
        if self._rows >= PART_ROWS or time.monotonic() - self._since >= PART_SECONDS:
            self._flush()

    def finish(self) -> Path:
        """Join the parts, by row of the cells, into the output, and remove them.

        Raises:
            ValueError: a part is damaged.
            OSError: the output cannot be written; the parts are kept.
        """
        if not self.finished:
            self._flush()
            joined = self._directory / _JOINED
            try:
                write_effects(in_order(self._parts), joined, self._about | {"complete": True})
                with joined.open("rb") as file:
                    os.fsync(file.fileno())
                os.replace(joined, self.output)
            except OSError as error:
                raise self._unwritten(error) from error
            self.finished = True
        self.close()
        return self.output

    def close(self) -> None:
        """Let others write here; remove the parts where there are none or all are joined."""
        if self._lock is None:
            return
        # By what is on disk: parts that could not be read, or are of another run, stay.
        if self.finished or not any(self._directory.glob("part-*.parquet")):
            shutil.rmtree(self._directory, ignore_errors=True)
        self._lock.close()
        self._lock = None

    def _begin(self, resume: bool) -> None:
        self._rows, self._since = 0, time.monotonic()
        # Again, as the process that held the lock may have finished the output meanwhile.
        self.finished = check_output(self.output, self._about if resume else None)
        for name in ("part.partial", _JOINED):
            (self._directory / name).unlink(missing_ok=True)
        run = self._directory / _RUN
        if not resume:
            for path in [*self._directory.glob("part-*.parquet"), run]:
                path.unlink(missing_ok=True)
        if self.finished:
            self.close()
            return
        parts = parts_in(self._directory)
        if parts:
            try:
                found = json.loads(run.read_text(encoding="utf-8"))
            except (ValueError, FileNotFoundError):
                raise ValueError(
                    f"{run} is damaged or missing, so that nothing is known of the parts beside "
                    f"it. Delete {self._directory}, or begin again with resume=False"
                ) from None
            check_same(found, self._about, self._directory)
        self._parts = parts

    def _flush(self) -> None:
        if self._tables:
            try:
                if not self._parts:
                    beside = self._directory / "run.partial"
                    beside.write_text(json.dumps(self._about, sort_keys=True), encoding="utf-8")
                    os.replace(beside, self._directory / _RUN)
                number = next_number(self._parts)
                self._parts.append(write_part(self._directory, number, self._tables))
            except OSError as error:
                raise self._unwritten(error) from error
        self._tables, self._rows, self._since = [], 0, time.monotonic()

    def _unwritten(self, error: OSError) -> OSError:
        kept = len(self.done())
        return OSError(
            error.errno,
            f"{self.output} cannot be written ({error.strerror or error}). The effects of {kept} "
            f"cells are kept in {self._directory}: make room there, and run again to go on",
        )

    def _check_directory(self) -> None:
        directory = self._directory
        if not directory.exists():
            return
        if directory.is_dir():
            names = {path.name for path in directory.iterdir()}
            if _RUN in names or names <= {_LOCK, "run.partial"}:
                return
        raise FileExistsError(
            f"{directory}, where parts of {self.output.name} would go, holds something else; "
            "nothing was written. Choose another output or remove it yourself"
        )
