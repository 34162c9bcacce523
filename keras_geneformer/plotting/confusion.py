"""Which classes are taken for which."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from keras_geneformer.plotting.style import (
    INK,
    SMALL,
    TEXT,
    WIDTH,
    clipped,
    empty_picture,
    finished,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def confusion_matrix(
    confusion: pd.DataFrame,
    path: str | Path | None = None,
    *,
    title: str = "",
    normalised: bool = False,
) -> "Axes":
    """Draws a confusion matrix: shade is the share of the row, the number is the count of cells.

    Args:
        confusion: counts; rows are true labels, columns predicted ones, in the same order
            (`finetune_cells(...).confusion`, an item of `finetune_multitask(...).confusions`). Or
            predictions, a row a cell with `true` and `label` (`cross_validate(...).predictions`).
        path: a png to write. Default: none.
        title: above the picture.
        normalised: write the share of the row, in per cent, instead of the count; shares that
            round to 0 are left out.

    Returns:
        The matplotlib Axes.

    Raises:
        ValueError: if the table is empty or not square.
        ImportError: if matplotlib is not installed.
    """
    if {"true", "label"} <= set(confusion):
        # Here, for drawing a loss or a map needs no Keras backend, and `training` does.
        from keras_geneformer.training.metrics import confusion_table

        true, label = (confusion[name].astype(str).to_numpy() for name in ("true", "label"))
        confusion = confusion_table(true, label, sorted({*true, *label}))
    counts = confusion.to_numpy(dtype=float)
    if counts.size == 0 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"a confusion matrix is square, but this one is {counts.shape}")
    number = len(counts)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    shown = 100 * shares if normalised else counts
    rows = [clipped(name, 30) for name in confusion.index]
    columns = [clipped(name, 30) for name in confusion.columns]
    width = max(WIDTH, 2.2 + 0.27 * number)
    axes = empty_picture(width - 0.1, title, width=width)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    # As large as the widest number leaves room for in a square of the matrix.
    square = 72 * (width - 2.1) / number
    text = float(np.clip(0.85 * square / (0.62 * len(f"{shown.max():.0f}")), 4.5, TEXT))
    for row, column in np.argwhere(np.rint(shown) > 0):
        axes.text(
            column,
            row,
            f"{shown[row, column]:.0f}",
            ha="center",
            va="center",
            fontsize=text,
            color="white" if shares[row, column] > 0.55 else INK,
        )
    axes.set_xticks(range(number), columns, rotation=90, fontsize=SMALL)
    axes.set_yticks(range(number), rows, fontsize=SMALL)
    axes.set_xticks(np.arange(number + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(number + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    axes.set_xlabel("predicted", fontsize=TEXT, color=INK)
    axes.set_ylabel("true (% of the row)" if normalised else "true", fontsize=TEXT, color=INK)
    return finished(axes, path)
