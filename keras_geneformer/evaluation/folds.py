"""Folds: which cells train and which test, each cell tested once."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    StratifiedGroupKFold,
    StratifiedKFold,
)

LEAVE_ONE_OUT = "leave-one-out"
"""As `folds`: each group is held out once."""

Fold = tuple[np.ndarray, np.ndarray]


def make_folds(
    labels: Any,
    groups: Any = None,
    folds: int | str = 5,
    *,
    stratified: bool = True,
    repeats: int = 1,
    seed: int = 0,
    allow_unlearnable: bool = False,
) -> list[Fold]:
    """Folds of scikit-learn's splitters, with what goes wrong in silence there refused.

    Without groups the splitters are `StratifiedKFold` (which the published package has) or `KFold`,
    shuffled; with groups `StratifiedGroupKFold`, `GroupKFold`, or `LeaveOneGroupOut` in the order
    of the groups' names. No group is ever on both sides.

    The rule for rare classes: where a fold tests a class, two cells of it at least are among the
    fold's training cells (one to learn from, one to validate on). A fold in which a class is not
    tested is no error: its score is over the classes that occur, truly or as predicted.
    So a class needs three cells, and one of fewer cells than folds is tested in as many folds as
    it has cells.

    Args:
        labels: (cells,) class of every cell, none missing.
        groups: (cells,) group of every cell (donor, batch), none missing; None to split by cell.
        folds: how many, 2 or more; or `"leave-one-out"`, a fold for each group.
        stratified: every fold has about the same share of each class.
        repeats: how many times all cells are split anew, with the seeds `seed`, `seed + 1`, ...
        seed: of the shuffling.
        allow_unlearnable: keep folds against the rule for rare classes.

    Returns:
        Training and test rows of each fold, ascending; in each repeat every row is tested once.

    Raises:
        ValueError: labels or groups are missing or of another length; fewer cells of every class,
            or fewer groups, than folds; one group; a fold against the rule for rare classes;
            options that contradict each other.

    Example:
        >>> folds = make_folds(["B", "T"] * 10, folds=5)
        >>> [len(test) for train, test in folds]
        [4, 4, 4, 4, 4]
    """
    labels = _complete(labels, "labels")
    if groups is not None:
        groups = _complete(groups, "groups")
        if len(groups) != len(labels):
            raise ValueError(
                f"There are {len(groups)} groups for {len(labels)} labels; expected one each."
            )
    if repeats < 1:
        raise ValueError(f"Received repeats={repeats}; expected 1 or more.")
    _check_number(labels, groups, folds, stratified, repeats)
    made: list[Fold] = []
    for repeat in range(repeats):
        splitter = _splitter(groups is not None, folds, stratified, seed + repeat)
        with warnings.catch_warnings():
            # Of classes in fewer groups than folds; what that leads to is checked below.
            warnings.simplefilter("ignore", UserWarning)
            made += list(splitter.split(labels, labels, groups))
    _check_folds(made, labels, groups, allow_unlearnable)
    return made


def held_groups(fold: Fold, groups: Any) -> str:
    """Names of the groups that a fold tests, with commas between them.

    Example:
        >>> held_groups(([0, 1], [2, 3]), ["d1", "d1", "d3", "d2"])
        'd2, d3'
    """
    return ", ".join(np.unique(np.asarray(groups).astype(str)[np.asarray(fold[1])]))


def _complete(values: Any, what: str) -> np.ndarray:
    column = pd.Series(np.asarray(values, dtype=object))
    missing = int(column.isna().sum())
    if missing:
        raise ValueError(
            f"{missing} of {len(column)} cells have no value among the {what}: leave these cells "
            "out first."
        )
    return column.astype(str).to_numpy(dtype=str)


def _check_number(
    labels: np.ndarray, groups: np.ndarray | None, folds: int | str, stratified: bool, repeats: int
) -> None:
    if isinstance(folds, str):
        if folds != LEAVE_ONE_OUT:
            raise ValueError(
                f"Received folds={folds!r}; expected a number, or {LEAVE_ONE_OUT!r} with groups."
            )
        if groups is None:
            raise ValueError(
                f"folds={LEAVE_ONE_OUT!r} leaves out one group at a time, and there are no groups: "
                "give group_key, or a number of folds."
            )
    elif folds < 2:
        raise ValueError(f"Received folds={folds}; expected 2 or more, or {LEAVE_ONE_OUT!r}.")
    if repeats > 1 and (folds == LEAVE_ONE_OUT or (groups is not None and not stratified)):
        raise ValueError(
            f"Received repeats={repeats} with folds that no seed changes: expected repeats=1 when "
            "one group at a time is left out, and for groups without stratified=True."
        )
    if groups is not None:
        names = np.unique(groups)
        if len(names) < 2:
            raise ValueError(
                f"All cells are of one group ({str(names[0])!r}): to test on groups that were not "
                "trained on there must be two."
            )
        if not isinstance(folds, str) and len(names) < folds:
            raise ValueError(
                f"There are {len(names)} groups for {folds} folds: take {len(names)} folds at "
                f"most, or folds={LEAVE_ONE_OUT!r}."
            )
    elif not isinstance(folds, str):
        classes, counts = np.unique(labels, return_counts=True)
        # Three cells leave two to train on; StratifiedKFold itself wants one class of all folds.
        few = counts < (3 if counts.max() >= folds else folds)
        if stratified and few.any():
            named = ", ".join(f"{name} ({count})" for name, count in zip(classes[few], counts[few]))
            fewer = f", or take {counts.max()} folds" if 2 < counts.max() < folds else ""
            raise ValueError(
                f"Too few cells for {folds} folds are of class {named}: drop the class, or merge "
                f"it with another{fewer}."
            )
        if len(labels) < folds:
            raise ValueError(f"There are {len(labels)} cells for {folds} folds.")


def _splitter(grouped: bool, folds: int | str, stratified: bool, seed: int) -> Any:
    if isinstance(folds, str):
        return LeaveOneGroupOut()
    if grouped:
        if stratified:
            return StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        return GroupKFold(folds)
    kind = StratifiedKFold if stratified else KFold
    return kind(folds, shuffle=True, random_state=seed)


def _check_folds(
    folds: list[Fold], labels: np.ndarray, groups: np.ndarray | None, allow_unlearnable: bool
) -> None:
    for number, (training, test) in enumerate(folds, start=1):
        if len(test) == 0:
            raise ValueError(
                f"Fold {number} has no cell to test, because the groups differ much in size: take "
                "fewer folds, or stratified=False."
            )
        held = "" if groups is None else f" ({held_groups((training, test), groups)})"
        if groups is not None:
            both = np.intersect1d(groups[training], groups[test])
            if len(both):
                raise ValueError(f"Fold {number} trains and tests on the group {both[0]!r}.")
        if allow_unlearnable:
            continue
        known, counts = np.unique(labels[training], return_counts=True)
        left = dict(zip(known.tolist(), counts.tolist()))
        short = [str(name) for name in np.unique(labels[test]) if left.get(str(name), 0) < 2]
        if short:
            named = ", ".join(f"{name} ({left.get(name, 0)} left)" for name in short)
            raise ValueError(
                f"Fold {number}{held} tests a class of which fewer than two cells are left to "
                f"train on: {named}. Drop the class, merge it with another, or split otherwise."
            )
