"""A search for settings, trial by trial."""

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
    empty_picture,
    finished,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def search_history(
    trials: pd.DataFrame,
    path: str | Path | None = None,
    *,
    title: str = "",
    ylabel: str = "score",
    lowest: bool = False,
) -> "Axes":
    """Draws the score of every trial as a dot, and the best so far as a line.

    Args:
        trials: a row a trial, in order: `trial`, `state`, `score` (as `search` gives them). Pruned
            trials are hollow, and no part of the line.
        path: a png to write. Default: none.
        title: above the picture.
        ylabel: what the score is.
        lowest: the best score is the lowest (a loss).

    Returns:
        The matplotlib Axes.

    Raises:
        ValueError: if a column is missing or no trial has a score.
        ImportError: if matplotlib is not installed.
    """
    absent = [name for name in ("trial", "state", "score") if name not in trials.columns]
    if absent:
        raise ValueError(f"no column {absent} among {list(map(str, trials.columns))}")
    scored = trials[np.isfinite(trials["score"].astype(float))]
    if scored.empty:
        raise ValueError("no trial has a score: nothing to draw")
    axes = empty_picture(3.0, title)
    complete = scored["state"] == "complete"
    axes.plot(
        scored["trial"][~complete],
        scored["score"][~complete],
        "o",
        markersize=4.5,
        markerfacecolor="white",
        markeredgecolor=QUIET,
        label="given up early",
    )
    done = scored[complete]
    best = done["score"].cummin() if lowest else done["score"].cummax()
    axes.plot(done["trial"], done["score"], "o", color=COLOURS[0], markersize=4.5, label="trial")
    axes.step(done["trial"], best, where="post", color=COLOURS[1], linewidth=1.4, label="best")
    axes.set_xlabel("trial", fontsize=TEXT, color=INK)
    axes.set_ylabel(ylabel, fontsize=TEXT, color=INK)
    axes.locator_params(axis="x", integer=True)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.figure.legend(
        loc="outside lower center", ncols=3, fontsize=SMALL, frameon=False, labelcolor=INK
    )
    return finished(axes, path)
