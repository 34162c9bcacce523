"""What a classifier calls cells whose class nobody knows."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from keras_geneformer.plotting.style import (
    COLOURS,
    INK,
    RULE,
    SMALL,
    TEXT,
    clipped,
    empty_picture,
    finished,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def label_confidence(
    predictions: pd.DataFrame, path: str | Path | None = None, *, title: str = ""
) -> "Axes":
    """Draws how sure a classifier is of the cells (or genes) that it gives each label.

    A dot is a cell, apart from its neighbours in height only to be seen; the largest label is on
    top, with the number of its cells.

    Args:
        predictions: what `predict` returns of a classifier, a table of `predict_tasks`, or what
            `predict_genes` returns: `label` and `prob_<class>`.
        path: a png to write. Default: none.
        title: above the picture.

    Returns:
        The matplotlib Axes. Bars are medians and quartiles.

    Raises:
        ValueError: if there is no row, no column `label` or no probability.
        ImportError: if matplotlib is not installed.
    """
    columns = [name for name in map(str, predictions.columns) if name.startswith("prob_")]
    if predictions.empty or "label" not in predictions or not columns:
        raise ValueError(
            "a picture of labels needs a row, a column 'label' and columns 'prob_<class>', but the "
            f"table has {len(predictions)} rows and columns {list(map(str, predictions.columns))}"
        )
    confidence = predictions[columns].max(axis=1).to_numpy(dtype=float)
    labels = predictions["label"].astype(str)
    counts = labels.value_counts()
    axes = empty_picture(1.0 + 0.4 * len(counts), title)
    rng = np.random.default_rng(0)
    for row, (name, number) in enumerate(counts.items()):
        own = confidence[(labels == name).to_numpy()]
        size = float(np.clip(1500 / number, 2, 12))
        axes.scatter(
            own, row + rng.uniform(-0.3, 0.3, number), s=size, color=COLOURS[4], alpha=0.7,
            linewidth=0,
        )  # fmt: skip
        low, middle, high = np.percentile(own, [25, 50, 75])
        axes.plot([low, high], [row, row], color=COLOURS[0], linewidth=1.6)
        axes.plot([middle, middle], [row - 0.3, row + 0.3], color=COLOURS[0], linewidth=2)
    names = [f"{clipped(name, 24)} ({number:,})" for name, number in counts.items()]
    axes.set_yticks(range(len(counts)), names, fontsize=SMALL)
    axes.set_ylim(len(counts) - 0.4, -0.6)
    axes.set_xlim(min(0.0, float(confidence.min())), 1.02)
    said = "probability of the label; bars: median, quartiles"
    axes.set_xlabel(said, fontsize=TEXT, color=INK, loc="right")
    axes.grid(axis="x", color=RULE, linewidth=0.8)
    axes.tick_params(axis="y", length=0)
    return finished(axes, path)
