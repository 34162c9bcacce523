"""Hyper-parameters from a grid, chosen within the training cells of a fold."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_geneformer.evaluation.fold_scores import finetuned_predictions
from keras_geneformer.evaluation.folds import Fold, make_folds
from keras_geneformer.evaluation.labelled_cells import LabelledCells, check_settings
from keras_geneformer.training.metrics import classification_metrics

OBJECTIVE = "inner_macro_f1"


def grid_points(
    grid: Mapping[str, Sequence[Any]] | None, settings: Mapping[str, Any], seed: int
) -> list[dict[str, Any]]:
    """All combinations of a grid, in its order, the last name fastest.

    Args:
        grid: values to try of each setting.
        settings: the others.
        seed: of everything drawn.

    Raises:
        ValueError: a setting without values, or fixed as well, or a combination that cannot be.

    Example:
        >>> grid_points({"learning_rate": [1e-3, 1e-4], "freeze_layers": [0]}, {}, 0)[1]
        {'learning_rate': 0.0001, 'freeze_layers': 0}
    """
    if grid is None:
        return []
    for name, values in grid.items():
        if isinstance(values, str) or not isinstance(values, Sequence) or not len(values):
            raise ValueError(f"The grid has {name}: {values!r}; expected a list of values to try.")
        if name in settings:
            raise ValueError(
                f"{name} is in the grid and fixed to {settings[name]!r} as well: give it once."
            )
    points = [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
    for point in points:
        check_settings({**settings, **point}, seed)
    return points


def inner_folds_of(
    chosen: LabelledCells, folds: list[Fold], number: int, stratified: bool, seed: int
) -> list[list[Fold]]:
    """Folds within the training cells of each fold; rows are those of all cells.

    A class with few cells may be in none of an inner fold's training cells: its cells then count as
    mislabelled, for every combination alike. With groups the inner folds are of groups, as many as
    there are where they are fewer than `number`.

    Raises:
        ValueError: see `make_folds`.
    """
    inner = []
    for training, _ in folds:
        labels, groups = chosen.labels[training], chosen.groups_of(training)
        possible = number if groups is None else min(number, len(np.unique(groups)))
        rare = np.unique(labels, return_counts=True)[1].min() < possible
        made = make_folds(
            labels,
            groups,
            max(possible, 2),
            stratified=stratified and (groups is not None or not rare),
            seed=seed,
            allow_unlearnable=True,
        )
        inner.append([(training[train], training[test]) for train, test in made])
    return inner


def best_point(
    model: Any,
    chosen: LabelledCells,
    label_key: str,
    folds: list[Fold],
    points: list[dict[str, Any]],
    settings: dict[str, Any],
    *,
    seed: int,
    progress: bool,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The combination with the best mean macro-F1 over inner folds (of equals the first).

    Returns:
        The combination, and all of them, each with `inner_macro_f1`.
    """
    tried = []
    for point in points:
        scores = []
        for fold in folds:
            said = finetuned_predictions(
                model,
                chosen,
                label_key,
                fold,
                seed=seed,
                progress=progress,
                settings={**settings, **point, "calibrate": False},
            )
            labels = said["label"].astype(str).to_numpy(dtype=str)
            scores.append(classification_metrics(chosen.labels[fold[1]], labels)["macro_f1"])
        tried.append({**point, OBJECTIVE: float(np.mean(scores))})
    best = max(range(len(points)), key=lambda number: (tried[number][OBJECTIVE], -number))
    return points[best], tried
