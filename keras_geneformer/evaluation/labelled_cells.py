"""The cells that take part in an evaluation, with their classes and groups."""

import dataclasses
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_geneformer.evaluation.fold_store import checksum
from keras_geneformer.training.finetuning.labels import obs_column, read_labels
from keras_geneformer.training.finetuning.settings import FinetuneSettings

_SPLITTING = ("test", "group_key", "output", "vocabulary", "after_epoch")


@dataclass(frozen=True)
class LabelledCells:
    """Cells that have a label, and a group where groups are asked for."""

    cells: Any
    """A `CellDataset` of these cells alone."""
    labels: np.ndarray
    """Class of each, as text."""
    groups: np.ndarray | None
    """Group of each, as text; None without groups."""

    @property
    def names(self) -> np.ndarray:
        """Names of the cells, as text."""
        return self.cells.obs.index.astype(str).to_numpy(dtype=object)

    def groups_of(self, rows: np.ndarray) -> np.ndarray | None:
        """Groups of some of the cells."""
        return None if self.groups is None else self.groups[rows]

    def checksum(self) -> str:
        """One for the tokens, names, labels and groups."""
        groups = np.array([], dtype=str) if self.groups is None else self.groups
        return checksum(
            self.cells.token_ids, self.cells.offsets, self.names.astype(str), self.labels, groups
        )


def labelled_cells(
    cells: Any,
    label_key: str,
    group_key: str | None = None,
    *,
    keep: Mapping[str, Any] | None = None,
    rare_threshold: float = 0.0,
    max_cells: int | None = None,
    seed: int = 0,
    stacklevel: int = 3,
) -> LabelledCells:
    """The labelled cells of a dataset.

    Args:
        cells: a `CellDataset`.
        label_key: column of `cells.obs` with the classes; cells without one (NaN, None) are left
            out, with a warning that counts them.
        group_key: column of `cells.obs` with the groups, which every labelled cell must have.
        keep, rare_threshold, max_cells, seed: which cells take part, as for `finetune_cells`.
        stacklevel: of warnings.

    Raises:
        ValueError: no such column, no labelled cell, one class only, or a labelled cell without a
            group.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        labels = read_labels(
            cells,
            label_key,
            keep=keep,
            rare_threshold=rare_threshold,
            max_cells=max_cells,
            seed=seed,
        )
    for warning in said:
        warnings.warn(str(warning.message), stacklevel=stacklevel)
    groups = None
    if group_key is not None:
        column = obs_column(cells, group_key, " to split by").iloc[labels.rows]
        if column.isna().any():
            raise ValueError(
                f"{int(column.isna().sum())} labelled cells have no group in obs[{group_key!r}]: "
                "give them one, or leave them out."
            )
        groups = column.astype(str).to_numpy(dtype=str)
    chosen = cells if len(labels.rows) == len(cells) else cells.subset(labels.rows)
    return LabelledCells(chosen, labels.text, groups)


def check_settings(settings: Mapping[str, Any], seed: int) -> None:
    """Refuse settings of `finetune_cells` that cannot be, before any work is done.

    Args:
        settings: as keywords of `finetune_cells`, but for those that say which cells are held out
            and where results go.
        seed: of everything drawn.

    Raises:
        ValueError: names the setting.
    """
    if settings.get("task", "single-label") != "single-label":
        raise ValueError(
            f"Received task={settings['task']!r}; folds are scored by classes, one a cell: "
            "expected task='single-label'."
        )
    refused = [name for name in _SPLITTING if name in settings]
    if refused:
        raise ValueError(
            f"Received {', '.join(refused)}; the folds say which cells are tested, and no single "
            "model is written. Leave it out."
        )
    known = {field.name for field in dataclasses.fields(FinetuneSettings)}
    own = {name: value for name, value in settings.items() if name in known}
    unknown = sorted(settings.keys() - known - {"task", "validation", "calibrate"})
    if unknown:
        raise ValueError(
            f"Received {', '.join(unknown)}, which finetune_cells does not take; its settings are "
            f"validation, calibrate, {', '.join(sorted(known))}."
        )
    FinetuneSettings(**(own | {"seed": seed}))
