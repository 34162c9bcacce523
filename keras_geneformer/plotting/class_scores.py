"""The recall of every class, with what is not known of it."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from keras_geneformer.plotting.style import (
    COLOURS,
    INK,
    QUIET,
    RULE,
    SMALL,
    TEXT,
    clipped,
    empty_picture,
    finished,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def class_recall(
    predictions: pd.DataFrame,
    path: str | Path | None = None,
    *,
    title: str = "",
    confidence: float = 0.95,
) -> "Axes":
    """Draws each class's recall as a dot with its Wilson interval, the largest class on top.

    Args:
        predictions: one row a cell (or gene), with columns `true` and `label`, as in the results
            of `finetune_cells`, `finetune_multitask` (of a task) and `cross_validate`.
        path: a png to write. Default: none.
        title: above the picture.
        confidence: of the interval.

    Returns:
        The matplotlib Axes. Classes that no row truly has are left out.

    Raises:
        ValueError: if there is no row, or no column `true` or `label`.
        ImportError: if matplotlib is not installed.
    """
    # Here, for drawing a loss or a map needs no Keras backend, and `training` does.
    from keras_geneformer.training.metrics import class_table

    table = class_table(predictions, confidence=confidence)
    table = table[table["cells"] > 0].sort_values("cells", ascending=False, kind="stable")
    axes = empty_picture(0.95 + 0.21 * len(table), title)
    places = np.arange(len(table))
    axes.hlines(
        places, table["recall_low"], table["recall_high"], color=COLOURS[0], linewidth=2, alpha=0.35
    )
    axes.plot(table["recall"], places, "o", color=COLOURS[0], markersize=5)
    mean = float(table["recall"].mean())
    axes.axvline(mean, color=QUIET, linewidth=1.0, linestyle=(0, (4, 3)))
    names = [
        f"{clipped(name, 34)} ({cells})" for name, cells in zip(table["class"], table["cells"])
    ]
    axes.set_yticks(places, names, fontsize=SMALL)
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel(
        f"recall, with its {100 * confidence:.0f}% interval; dashed: mean {mean:.3f}",
        fontsize=TEXT,
        color=INK,
        loc="right",
    )
    axes.grid(axis="x", color=RULE, linewidth=0.8)
    axes.tick_params(axis="y", length=0)
    return finished(axes, path)
