"""Which labelled cells train, which validate and which test."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_geneformer.training.finetuning.labels import CellLabels, obs_column
from keras_geneformer.training.splits import split_by_cell, split_by_group


@dataclass(frozen=True)
class CellSplit:
    """Places in `CellLabels` (not in the dataset), ascending; no two have one in common."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_cells(
    cells: Any,
    labels: CellLabels,
    *,
    validation: Any = 0.1,
    test: Any = None,
    group_key: str | None = None,
    seed: int = 0,
) -> CellSplit:
    """Split labelled cells.

    Validation and test are each given as

    - a share of the cells: of every class as many (single-label), or with `group_key` whole groups
      until the share is reached;
    - an obs column (donor, batch), of which whole groups are held out, about a tenth of the cells;
    - `{column: values}`: the cells with these values;
    - a list of cell names, which is the index of obs.

    The test cells are taken first.

    Args:
        cells: the `CellDataset`.
        labels: from `read_labels`.
        validation: what chooses the epoch; a split without it has an empty one.
        test: what is looked at once, at the end; None for none.
        group_key: obs column of which no value may be on both sides of any division.
        seed: of the draws.

    Raises:
        ValueError: a cell is named twice, or to be in two parts; a group is in two parts; a class
            has no cell to train on; no cell is left in a part; a name that no cell has.
    """
    everything = np.arange(len(labels.rows))
    groups = None
    if group_key is not None:
        groups = group_names(cells, labels, group_key)
    tested = _held(cells, labels, everything, test, "test", groups, group_key, seed)
    rest = np.setdiff1d(everything, tested)
    validated = _held(cells, labels, rest, validation, "validation", groups, group_key, seed)
    train = np.setdiff1d(rest, validated)
    split = CellSplit(train, validated, tested)
    _check(split, labels, groups, group_key)
    return split


def group_names(cells: Any, labels: CellLabels, column: str) -> np.ndarray:
    """The group of each labelled cell, as text.

    Raises:
        ValueError: there is no such column, or a cell has no group.
    """
    groups = obs_column(cells, column, " to split by").iloc[labels.rows]
    if groups.isna().any():
        raise ValueError(
            f"{int(groups.isna().sum())} cells have no group in obs[{column!r}]: drop them, or "
            "name their group."
        )
    return groups.astype(str).to_numpy(dtype=str)


def _held(
    cells: Any,
    labels: CellLabels,
    among: np.ndarray,
    wanted: Any,
    part: str,
    groups: np.ndarray | None,
    group_key: str | None,
    seed: int,
) -> np.ndarray:
    """Places of the cells that one part is to have."""
    if wanted is None:
        return np.empty(0, dtype=np.int64)
    classes = labels.values if labels.task == "single-label" else np.zeros(len(labels.rows), int)
    names = classes if labels.task != "single-label" else np.asarray(labels.text)
    if isinstance(wanted, str):
        own = group_names(cells, labels, wanted)
        _check_alone(names)
        return among[split_by_group(names[among], own[among], seed=seed)[1]]
    if isinstance(wanted, Mapping):
        held = np.ones(len(labels.rows), dtype=bool)
        for column, values in wanted.items():
            found = group_names(cells, labels, column)
            chosen = {str(values)} if np.isscalar(values) else {str(value) for value in values}
            absent = sorted(chosen - set(found))
            if absent:
                raise ValueError(
                    f"No labelled cell has {', '.join(map(repr, absent))} in obs[{column!r}], "
                    f"which {part} names."
                )
            held &= np.isin(found, sorted(chosen))
        if not held.any():
            raise ValueError(f"No labelled cell has all that {part} names ({dict(wanted)}).")
        return _left(np.flatnonzero(held), among, part)
    if isinstance(wanted, (float, int)):
        share = float(wanted)
        if groups is not None:
            return among[split_by_group(names[among], groups[among], share, seed)[1]]
        _check_enough(names, among)
        return among[split_by_cell(names[among], share, seed)[1]]
    return _left(_named(cells, labels, list(wanted), part), among, part)


def _named(cells: Any, labels: CellLabels, wanted: list, part: str) -> np.ndarray:
    index = cells.obs.index
    if not index.is_unique:
        twice = index[index.duplicated()][0]
        raise ValueError(
            f"Two cells are called {twice!r}, so that names do not say which one {part} means: "
            "give obs an index of unique names."
        )
    names = [str(name) for name in wanted]
    if not names:
        raise ValueError(f"{part} names no cell: name some, or pass None.")
    if len(set(names)) != len(names):
        raise ValueError(f"{part} names {len(names) - len(set(names))} cells twice.")
    places = dict(zip(index[labels.rows].astype(str), range(len(labels.rows))))
    absent = [name for name in names if name not in places]
    if absent:
        raise ValueError(
            f"{len(absent)} of the {len(names)} cells that {part} names are not among the labelled "
            f"cells, {absent[0]!r} for one."
        )
    return np.array(sorted(places[name] for name in names), dtype=np.int64)


def _left(held: np.ndarray, among: np.ndarray, part: str) -> np.ndarray:
    both = np.setdiff1d(held, among)
    if len(both):
        raise ValueError(
            f"{len(both)} cells are to be in {part} and in test: a cell that chooses the model "
            "cannot test it. Take them out of one."
        )
    return held


def _check_enough(names: np.ndarray, among: np.ndarray) -> None:
    """Refuse a share for validation of a class that has one cell left beside those of test."""
    found, counts = np.unique(names[among], return_counts=True)
    short = found[counts.argmin()]
    if counts.min() < 2 <= (names == short).sum():
        raise ValueError(
            f"Of class {short} one cell is left beside those of test: a class needs one to train "
            "on and one to validate on. Drop the class, merge it with another, or hold out fewer."
        )


def _check_alone(names: np.ndarray) -> None:
    found, counts = np.unique(names, return_counts=True)
    if counts.min() < 2:
        raise ValueError(
            f"Only one cell is of class {found[counts.argmin()]}: a class needs two cells at "
            "least. Drop the class or merge it with another."
        )


def _check(
    split: CellSplit, labels: CellLabels, groups: np.ndarray | None, group_key: str | None
) -> None:
    if not len(split.train):
        raise ValueError("No cell is left to train on: hold out fewer.")
    if labels.task == "single-label":
        trained = np.bincount(labels.values[split.train], minlength=len(labels.names))
        if trained.min() == 0:
            raise ValueError(
                f"No training cell is of class {labels.names[int(trained.argmin())]}: all its "
                "cells are held out. Hold out others, or drop the class."
            )
    if groups is None:
        return
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        common = sorted({*groups[parts[one]].tolist()} & {*groups[parts[other]].tolist()})
        if common:
            raise ValueError(
                f"Cells of {', '.join(map(repr, common[:3]))} in obs[{group_key!r}] are in {one} "
                f"and in {other}: what is learnt of a group would be tested on it. Hold out whole "
                "groups."
            )
