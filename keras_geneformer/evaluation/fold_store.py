"""Folds that are done, kept in a directory, so that a run that was ended goes on at the next."""

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

RUN_FILE = "run.json"
_FORMAT = 1


class FoldStore:
    """A directory with a file of scores and one of predictions for each method and fold.

    Each file is written beside its place and renamed; the scores come last, and a fold without
    them is not done. Tables are JSON and parquet.

    Args:
        directory: new, empty, or of the same run; None keeps nothing.
        run: what the run is of, plain values by name. A directory of another run is refused.

    Raises:
        FileExistsError: the directory holds something else than such a run.
        ValueError: it holds a run of other data or settings, which are named.
    """

    def __init__(self, directory: str | os.PathLike | None, run: dict[str, Any]) -> None:
        self.directory = None if directory is None else Path(directory)
        if self.directory is None:
            return
        self._run = plain({"format": _FORMAT, **run})
        if self.directory.exists() and not self.directory.is_dir():
            raise FileExistsError(
                f"{self.directory} is a file; expected a new name or the directory of a run."
            )
        self.directory.mkdir(parents=True, exist_ok=True)
        described = self.directory / RUN_FILE
        if described.is_file():
            check_same_run(json.loads(described.read_text()), self._run, str(self.directory))
        elif any(path.name[:1] != "." for path in self.directory.iterdir()):
            raise FileExistsError(
                f"{self.directory} exists and holds something else than a run of folds; nothing "
                "was written. Choose another name or remove it yourself."
            )

    def load(self, method: str, fold: int) -> tuple[dict[str, Any], pd.DataFrame] | None:
        """What was found of a fold, and its predictions; None where it is not done."""
        if self.directory is None:
            return None
        scores, predictions = self._files(method, fold)
        if not scores.is_file() or not predictions.is_file():
            return None
        return json.loads(scores.read_text()), pd.read_parquet(predictions)

    def save(
        self, method: str, fold: int, found: dict[str, Any], predictions: pd.DataFrame
    ) -> None:
        """Keep a fold that is done: what was found of it, plain values, and its predictions."""
        if self.directory is None:
            return
        described = self.directory / RUN_FILE
        if not described.is_file():
            # Not before: a run that fails at once leaves no settings that the next would differ in.
            text = json.dumps(self._run, indent=2) + "\n"
            write_beside(described, lambda path: path.write_text(text))
        scores, table = self._files(method, fold)
        write_beside(table, lambda path: predictions.to_parquet(path))
        text = json.dumps(plain(found), indent=2) + "\n"
        write_beside(scores, lambda path: path.write_text(text))

    def write_table(self, name: str, table: pd.DataFrame, *, complete: bool = True) -> None:
        """Write a table as csv; of a run that is not over, as `<name>.partial.csv`."""
        if self.directory is None:
            return
        partial = self.directory / f"{name}.partial.csv"
        place = self.directory / f"{name}.csv" if complete else partial
        write_beside(place, lambda path: table.to_csv(path, index=False))
        if complete:
            partial.unlink(missing_ok=True)

    def write_text(self, name: str, text: str) -> None:
        """Write some words as txt."""
        if self.directory is not None:
            place = self.directory / f"{name}.txt"
            write_beside(place, lambda path: path.write_text(text + "\n"))

    def _files(self, method: str, fold: int) -> tuple[Path, Path]:
        assert self.directory is not None
        stem = f"{method}.fold{fold:02d}"
        return self.directory / f"{stem}.json", self.directory / f"{stem}.parquet"


def check_same_run(found: dict[str, Any], expected: dict[str, Any], where: str) -> None:
    """Refuse to go on with a run of something else.

    Raises:
        ValueError: names what differs.
    """
    absent = object()
    differing = [
        f"{name} (there {_short(found.get(name))}, here {_short(expected.get(name))})"
        for name in sorted(found.keys() | expected.keys())
        if found.get(name, absent) != expected.get(name, absent)
    ]
    if differing:
        raise ValueError(
            f"{where} holds a run of other data or settings: {', '.join(differing)}. Give what it "
            "was begun with, or another place."
        )


def plain(value: Any) -> Any:
    """A value as JSON gives it back: numpy's numbers, tuples and paths become plain.

    Example:
        >>> plain({"rates": (1e-3, np.float64(0.5))})
        {'rates': [0.001, 0.5]}
    """
    return json.loads(json.dumps(value, default=_plain))


def checksum(*parts: Any) -> str:
    """The sha256 (hex, 16 digits) over arrays, or sequences of text.

    Example:
        >>> checksum(["a", "b"]) == checksum(["a", "c"])
        False
    """
    digest = hashlib.sha256()
    for part in parts:
        array = np.asarray(part)
        if array.dtype.kind in "OU":
            array = np.char.encode(array.astype(str), "utf-8")
        digest.update(f"{array.dtype.kind}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def write_beside(path: Path, write: Any) -> None:
    """Write a file whole: beside its place first, then renamed."""
    beside = path.with_name(f".{path.stem}.partial-{secrets.token_hex(4)}{path.suffix}")
    try:
        write(beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)


def _short(value: Any) -> str:
    text = json.dumps(value, default=_plain)
    return text if len(text) <= 60 else text[:57] + "..."
