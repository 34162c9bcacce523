"""What a running training writes for those who watch it: log.csv, and TensorBoard's scalars."""

import csv
import os
import secrets
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

LOG_FILE = "log.csv"
TENSORBOARD_DIRECTORY = "tensorboard"
COLUMNS = (
    *("step", "epoch", "loss", "accuracy", "top5", "learning_rate", "tokens", "seconds"),
    *("validation_loss", "validation_accuracy", "validation_top5", "validation_perplexity"),
)
"""Columns of log.csv that are there from the first row on, in this order; others follow."""

_VALIDATION = "validation_"
_NOT_DRAWN = {"step", "epoch", "tokens", "seconds"}
_OURS = ".keras_geneformer"


class RunLog:
    """A row a step in `log.csv`, and on demand the same numbers as TensorBoard scalars.

    Every row is on disk when `add` returns, so that a process killed at any moment leaves all rows
    but the one it was writing. Both are written anew when a run is taken up again: the rows of the
    restored history are in them once, and nothing of the steps that are done again.

    The scalars are `train/loss`, `train/accuracy`, `train/top5`, `train/learning_rate`,
    `train/tokens_per_second` (where rows have `tokens` and `seconds`) and `validation/...`, in the
    folder `tensorboard` of `directory`: `tensorboard --logdir DIRECTORY` shows them.

    Args:
        directory: where they are written; made where missing.
        history: the rows of a run that is taken up again; empty for a new one.
        tensorboard: write scalars as well. Needs the package `tensorboard` (not TensorFlow).

    Raises:
        ImportError: `tensorboard` is true and the package is not installed.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> log = RunLog(folder, [])
        >>> log.add({"step": 1, "epoch": 1, "loss": 6.5})
        >>> log.close()
        >>> (Path(folder) / "log.csv").read_text().splitlines()[1]
        '1,1,6.5,,,,,,,,,'
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        history: Sequence[dict[str, Any]] = (),
        tensorboard: bool = False,
    ) -> None:
        self.directory = Path(directory)
        self.path = self.directory / LOG_FILE
        self.directory.mkdir(parents=True, exist_ok=True)
        self._scalars = _Scalars(self.directory / TENSORBOARD_DIRECTORY) if tensorboard else None
        extra = dict.fromkeys(name for row in history for name in row if name not in COLUMNS)
        self._columns = [*COLUMNS, *extra]
        self._file = self._written(history)
        if self._scalars is not None:
            self._scalars.add(history)

    def add(self, row: dict[str, Any]) -> None:
        """Write one step.

        Args:
            row: numbers by name, `step` among them; a name not seen before becomes a column.
        """
        new = [name for name in row if name not in self._columns]
        if new:
            self._file.close()
            with open(self.path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            self._columns += new
            self._file = self._written(rows)
        self._writer().writerow(row)
        self._file.flush()
        if self._scalars is not None:
            self._scalars.add([row])

    def close(self) -> None:
        """Close the files; further rows are refused."""
        self._file.close()
        if self._scalars is not None:
            self._scalars.close()

    def _written(self, rows: Iterable[dict[str, Any]]) -> IO[str]:
        """The log with these rows and no other, open for more."""
        beside = self.directory / f".{LOG_FILE}.partial-{secrets.token_hex(4)}"
        try:
            with open(beside, "w", newline="", encoding="utf-8") as self._file:
                writer = self._writer()
                writer.writeheader()
                writer.writerows(rows)
            os.replace(beside, self.path)
        finally:
            beside.unlink(missing_ok=True)
        return open(self.path, "a", newline="", encoding="utf-8")

    def _writer(self) -> csv.DictWriter:
        return csv.DictWriter(self._file, self._columns, restval="", lineterminator="\n")


class _Scalars:
    """Rows as TensorBoard events, in one file that replaces those of the run before it."""

    def __init__(self, directory: Path) -> None:
        try:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise ImportError(
                "TensorBoard's scalars need the package tensorboard: "
                "pip install 'keras_geneformer[tensorboard]'"
            ) from error
        # A viewer that found two files of one run would draw the steps that were done twice twice.
        for earlier in directory.glob(f"events.out.tfevents.*{_OURS}"):
            earlier.unlink()
        self._writer = EventFileWriter(str(directory), filename_suffix=_OURS)
        self._seconds = 0.0

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        now, last = time.time(), rows[-1].get("seconds", 0.0) if rows else 0.0
        for row in rows:
            values = [Summary.Value(tag=k, simple_value=v) for k, v in self._named(row).items()]
            # Restored rows are given the time at which they would have been written without a stop.
            when = now - (last - row.get("seconds", last))
            event = Event(wall_time=when, step=int(row["step"]), summary=Summary(value=values))
            self._writer.add_event(event)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _named(self, row: dict[str, Any]) -> dict[str, float]:
        named = {}
        for name, value in row.items():
            if name.startswith(_VALIDATION):
                named[f"validation/{name.removeprefix(_VALIDATION)}"] = float(value)
            elif name not in _NOT_DRAWN:
                named[f"train/{name}"] = float(value)
        passed = row.get("seconds", 0.0) - self._seconds
        if "tokens" in row and passed > 0.0:
            named["train/tokens_per_second"] = float(row["tokens"]) / passed
        self._seconds = row.get("seconds", self._seconds)
        return named
