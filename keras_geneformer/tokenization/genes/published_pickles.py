"""Reads the published package's pickles without running anything they name."""

import io
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_SCALAR_DTYPE = re.compile(r"[bifu][1248]")


class _ScalarType:
    """Stands in for `numpy.dtype`: the kind, width and byte order of a number, nothing else."""

    def __init__(self, name: str, *_flags: object) -> None:
        if not isinstance(name, str) or not _SCALAR_DTYPE.fullmatch(name):
            raise pickle.UnpicklingError(f"it holds a numpy {name!r}, which is not a plain number")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


def _scalar(kind: _ScalarType, data: bytes) -> int | float:
    """Stands in for numpy's scalar constructor; gives a Python number."""
    if len(data) != kind.dtype.itemsize:
        raise pickle.UnpicklingError(f"a numpy {kind.dtype} of {len(data)} bytes")
    return np.frombuffer(data, kind.dtype)[0].item()


def _latin1(text: str, encoding: str) -> bytes:
    """Stands in for `_codecs.encode`, by which pickle protocols 0 to 2 write a scalar's bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the codec {encoding!r}")
    return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _ScalarType,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("_codecs", "encode"): _latin1,
}


class _Plain:
    admitted: str

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _STAND_INS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it names {module}.{name}, and only {self.admitted} are admitted"
            ) from None


class _PlainUnpickler(_Plain, pickle.Unpickler):
    """The fast one, whose memo is an array as long as the largest index that a file names."""


class _SparingUnpickler(_Plain, pickle._Unpickler):
    """Python's own, ten times slower, whose memo is a dictionary."""


_LONG_PUT = re.compile(rb"p[0-9_+\-\s]{7}")


def _may_exhaust_memory(data: bytes) -> bool:
    """Whether something in a file, read as an opcode, puts into a place of the memo far beyond it.

    Nine bytes could make the fast unpickler allocate 64 GB.
    """
    codes = np.frombuffer(data, np.uint8)
    long_puts = np.flatnonzero(codes[:-4] == ord("r"))
    places = np.ascontiguousarray(codes[long_puts[:, None] + np.arange(1, 5)]).view("<u4")
    return bool((places > len(data)).any()) or _LONG_PUT.search(data) is not None


def read_published_pickle(path: str | Path) -> dict[str, Any]:
    """Read one dictionary pickle of the published package.

    Only dict, str, int, float and numpy scalars are admitted. No class or function named in the
    file is ever imported or called: numpy's scalar constructor is replaced by one of ours.

    Args:
        path: a pickle such as `token_dictionary_gc30M.pkl`.

    Returns:
        A dict from str to str, int or float (numpy scalars become Python numbers).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is a Git-LFS pointer, is truncated, is no pickle, names anything
            that is not admitted, or holds something else than such a dict.
    """
    path = Path(path)
    content = _plain_content(path, "dictionary", "dict, str, int, float and numpy scalars")
    if type(content) is not dict:
        raise ValueError(f"{path} holds a {type(content).__name__}; expected a dictionary")
    for key, value in content.items():
        if type(key) is not str or type(value) not in (str, int, float):
            raise ValueError(
                f"{path} maps a {type(key).__name__} to a {type(value).__name__} "
                f"({key!r}); expected str to str, int or float"
            )
    return content


def read_published_classes(path: str | Path) -> list[str]:
    """Read the names of a classifier's classes, pickled beside it as `*_id_class_dict.pkl`.

    Nothing that the file names is imported or called, as in `read_published_pickle`.

    Args:
        path: a pickle of a dictionary from a class's number to its name.

    Returns:
        Names in the order of the classifier's scores.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such pickle, or its numbers are not 0, 1, 2 ...
    """
    path = Path(path)
    content = _plain_content(path, "dictionary", "dict, str, int, float and numpy scalars")
    return _names_by_number(path, "", content)


