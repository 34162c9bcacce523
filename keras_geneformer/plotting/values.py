"""Numbers that were predicted against the true ones."""

from pathlib import Path

import numpy as np
import pandas as pd

from keras_geneformer.plotting.style import (
    COLOURS,
    INK,
    QUIET,
    RULE,
    TEXT,
    clipped,
    empty_panels,
    finished,
)


def predicted_values(
    predictions: pd.DataFrame, path: str | Path | None = None, *, title: str = ""
) -> np.ndarray:
    """Draws each cell's predicted number against its true one, a panel a column.

    Args:
        predictions: `finetune_cells(...).predictions` of a regression: one row a cell, with
            `true_<column>` and `value_<column>` for every column.
        path: a png to write. Default: none.
        title: above the picture.

    Returns:
        The matplotlib Axes, one a column.

    Raises:
        ValueError: if there is no row or no such pair of columns.
        ImportError: if matplotlib is not installed.
    """
    names = [
        str(column).removeprefix("value_")
        for column in predictions.columns
        if str(column).startswith("value_")
        and f"true_{str(column).removeprefix('value_')}" in predictions
    ]
    if predictions.empty or not names:
        raise ValueError(
            "a picture of numbers needs a row and columns 'true_<column>' and 'value_<column>', "
            f"but the table has {len(predictions)} rows and columns "
            f"{list(map(str, predictions.columns))}"
        )
    panels = empty_panels(3.6 * len(names) + 0.3, title, len(names))
    for axes, name in zip(panels[:, 0], names):
        true = predictions[f"true_{name}"].to_numpy(dtype=float)
        found = predictions[f"value_{name}"].to_numpy(dtype=float)
        ends = [min(true.min(), found.min()), max(true.max(), found.max())]
        axes.plot(ends, ends, color=QUIET, linewidth=1.0, linestyle=(0, (4, 3)))
        size = float(np.clip(9000 / len(true), 3, 22))
        axes.scatter(true, found, s=size, color=COLOURS[0], alpha=0.6, linewidth=0)
        axes.set_xlabel(f"true {clipped(name, 30)}", fontsize=TEXT, color=INK)
        axes.set_ylabel(f"predicted {clipped(name, 30)}", fontsize=TEXT, color=INK)
        axes.grid(color=RULE, linewidth=0.8)
    return finished(panels[:, 0], path)
