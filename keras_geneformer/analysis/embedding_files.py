"""Embeddings on disk: one row a cell in the order of obs, and memory that knows only a batch."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.analysis.embedding_formats import (
    check_output,
    write_embedding,
    written_settings,
)
from keras_geneformer.analysis.perturbation.effect_runs import locked
from keras_geneformer.tokenization.publishing import take_name

_SECONDS_A_SAVE = 20.0
_ROWS_A_BLOCK = 8192


class EmbeddingWriter:
    """Takes the vectors of cells in any order, and writes them in that of obs.

    While the model runs, vectors stand in `<output>.parts/` at their cells' rows; what is finished
    is noted there every 20 seconds, after it has reached the disk. At the end they are copied into
    the output, which takes its name when it is complete. A kill at any moment loses 20 seconds.

    Args:
        output: a path that ends in .parquet, .csv, .h5ad or .zarr.
        settings: what the vectors depend on, as plain values.
        obs: of the cells; its index names the rows.
        dim: length of a vector.
        key: the key in `obsm`, for .h5ad and .zarr.
        resume: go on with the parts of an interrupted run, and leave a complete output of the same
            settings as it is; else begin anew.

    Attributes:
        finished: whether the output is there already, of the same settings.
        batches: how many batches were saved before.

    Raises:
        ValueError: another suffix; parts of other settings.
        FileExistsError: an .h5ad or .zarr of that name exists and holds no embedding of ours.
        BlockingIOError: another process writes the same output.
    """

    def __init__(
        self,
        output: str | os.PathLike[str],
        settings: dict[str, Any],
        obs: pd.DataFrame,
        dim: int,
        key: str = "X_geneformer",
        resume: bool = True,
    ) -> None:
        self._output = check_output(output)
        self._obs, self._dim, self._key = obs, dim, key
        self._settings = json.loads(json.dumps(settings))
        self.batches = 0
        self.finished = resume and written_settings(self._output) == self._settings
        if self.finished:
            return
        self._parts = self._output.with_name(self._output.name + ".parts")
        self._parts.mkdir(parents=True, exist_ok=True)
        self._lock = locked(self._parts / "lock", self._output)
        progress = self._parts / "progress.json"
        if resume and progress.is_file():
            found = json.loads(progress.read_text())
            _check_same(found["settings"], self._settings, self._parts)
            self.batches = int(found["batches"])
        else:
            progress.unlink(missing_ok=True)
        mode = "r+b" if self.batches else "w+b"
        self._file = (self._parts / "vectors.float32").open(mode)
        self._saved_at = time.monotonic()

    def add(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        """Takes the vectors of the next batch.

        Args:
            rows: (B,) places of its cells in obs.
            vectors: (B, dim).
        """
        for row, vector in zip(rows.tolist(), vectors.astype(np.float32)):
            self._file.seek(row * self._dim * 4)
            self._file.write(vector.tobytes())
        self.batches += 1
        if time.monotonic() - self._saved_at > _SECONDS_A_SAVE:
            self._save()

    def finish(self) -> Path:
        """Writes the output from what was taken, and removes the parts.

        Returns:
            The output.
        """
        self._save()
        beside = self._parts / f"joined{self._output.suffix}"
        if beside.is_dir():
            shutil.rmtree(beside)
        about = {"settings": self._settings, "complete": True}
        write_embedding(beside, self._obs, self._blocks(), self._dim, self._key, about)
        if beside.is_dir():
            take_name(beside, self._output)
        else:
            os.replace(beside, self._output)
        self.close()
        shutil.rmtree(self._parts)
        return self._output

    def close(self) -> None:
        """Lets go of the parts, which stay."""
        if not self.finished:
            self._file.close()
            self._lock.close()

    def _save(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        beside = self._parts / "progress.partial"
        beside.write_text(json.dumps({"settings": self._settings, "batches": self.batches}))
        os.replace(beside, self._parts / "progress.json")
        self._saved_at = time.monotonic()

    def _blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        self._file.seek(0)
        for start in range(0, len(self._obs), _ROWS_A_BLOCK):
            stop = min(start + _ROWS_A_BLOCK, len(self._obs))
            values = np.fromfile(self._file, np.float32, (stop - start) * self._dim)
            yield slice(start, stop), values.reshape(stop - start, self._dim)


def _check_same(found: dict[str, Any], settings: dict[str, Any], parts: Path) -> None:
    names = sorted(found.keys() | settings.keys())
    differing = [
        f"{name} (there {found.get(name)!r}, here {settings.get(name)!r})"
        for name in names
        if found.get(name) != settings.get(name)
    ]
    if differing:
        raise ValueError(
            f"{parts} is of a run with other settings: {', '.join(differing)}. Give what it was "
            "begun with, choose another output, or begin again with resume=False"
        )
