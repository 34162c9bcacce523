"""Publishes a directory whole: it is written beside its destination, then takes its name."""

import ctypes
import errno
import glob
import logging
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def publish_directory(
    destination: str | os.PathLike[str], replaceable: Callable[[Path], bool]
) -> Iterator[Path]:
    """Write a directory so that no half-written one ever stands at its destination.

    The body writes into a new, hidden directory beside the destination. When it ends well, that
    directory takes the destination's name in one step; an earlier one is exchanged with it and
    then removed. When it fails, what it wrote is removed. A kill at any moment leaves the
    earlier directory, complete, or the new one, complete.

    Args:
        destination: the directory to write.
        replaceable: whether an existing, non-empty directory may be replaced.

    Yields:
        The path to write into.

    Raises:
        FileExistsError: the destination exists and may not be replaced.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "notes"
        >>> with publish_directory(target, lambda existing: False) as directory:
        ...     _ = (directory / "a.txt").write_text("done")
        >>> [path.name for path in target.iterdir()]
        ['a.txt']
    """
    destination = Path(destination)
    check_destination(destination, replaceable)
    prefix = f".{destination.name}.partial-"
    for leftover in destination.parent.glob(glob.escape(prefix) + "*"):
        logger.warning("%s is being written or was left by an interrupted save", leftover)
    partial = destination.parent / (prefix + secrets.token_hex(4))
    partial.mkdir()
    try:
        yield partial
        _check_replaceable(destination, replaceable)
        take_name(partial, destination)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def check_destination(destination: str | os.PathLike, replaceable: Callable[[Path], bool]) -> None:
    """Refuse, before any work is done, a directory that could not be written at the end.

    Args:
        destination: the directory to write; folders above it are made.
        replaceable: whether an existing, non-empty directory may be replaced.

    Raises:
        FileExistsError: the destination exists and may not be replaced.
        PermissionError: nothing can be written beside it.
    """
    destination = Path(destination)
    _check_replaceable(destination, replaceable)
    parent = destination.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        writable = os.access(parent, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    if not writable:
        raise PermissionError(
            f"{destination} cannot be written: {parent} is no folder that can be written to. "
            "Choose another place"
        )


def _check_replaceable(destination: Path, replaceable: Callable[[Path], bool]) -> None:
    if not destination.exists():
        return
    if not destination.is_dir():
        raise FileExistsError(f"{destination} is a file; expected a new name or a directory")
    if any(destination.iterdir()) and not replaceable(destination):
        raise FileExistsError(
            f"{destination} exists and holds something else than what would replace it; nothing "
            "was written. Choose another name or remove it yourself"
        )


def take_name(partial: Path, destination: Path) -> None:
    """Give a complete directory its name, in one step where the system can; an earlier one goes."""
    if not destination.exists() or not any(destination.iterdir()):
        if destination.exists() and os.name == "nt":
            destination.rmdir()
        os.rename(partial, destination)
        return
    if not _exchange(partial, destination):
        # Where names cannot be exchanged, the earlier output keeps a name that says what it is
        # for the moment between the two renames.
        previous = partial.with_name(partial.name.replace(".partial-", ".previous-"))
        os.rename(destination, previous)
        os.rename(partial, destination)
        partial = previous
    shutil.rmtree(partial, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step (Linux); False where the system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.EXDEV):
        return False
    raise OSError(code, os.strerror(code), str(other))