def read_published_tasks(path: str | Path) -> dict[str, list[str]]:
    """Read the classes of each task of a multi-task model, pickled as `task_label_mappings*.pkl`.

    Nothing that the file names is imported or called, as in `read_published_pickle`.

    Args:
        path: a pickle of a dictionary from task to a dictionary from class to its number.

    Returns:
        For each task, in the order of the model's heads, names in the order of its scores.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such pickle, or a task's numbers are not 0, 1, 2 ...
    """
    path = Path(path)
    content = _plain_content(path, "dictionary", "dict, str, int, float and numpy scalars")
    if type(content) is not dict or not all(type(one) is dict for one in content.values()):
        raise ValueError(f"{path} holds no dictionary of dictionaries; expected one for each task")
    return {
        str(task): _names_by_number(
            path, f" for task {task!r}", {number: name for name, number in classes.items()}
        )
        for task, classes in content.items()
    }


def _names_by_number(path: Path, where: str, content: Any) -> list[str]:
    plain = type(content) is dict and all(
        type(number) is int and type(name) in (str, int, float, bool)
        for number, name in content.items()
    )
    if not plain or sorted(content) != list(range(len(content))):
        raise ValueError(
            f"{path} holds{where} no dictionary of classes numbered 0, 1, 2 ...; expected names by "
            "number"
        )
    return [str(content[number]) for number in range(len(content))]


def read_published_lengths(path: str | Path) -> np.ndarray:
    """Read the pickled list of cell lengths that is published beside a dataset.

    Only list, int and numpy integers are admitted, in the same way as in `read_published_pickle`.

    Args:
        path: a pickle such as `genecorpus_30M_2048_lengths.pkl`.

    Returns:
        int64 array, shape (cells,).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is a Git-LFS pointer, is truncated, is no pickle, names anything
            that is not admitted, or holds something else than a list of integers.
    """
    path = Path(path)
    content = _plain_content(path, "list", "list, int and numpy integers")
    if type(content) is not list:
        raise ValueError(f"{path} holds a {type(content).__name__}; expected a list of lengths")
    kinds = set(map(type, content))
    if kinds - {int}:
        wrong = next(i for i, value in enumerate(content) if type(value) is not int)
        raise ValueError(
            f"{path} holds a {type(content[wrong]).__name__} at {wrong} ({content[wrong]!r}); "
            "expected integers, the length of each cell"
        )
    if content and not 0 <= min(content) <= max(content) < 2**31:
        raise ValueError(
            f"{path} holds lengths from {min(content)} to {max(content)}; expected 0 or more"
        )
    return np.array(content, dtype=np.int64)


def _plain_content(path: Path, kind: str, admitted: str) -> Any:
    """What a pickle holds; refuses to load anything but plain values."""
    data = path.read_bytes()
    if data.startswith(_LFS_POINTER):
        raise ValueError(
            f"{path} is a Git-LFS pointer, not the {kind} it stands for: run `git lfs pull` "
            "in the clone it comes from, or download the file itself"
        )
    if not data:
        raise ValueError(f"{path} is empty (0 bytes); expected a pickled {kind}")
    kind_of_unpickler = _SparingUnpickler if _may_exhaust_memory(data) else _PlainUnpickler
    unpickler = kind_of_unpickler(io.BytesIO(data))
    unpickler.admitted = admitted
    try:
        return unpickler.load()
    except pickle.UnpicklingError as error:
        if "truncated" in str(error) or "exhausted" in str(error):
            raise ValueError(_incomplete(path, data)) from error
        raise ValueError(f"refused to load {path}: {error}") from error
    except EOFError as error:
        raise ValueError(_incomplete(path, data)) from error
    # A file that is no pickle at all can fail in any way an opcode can.
    except Exception as error:
        raise ValueError(
            f"{path} is not a pickled {kind} (it starts with {data[:16]!r}): {error}"
        ) from error


def _incomplete(path: Path, data: bytes) -> str:
    return f"{path} is truncated: the pickle stops after {len(data)} bytes; fetch it again"
