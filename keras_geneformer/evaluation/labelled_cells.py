"""The cells that take part in an evaluation, with their classes and groups."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_geneformer.evaluation.fold_store import checksum


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

    def checksum(self) -> str:
        """One for the tokens, names, labels and groups."""
        groups = np.array([], dtype=str) if self.groups is None else self.groups
        return checksum(
            self.cells.token_ids, self.cells.offsets, self.names.astype(str), self.labels, groups
        )


def labelled_cells(
    cells: Any, label_key: str, group_key: str | None = None, *, stacklevel: int = 3
) -> LabelledCells:
    """The labelled cells of a dataset.

    Args:
        cells: a `CellDataset`.
        label_key: column of `cells.obs` with the classes; cells without one (NaN, None) are left
            out, with a warning that counts them.
        group_key: column of `cells.obs` with the groups, which every labelled cell must have.
        stacklevel: of the warning.

    Raises:
        ValueError: no such column, no labelled cell, one class only, or a labelled cell without a
            group.
    """
    for key in (label_key, *([] if group_key is None else [group_key])):
        if key not in cells.obs:
            raise ValueError(
                f"The cells have no column {key!r} in obs; it has "
                f"{', '.join(map(str, cells.obs.columns)) or 'no columns'}."
            )
    labelled = cells.obs[label_key].notna().to_numpy()
    if not labelled.any():
        raise ValueError(f"No cell has a label in obs[{label_key!r}].")
    if not labelled.all():
        warnings.warn(
            f"{int((~labelled).sum())} of {len(labelled)} cells have no label in "
            f"obs[{label_key!r}] and are left out.",
            stacklevel=stacklevel,
        )
        cells = cells.subset(labelled)
    labels = cells.obs[label_key].astype(str).to_numpy(dtype=str)
    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError(
            f"All labelled cells are of one class ({str(classes[0])!r} in obs[{label_key!r}]): a "
            "classifier needs two at least."
        )
    groups = None
    if group_key is not None:
        column = cells.obs[group_key]
        if column.isna().any():
            raise ValueError(
                f"{int(column.isna().sum())} labelled cells have no group in obs[{group_key!r}]: "
                "give them one, or leave them out."
            )
        groups = column.astype(str).to_numpy(dtype=str)
    return LabelledCells(cells, labels, groups)
