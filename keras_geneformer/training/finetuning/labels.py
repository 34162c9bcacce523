"""What cells are to be told apart by, from obs columns."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class CellLabels:
    """Labels of those cells of a dataset that take part."""

    task: str
    """`"single-label"`, `"multi-label"` or `"regression"`."""
    names: list[str]
    """The classes, in alphabetical order; of a regression, its columns."""
    values: np.ndarray
    """Single-label: (cells,) int32, from 0; otherwise (cells, names) float32."""
    rows: np.ndarray
    """(cells,) their places in the dataset, ascending."""

    @property
    def text(self) -> np.ndarray:
        """(cells,) the class of each by name; of several labels, joined by `;`."""
        if self.task == "single-label":
            return np.asarray(self.names, dtype=str)[self.values]
        if self.task == "multi-label":
            return np.array(joined(self.values > 0.5, self.names), dtype=str)
        raise ValueError("Numbers are not classes.")


def read_labels(
    cells: Any,
    label_key: str | Sequence[str],
    *,
    task: str = "single-label",
    keep: Mapping[str, Any] | None = None,
    rare_threshold: float = 0.0,
    max_cells: int | None = None,
    seed: int = 0,
) -> CellLabels:
    """Labels of a dataset's cells.

    Args:
        cells: a `CellDataset`.
        label_key: the obs column. Multi-label: several columns of 0 and 1 (or of bool), or one of
            text in which a cell's labels are joined by `;`. Regression: one or several columns of
            numbers. Cells without a label (NaN, None, of single labels also empty text) are left
            out, with a warning. Labels are compared as text: 1 and "1" are one class.
        task: `"single-label"`, `"multi-label"` or `"regression"`.
        keep: the cells that take part: for each obs column named, a value or a list of them (the
            published package's `filter_data`).
        rare_threshold: classes with a smaller share of the labelled cells are left out, with a
            warning that names them (the published package's option, with which it crashes).
        max_cells: of each class at most so many cells, drawn by `seed`.
        seed: of that draw.

    Returns:
        The labels.

    Raises:
        ValueError: a column or value that is not there, no labelled cell, one class only, a column
            that holds no numbers.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset
        >>> labels = read_labels(synthetic_dataset(6), "cell_type", keep={"cell_type": ["B cell",
        ...     "T cell"]})
        >>> labels.names, labels.values.tolist(), labels.rows.tolist()
        (['B cell', 'T cell'], [0, 1, 0, 1], [0, 1, 3, 4])
    """
    taking_part = _kept(cells, keep)
    columns = [label_key] if isinstance(label_key, str) else list(label_key)
    if task == "single-label" and len(columns) > 1:
        raise ValueError(
            f"Received {len(columns)} label columns ({', '.join(columns)}) and "
            "task='single-label'; expected one column, or task='multi-label' or 'regression', or "
            "finetune_multitask, which learns several columns of classes at once."
        )
    for column in columns:
        obs_column(cells, column)
    frame = cells.obs[columns]
    labelled = frame.notna().all(axis=1).to_numpy()
    if task == "single-label":
        labelled &= frame[columns[0]].astype(str).str.strip().ne("").to_numpy(dtype=bool)
    said = " and ".join(f"obs[{column!r}]" for column in columns)
    if not (labelled & taking_part).any():
        raise ValueError(f"No cell has a label in {said}.")
    missing = int((taking_part & ~labelled).sum())
    if missing:
        warnings.warn(
            f"{missing} of {int(taking_part.sum())} cells have no label in {said} and are left "
            "out.",
            stacklevel=3,
        )
    if task != "single-label" and (rare_threshold or max_cells is not None):
        raise ValueError(
            f"Received rare_threshold={rare_threshold} and max_cells={max_cells} for "
            f"task={task!r}: they are of classes, of which a cell has one only in a single-label "
            "task. Leave them out."
        )
    rows = np.flatnonzero(taking_part & labelled)
    frame = frame.iloc[rows]
    if task == "regression":
        return CellLabels(task, columns, _numbers(frame), rows)
    if task == "multi-label":
        names, values = _several(frame)
        return CellLabels(task, names, values, rows)
    if task != "single-label":
        raise ValueError(
            f"Received task={task!r}; expected 'single-label', 'multi-label' or 'regression'."
        )
    text = frame[columns[0]].astype(str).to_numpy(dtype=str)
    chosen = _chosen(text, rare_threshold, max_cells, seed)
    classes, codes = np.unique(text[chosen], return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"All labelled cells are of one class ({str(classes[0])!r} in {said}): a "
            "classifier needs two at least."
        )
    return CellLabels(task, classes.tolist(), codes.astype(np.int32), rows[chosen])


def obs_column(cells: Any, column: str, why: str = "") -> pd.Series:
    """A column of obs.

    Raises:
        ValueError: there is none of that name; the message lists those that there are.
    """
    if column not in cells.obs:
        raise ValueError(
            f"The cells have no column {column!r} in obs{why}; it has "
            f"{', '.join(map(str, cells.obs.columns)) or 'no columns'}."
        )
    return cells.obs[column]


def joined(chosen: np.ndarray, names: Sequence[str]) -> list[str]:
    """The names chosen for each cell, from a boolean (cells, names), joined by `;`."""
    return [";".join(name for name, yes in zip(names, row) if yes) for row in chosen]


def _kept(cells: Any, keep: Mapping[str, Any] | None) -> np.ndarray:
    kept = np.ones(len(cells), dtype=bool)
    for column, values in (keep or {}).items():
        wanted = {str(values)} if np.isscalar(values) else {str(value) for value in values}
        found = obs_column(cells, column, " to keep cells by").astype(str)
        absent = sorted(wanted - set(found))
        if absent:
            raise ValueError(
                f"No cell has {', '.join(map(repr, absent))} in obs[{column!r}], which keep "
                f"names; it has {', '.join(sorted(set(found))[:12])}."
            )
        kept &= found.isin(wanted).to_numpy()
    if not kept.any():
        raise ValueError(f"No cell has all that keep names ({dict(keep or {})}).")
    return kept


def _chosen(
    text: np.ndarray, rare_threshold: float, max_cells: int | None, seed: int
) -> np.ndarray:
    """Rows of classes that are not too rare, of each class not too many."""
    if not 0 <= rare_threshold < 1:
        raise ValueError(
            f"Received rare_threshold={rare_threshold}; expected a share of the cells, from 0 up "
            "to, and not, 1."
        )
    if max_cells is not None and max_cells < 1:
        raise ValueError(f"Received max_cells={max_cells}; expected 1 or more, or None.")
    names, codes, counts = np.unique(text, return_inverse=True, return_counts=True)
    rare = counts < rare_threshold * len(text)
    if rare.all():
        raise ValueError(
            f"Every class has less than rare_threshold={rare_threshold} of the cells: lower it."
        )
    if rare.any():
        said = ", ".join(f"{name} ({count})" for name, count in zip(names[rare], counts[rare]))
        warnings.warn(
            f"Classes with less than {rare_threshold:g} of the cells are left out: {said}.",
            stacklevel=4,
        )
    rng = np.random.default_rng(seed)
    taken = []
    for number in np.flatnonzero(~rare):
        rows = np.flatnonzero(codes == number)
        taken.append(rows if max_cells is None else rng.permutation(rows)[:max_cells])
    return np.sort(np.concatenate(taken))


def _several(frame: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    """Names and 0 or 1 for each of them, from columns of these or from joined text."""
    if frame.shape[1] > 1:
        values = _numbers(frame)
        if not np.isin(values, (0, 1)).all():
            raise ValueError(
                f"The columns {', '.join(map(repr, frame.columns))} hold other values than 0 and "
                "1: of several label columns each says whether a cell has that label."
            )
        names = [str(name) for name in frame.columns]
    else:
        sets = [
            {part.strip() for part in text.split(";") if part.strip()}
            for text in frame.iloc[:, 0].astype(str)
        ]
        names = sorted(set().union(*sets))
        values = np.array([[name in own for name in names] for own in sets], dtype=np.float32)
    if len(names) < 2:
        raise ValueError(
            f"The cells have one label only ({', '.join(names)}): several are expected of "
            "task='multi-label'."
        )
    return names, values


def _numbers(frame: pd.DataFrame) -> np.ndarray:
    try:
        values = frame.astype(np.float32).to_numpy()
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The columns {', '.join(map(repr, frame.columns))} are to hold numbers: {error}."
        ) from error
    if not np.isfinite(values).all():
        raise ValueError(
            f"The columns {', '.join(map(repr, frame.columns))} hold infinite numbers: drop those "
            "cells."
        )
    return values
