"""A directory for work in progress beside its destination, which a later run takes up again."""

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keras_geneformer.tokenization.cells.arrow_format import data_file
from keras_geneformer.tokenization.publishing import check_destination, take_name

logger = logging.getLogger(__name__)

_ORDER = "order.json"
_LOCK = "lock"
_PARTS = "parts"
_ASSEMBLED = "assembled"


class WorkDirectory:
    """Finished parts of a dataset, each known by a key that says what it holds.

    A part is an Arrow file and a json file, the latter written last: a part without it is not
    finished. What stands here is no dataset, for us or for `datasets`, before `publish`.

    Attributes:
        parts: the directory of the parts.

    Args:
        directory: the work directory, `.<name>.partial` beside the destination.
        keys: of all parts. Parts under other keys, of an earlier run, are removed.
    """

    def __init__(self, directory: Path, keys: list[str]) -> None:
        self._directory = directory
        self.parts = directory.absolute() / _PARTS
        self._assembled = directory / _ASSEMBLED
        self._take_apart()
        self.parts.mkdir(exist_ok=True)
        wanted = {f"{key}{suffix}" for key in keys for suffix in (".arrow", ".json")}
        for path in self.parts.iterdir():
            if path.name not in wanted:
                path.unlink()

    def is_done(self, key: str) -> bool:
        """Whether a part is finished."""
        return (self.parts / f"{key}.json").exists()

    def read_record(self, key: str) -> dict[str, Any]:
        """What is known of a finished part."""
        return json.loads((self.parts / f"{key}.json").read_text(encoding="utf-8"))

    def discard(self) -> None:
        """Remove all parts."""
        shutil.rmtree(self.parts)

    def _take_apart(self) -> None:
        """Give the parts their names back, where a run was stopped between two renamings."""
        if not self._assembled.exists():
            return
        keys = json.loads((self._directory / _ORDER).read_text(encoding="utf-8"))
        for number, key in enumerate(keys):
            moved = self._assembled / data_file(number, len(keys))
            if moved.exists():
                os.rename(moved, self.parts / f"{key}.arrow")
        shutil.rmtree(self._assembled)

    def assemble(self, keys: list[str], finish: Callable[[Path, list[str]], None]) -> None:
        """Make one dataset of finished parts.

        Args:
            keys: of the parts, in order.
            finish: given the directory and the names of its data files, in order, writes what
                makes it a dataset.
        """
        write_json(self._directory / _ORDER, keys)
        self._assembled.mkdir()
        names = [data_file(number, len(keys)) for number in range(len(keys))]
        for key, name in zip(keys, names):
            os.rename(self.parts / f"{key}.arrow", self._assembled / name)
        finish(self._assembled, names)


@contextmanager
def work_directory(
    destination: str | os.PathLike[str], replaceable: Callable[[Path], bool]
) -> Iterator[Path]:
    """Hold the directory `.<name>.partial` beside a destination, for this process alone.

    It stays where the body fails or is killed, and the next run finds it; where it ends well, the
    directory that the body leaves in it under the name `assembled` takes the destination's name
    in one step, and the work directory is removed.

    Args:
        destination: the directory to write in the end.
        replaceable: whether an existing, non-empty directory may be replaced.

    Yields:
        The work directory.

    Raises:
        FileExistsError: the destination exists and may not be replaced.
        BlockingIOError: another process is writing there.
    """
    destination = Path(destination)
    check_destination(destination, replaceable)
    directory = destination.parent / f".{destination.name}.partial"
    directory.mkdir(exist_ok=True)
    with _locked(directory / _LOCK, destination):
        try:
            yield directory
            check_destination(destination, replaceable)
            take_name(directory / _ASSEMBLED, destination)
            shutil.rmtree(directory, ignore_errors=True)
        finally:
            parts = directory / _PARTS
            if directory.exists() and not (parts.exists() and any(parts.glob("*.json"))):
                shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _locked(path: Path, destination: Path) -> Iterator[None]:
    """A lock that the system drops with the process that holds it."""
    with path.open("w") as file:
        try:
            import fcntl
        except ImportError:  # Windows: two writers at once are not noticed there
            yield
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(
                f"{destination} is being written by another process: wait for it, or choose "
                "another output"
            ) from None
        yield


def write_json(path: Path, content: object) -> None:
    """Write a json file whole or not at all."""
    beside = path.with_name(f".{path.name}.partial-{os.getpid()}")
    beside.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    os.replace(beside, path)
