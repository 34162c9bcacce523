"""The losses of a training history as lines."""

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
    cycled,
    empty_picture,
    finished,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def loss_curve(
    history: pd.DataFrame,
    path: str | Path | None = None,
    *,
    baseline: float | None = None,
    baseline_label: str = "baseline",
    title: str = "",
    ylabel: str = "loss",
) -> "Axes":
    """Draws one line for each loss of a training history.

    Where a line has more than 60 points, they are drawn faintly and their running mean over a
    fortieth of the history boldly.

    Args:
        history: of `pretrain`, `run_recipe` or fine-tuning, one row a point. A column
            `step` or else `epoch` is the x axis, or else the row's number counted from 1; every
            numeric column whose name is or ends in `loss` is a line.
        path: a png to write. Default: none.
        baseline: a loss to compare with, drawn as a dashed line; None draws none.
        baseline_label: what the baseline is.
        title: above the picture.
        ylabel: beside the y axis, with the unit.

    Returns:
        The matplotlib Axes.

    Raises:
        ValueError: if no column is a loss.
        ImportError: if matplotlib is not installed.

    Example:
        >>> import pandas as pd
        >>> from keras_geneformer import plotting
        >>> history = pd.DataFrame({"epoch": [1, 2], "loss": [6.1, 5.2], "val_loss": [6.0, 5.4]})
        >>> plotting.loss_curve(history, "loss.png")  # doctest: +SKIP
    """
    losses = [
        str(name)
        for name in history.columns
        if str(name).endswith("loss") and pd.api.types.is_numeric_dtype(history[name])
    ]
    if not losses or history.empty:
        raise ValueError(
            "a loss curve needs at least one row and one numeric column whose name ends in 'loss', "
            f"but the history has {len(history)} rows and columns {list(map(str, history.columns))}"
        )
    axis = next((name for name in ("step", "epoch") if name in history.columns), None)
    x = history[axis].to_numpy() if axis else np.arange(1, len(history) + 1)

    axes = empty_picture(3.0, title)
    for name, colour in zip(losses, cycled(COLOURS, len(losses))):
        points = history[name].notna().to_numpy()
        label = name.removesuffix("loss").strip("_") or "training"
        label = {"val": "validation"}.get(label, label)
        xs, line, marker = x[points], history[name][points], "o" if points.sum() <= 40 else ""
        if len(line) > 60:
            axes.plot(xs, line, color=colour, linewidth=0.8, alpha=0.25)
            line = line.rolling(max(5, len(line) // 40), min_periods=1, center=True).mean()
        axes.plot(xs, line, color=colour, marker=marker, markersize=3.5, linewidth=1.8, label=label)
    if baseline is not None:
        axes.axhline(baseline, color=QUIET, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.annotate(
            f"{baseline_label} {baseline:.2f}",
            (1.0, baseline),
            xytext=(-2, 3),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            ha="right",
            fontsize=SMALL,
            color=QUIET,
        )
    axes.set_xlabel(axis or "epoch", fontsize=TEXT, color=INK)
    axes.set_ylabel(ylabel, fontsize=TEXT, color=INK)
    axes.locator_params(axis="x", integer=True)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    if len(losses) > 1:
        axes.legend(fontsize=TEXT, frameon=False, loc="best", labelcolor=INK)
    return finished(axes, path)
