"""The names of a published classifier's classes, from the files people keep them in."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from keras_geneformer.tokenization.genes.published_pickles import (
    read_published_classes,
    read_published_tasks,
)

_Names = TypeVar("_Names")


def read_classes(path: str | os.PathLike[str]) -> list[str]:
    """The names of a classifier's classes.

    Args:
        path: a .pkl of the published package (`*_id_class_dict.pkl`), which is read without running
            anything in it; a .json with a list of names, or an object from number to name; or a
            .csv with a column `class`, and `id` where the rows are in another order.

    Returns:
        Names in the order of the scores.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no such names.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "classes.json"
        >>> _ = path.write_text('{"1": "T cell", "0": "B cell"}')
        >>> read_classes(path)
        ['B cell', 'T cell']
    """
    path = Path(path)
    if path.suffix == ".pkl":
        return read_published_classes(path)
    if path.suffix == ".json":
        content = _json(path)
    elif path.suffix == ".csv":
        content = _csv(path)
    else:
        raise ValueError(f"Received classes={str(path)!r}; expected a .pkl, .json or .csv file.")
    return _names(path, content)


def read_tasks(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """The names of the classes of each task of a multi-task model.

    Args:
        path: a .pkl of the published package (`task_label_mappings*.pkl`), which is read without
            running anything in it; or a .json with an object from task to list of names.

    Returns:
        For each task, in the order of the model's heads, names in the order of its scores.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no such names.

    Example:
        `read_tasks("task_label_mappings_val.pkl")`
    """
    path = Path(path)
    if path.suffix == ".pkl":
        return read_published_tasks(path)
    if path.suffix != ".json":
        raise ValueError(f"Received tasks={str(path)!r}; expected a .pkl or .json file.")
    content = _json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}; expected names for each task.")
    return {task: _names(path, classes) for task, classes in content.items()}


def classes_beside(directory: str | os.PathLike[str]) -> list[str] | None:
    """The names in a directory's `*_id_class_dict.pkl`; None where there is none."""
    return _beside(Path(directory), "*_id_class_dict.pkl", read_published_classes, "classes")


def tasks_beside(directory: str | os.PathLike[str]) -> dict[str, list[str]] | None:
    """The names in a directory's `task_label_mappings*.pkl`; None where there is none."""
    return _beside(Path(directory), "task_label_mappings*.pkl", read_published_tasks, "tasks")


def _beside(
    directory: Path, pattern: str, read: Callable[[Path], _Names], argument: str
) -> _Names | None:
    paths = sorted(directory.glob(pattern))
    found = [read(path) for path in paths]
    if any(one != found[0] for one in found):
        raise ValueError(
            f"{directory} holds {len(paths)} files of names that differ: "
            f"{', '.join(path.name for path in paths)}. Say which with {argument}=."
        )
    return found[0] if found else None


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}).") from error


def _csv(path: Path) -> Any:
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or "class" not in rows[0]:
        raise ValueError(f"{path} has no column 'class'; expected the names of the classes in it.")
    if "id" in rows[0]:
        return {row["id"]: row["class"] for row in rows}
    return [row["class"] for row in rows]


def _names(path: Path, content: Any) -> list[str]:
    if isinstance(content, dict):
        numbers = [str(number) for number in range(len(content))]
        content = [content.get(number) for number in numbers]
    if not isinstance(content, list) or not all(isinstance(name, str) for name in content):
        raise ValueError(
            f"{path} does not name classes numbered 0, 1, 2 ...; expected a list of names, or "
            "names by number."
        )
    return content
