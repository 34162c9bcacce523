"""What cells are to be told apart by in several ways at once, from several obs columns."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_geneformer.training.finetuning.labels import CellLabels, obs_column
from keras_geneformer.training.finetuning.splitting import CellSplit, split_cells


@dataclass(frozen=True)
class TaskLabels:
    """Labels of those cells of a dataset that have one for any of the tasks."""

    names: dict[str, list[str]]
    """The classes of each task, in alphabetical order."""
    values: np.ndarray
    """(cells, tasks) int32 class of each cell, from 0; -1 where it has no label."""
    rows: np.ndarray
    """(cells,) their places in the dataset, ascending."""


def read_task_labels(cells: Any, label_keys: Sequence[str]) -> TaskLabels:
    """Labels from several obs columns, a task each.

    Args:
        cells: a `CellDataset`.
        label_keys: the columns. A cell without a label in some (NaN, None, empty text) counts for
            the others; one without any is left out, with a warning.

    Returns:
        The labels.

    Raises:
        ValueError: fewer than two columns, one that is not there or is named twice; a column with
            one class only, or a class with one cell.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset
        >>> labels = read_task_labels(synthetic_dataset(40), ["cell_type", "donor"])
        >>> labels.names["cell_type"], labels.values.shape
        (['B cell', 'T cell', 'monocyte'], (40, 2))
    """
    keys = [label_keys] if isinstance(label_keys, str) else [str(key) for key in label_keys]
    if len(keys) < 2 or len(set(keys)) != len(keys):
        raise ValueError(
            f"Received label_keys={label_keys!r}; expected two or more obs columns, each named "
            "once (finetune_cells learns one)."
        )
    values = np.full((len(cells), len(keys)), -1, dtype=np.int32)
    names: dict[str, list[str]] = {}
    for number, key in enumerate(keys):
        column = obs_column(cells, key)
        labelled = (column.notna() & column.astype(str).str.strip().ne("")).to_numpy(dtype=bool)
        if not labelled.any():
            raise ValueError(f"No cell has a label in obs[{key!r}].")
        text = column[labelled].astype(str).to_numpy(dtype=str)
        classes, codes, counts = np.unique(text, return_inverse=True, return_counts=True)
        if len(classes) < 2:
            raise ValueError(
                f"All labelled cells are of one class ({str(classes[0])!r} in obs[{key!r}]): a "
                "task needs two at least."
            )
        if counts.min() < 2:
            raise ValueError(
                f"Only one cell is of class {classes[counts.argmin()]} in obs[{key!r}]: a class "
                "needs two cells at least. Drop the class or merge it with another."
            )
        values[labelled, number] = codes
        names[key] = classes.tolist()
    taking_part = (values >= 0).any(axis=1)
    if not taking_part.all():
        warnings.warn(
            f"{int((~taking_part).sum())} of {len(cells)} cells have no label in any of "
            f"{', '.join(map(repr, keys))} and are left out.",
            stacklevel=3,
        )
    return TaskLabels(names, values[taking_part], np.flatnonzero(taking_part))


def split_task_cells(
    cells: Any,
    labels: TaskLabels,
    *,
    validation: Any = 0.1,
    test: Any = None,
    group_key: str | None = None,
    seed: int = 0,
) -> CellSplit:
    """Split cells with labels of several tasks, as `splitting.split_cells` does those of one.

    Shares of the cells are taken of every combination of labels alike.

    Raises:
        ValueError: as there; or a class of a task has no cell to train on.
    """
    by_share = group_key is None and all(
        part is None or isinstance(part, (float, int)) for part in (validation, test)
    )
    # One cell to train on, and one for each part that is held out.
    codes = _strata(labels.values, 1 + sum(part is not None for part in (validation, test)))
    as_one = CellLabels(
        "single-label" if by_share else "multi-label",
        [str(number) for number in range(codes.max() + 1)],
        codes if by_share else np.zeros((len(codes), 1), dtype=np.float32),
        labels.rows,
    )
    split = split_cells(
        cells, as_one, validation=validation, test=test, group_key=group_key, seed=seed
    )
    for number, (task, classes) in enumerate(labels.names.items()):
        trained = set(labels.values[split.train, number])
        for code, name in enumerate(classes):
            if code not in trained:
                raise ValueError(
                    f"No training cell is of class {name} in obs[{task!r}]: all its cells are held "
                    "out. Hold out others, or drop the class."
                )
    return split


def _strata(values: np.ndarray, least: int = 2) -> np.ndarray:
    """(cells,) int32 combination of labels, those of fewer than `least` cells being one together.

    Where even these are fewer, they go with the commonest.
    """
    _, codes, counts = np.unique(values, axis=0, return_inverse=True, return_counts=True)
    codes = codes.reshape(-1)
    few = counts[codes] < least
    if few.any():
        codes[few] = codes[few][0] if few.sum() >= least else counts.argmax()
    return np.unique(codes, return_inverse=True)[1].astype(np.int32)
