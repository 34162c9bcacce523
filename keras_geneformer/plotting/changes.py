"""What a change of cells does to a prediction, gene by gene."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from keras_geneformer.plotting.style import (
    COLOURS,
    INK,
    QUIET,
    RULE,
    TEXT,
    empty_picture,
    finished,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def change_bars(
    changes: pd.DataFrame,
    path: str | Path | None = None,
    *,
    gene: str = "gene",
    value: str = "change",
    error: str | None = None,
    number: int = 20,
    title: str = "",
    xlabel: str = "",
) -> "Axes":
    """Draws the genes with the largest changes, of either sign, as bars from zero.

    Args:
        changes: one row a gene, as in `run_study(...).changes` (`perturbation_effects` draws what
            `perturb` returns).
        path: a png to write. Default: none.
        gene: the column that labels a bar.
        value: the column that is drawn.
        error: a column with what is not known of it, drawn as a line to both sides; None: none.
        number: how many genes are drawn at most.
        title: above the picture.
        xlabel: what the value is, below the axis.

    Returns:
        The matplotlib Axes.

    Raises:
        ValueError: if a column is missing or no value is finite.
        ImportError: if matplotlib is not installed.
    """
    wanted = [gene, value, *([error] if error else [])]
    absent = [name for name in wanted if name not in changes.columns]
    if absent:
        raise ValueError(f"no column {absent} among {list(map(str, changes.columns))}")
    known = changes[np.isfinite(changes[value].astype(float))]
    if known.empty:
        raise ValueError(f"no finite value in the column {value!r}: nothing to draw")
    top = known.loc[known[value].abs().nlargest(number).index].sort_values(value, ascending=False)
    axes = empty_picture(0.9 + 0.22 * len(top), title)
    places = np.arange(len(top))
    colours = [COLOURS[2] if one >= 0 else COLOURS[1] for one in top[value]]
    axes.barh(places, top[value], color=colours, height=0.72)
    if error:
        axes.errorbar(top[value], places, xerr=top[error], fmt="none", ecolor=INK, elinewidth=0.8)
    axes.axvline(0, color=QUIET, linewidth=1.0)
    axes.set_yticks(places, [str(name) for name in top[gene]], fontsize=TEXT)
    axes.set_ylim(len(top) - 0.4, -0.6)
    axes.set_xlabel(xlabel or value, fontsize=TEXT, color=INK)
    axes.grid(axis="x", color=RULE, linewidth=0.8)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=5)
    return finished(axes, path)
