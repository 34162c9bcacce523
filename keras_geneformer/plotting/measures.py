"""Representations of cells against measures of them, as a table of shades."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from keras_geneformer.plotting.style import INK, SMALL, TEXT, clipped, empty_picture, finished

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def measure_table(
    table: pd.DataFrame, path: str | Path | None = None, *, title: str = ""
) -> "Axes":
    """Draws a table of measures between 0 and 1: darker is higher, and so better.

    Args:
        table: one row a representation, one column a measure, as `batch_effects` gives it. The
            three scores stand apart from the measures that they are means of.
        path: a png to write. Default: none.
        title: above the picture.

    Returns:
        The matplotlib Axes.

    Raises:
        ValueError: the table is empty, or a value is no number between 0 and 1.
        ImportError: if matplotlib is not installed.
    """
    values = table.to_numpy(dtype=float).T
    known = values[np.isfinite(values)]
    if not known.size or known.min() < -0.5 or known.max() > 1.0 + 1e-6:
        raise ValueError(
            "a table of measures needs values between 0 and 1, but this one of "
            f"{table.shape[0]} x {table.shape[1]} has "
            f"{f'{known.min():.3g} to {known.max():.3g}' if known.size else 'none'}"
        )
    measures, names = list(map(str, table.columns)), list(map(str, table.index))
    axes = empty_picture(1.2 + 0.27 * len(measures), title)
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        best = np.isfinite(value) and value >= np.nanmax(values[row]) - 5e-4
        axes.text(
            column,
            row,
            f"{value:.3f}" if np.isfinite(value) else "-",
            ha="center",
            va="center",
            fontsize=TEXT,
            fontweight="bold" if best and len(names) > 1 else "normal",
            color="white" if np.isfinite(value) and value > 0.6 else INK,
        )
    axes.set_xticks(range(len(names)), [clipped(name, 16) for name in names], fontsize=TEXT)
    axes.set_yticks(
        range(len(measures)), [name.replace("_", " ") for name in measures], fontsize=SMALL + 1
    )
    axes.xaxis.tick_top()
    axes.set_xticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(measures) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    scores = [place for place, name in enumerate(measures) if name.endswith("_score")]
    if scores:
        axes.axhline(scores[0] - 0.5, color=INK, linewidth=1.2)
    return finished(axes, path)
