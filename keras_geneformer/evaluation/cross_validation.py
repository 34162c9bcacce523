"""Cross-validation of fine-tuning."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from keras_geneformer.evaluation.fold_scores import (
    GENEFORMER,
    finetuned_predictions,
    joined_predictions,
    scored_fold,
    summary_of_folds,
)
from keras_geneformer.evaluation.fold_store import FoldStore, checksum
from keras_geneformer.evaluation.folds import Fold, make_folds
from keras_geneformer.evaluation.grid import OBJECTIVE, best_point, grid_points, inner_folds_of
from keras_geneformer.evaluation.labelled_cells import check_settings, labelled_cells
from keras_geneformer.models.backbone_of import backbone_of


@dataclass(frozen=True)
class CrossValidation:
    """What cross-validation finds."""

    table: pd.DataFrame
    """A row a fold: `method`, `fold` (from 1), `accuracy`, `macro_f1`, `cells` (tested),
    `training_cells`, `seconds`; `held_out` with groups; with a grid the settings chosen and their
    `inner_macro_f1`."""
    predictions: pd.DataFrame
    """A row a tested cell (and repeat): `cell`, `method`, `fold`, `true`, `label`,
    `prob_<class>`."""
    summary: pd.DataFrame
    """A row for `accuracy` and for `macro_f1`: `mean`, `sd`, `low`, `high` over folds; `pooled`,
    `cells_low`, `cells_high` over cells. Intervals are of 95 %, by bootstrap."""
    folds: list[Fold]
    """Training and test rows of each fold, among the labelled cells."""
    search: pd.DataFrame
    """With a grid, a row for each fold and combination: `fold`, the settings, `inner_macro_f1`."""


def cross_validate(
    model_or_preset: Any,
    cells: Any,
    label_key: str,
    *,
    folds: int | str = 5,
    group_key: str | None = None,
    stratified: bool = True,
    repeats: int = 1,
    grid: Mapping[str, Sequence[Any]] | None = None,
    inner_folds: int = 3,
    keep: Mapping[str, Any] | None = None,
    rare_threshold: float = 0.0,
    max_cells: int | None = None,
    output: str | os.PathLike | None = None,
    seed: int = 0,
    progress: bool = True,
    **settings: Any,
) -> CrossValidation:
    """Fine-tune on the training cells of each fold, and label its test cells.

    The test cells choose nothing: the epoch that is kept is the best on `validation`, a share of
    the training cells, and a grid is searched on folds of the training cells (nested
    cross-validation). Global random seeds are set from `seed`.

    Picture: `kg.plotting.fold_scores`, `confusion_matrix`, `reliability_diagram`.

    Args:
        model_or_preset: a `GeneformerBackbone`, a model on one, or the name or directory of a
            preset. It is not changed.
        cells: a `CellDataset`.
        label_key: column of `cells.obs` with the classes; cells without one are left out.
        folds: how many; or `"leave-one-out"`: each group of `group_key` once. See `make_folds` for
            the rules of rare classes.
        group_key: column of `cells.obs` (donor, batch) of which no value is on both sides.
        stratified: every fold has about the same share of each class.
        repeats: how many times all cells are split anew.
        grid: values to try of some settings, for example
            `{"learning_rate": [1e-4, 1e-3], "freeze_layers": [0, 2]}`.
        inner_folds: folds of the training cells for the grid, by group with `group_key`.
        keep, rare_threshold, max_cells: which cells take part, as for `finetune_cells`.
        output: a directory to write: folds.csv, summary.csv, predictions.csv, with a grid
            search.csv, and a file of each fold. A run that was ended goes on at the next fold.
        seed: of the folds and of fine-tuning.
        progress: show a bar.
        **settings: how to train, as for `finetune_cells` (`validation`, `epochs`,
            `learning_rate`, `loss`, ...).

    Returns:
        Scores, predictions and a summary.

    Raises:
        ValueError: see `make_folds` and `finetune_cells`; or `output` holds a run of other cells,
            folds, model or settings.
        FileExistsError: `output` holds something else.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> found = cross_validate(
        ...     tiny_backbone(num_layers=1), synthetic_dataset(30), "cell_type", folds=2,
        ...     batch_size=8, progress=False,
        ... )
        >>> found.table["cells"].tolist(), len(found.predictions)
        ([15, 15], 30)
    """
    check_settings(settings, seed)
    points = grid_points(grid, settings, seed)
    chosen = labelled_cells(
        cells,
        label_key,
        group_key,
        keep=keep,
        rare_threshold=rare_threshold,
        max_cells=max_cells,
        seed=seed,
    )
    options: dict[str, Any] = {"stratified": stratified, "repeats": repeats, "seed": seed}
    made = make_folds(chosen.labels, chosen.groups, folds, **options)
    nested: list[list[Fold]] = []
    if points:
        nested = inner_folds_of(chosen, made, inner_folds, stratified, seed)
    given = backbone_of(model_or_preset)
    run: dict[str, Any] = {"what": "cross-validation", "seed": seed}
    run |= {"label_key": label_key, "group_key": group_key}
    run |= {"cells": chosen.checksum(), "folds": folds, **options}
    run |= {"model": model_checksum(given), "grid": grid, "settings": settings}
    store = FoldStore(output, run | ({"inner_folds": inner_folds} if points else {}))

    rows, parts, tried = [], [], []
    for number, fold in enumerate(tqdm(made, "folds", disable=not progress), start=1):
        found = store.load(GENEFORMER, number)
        if found is None:
            point: dict[str, Any] = {}
            search: list[dict[str, Any]] = []
            if points:
                point, search = best_point(
                    given,
                    chosen,
                    label_key,
                    nested[number - 1],
                    points,
                    settings,
                    seed=seed,
                    progress=progress,
                )

            def finetuned(fold: Fold = fold, point: dict[str, Any] = point) -> pd.DataFrame:
                own = {**settings, **point}
                return finetuned_predictions(
                    given, chosen, label_key, fold, seed=seed, progress=progress, settings=own
                )

            row, predictions = scored_fold(GENEFORMER, number, chosen, fold, finetuned)
            if points:
                row |= point | {OBJECTIVE: max(one[OBJECTIVE] for one in search)}
            found = {"row": row, "search": search}, predictions
            store.save(GENEFORMER, number, *found)
        rows.append(found[0]["row"])
        tried += [{"fold": number, **one} for one in found[0]["search"]]
        parts.append(found[1])
        store.write_table("folds", pd.DataFrame(rows), complete=number == len(made))
    table, predictions = pd.DataFrame(rows), joined_predictions(parts)
    summary = summary_of_folds(table, predictions, len(made) // repeats)
    store.write_table("predictions", predictions)
    store.write_table("summary", summary)
    if points:
        store.write_table("search", pd.DataFrame(tried))
    return CrossValidation(table, predictions, summary, made, pd.DataFrame(tried))


def model_checksum(backbone: Any) -> str:
    """One for the weights of a backbone."""
    return checksum(*backbone.get_weights())
