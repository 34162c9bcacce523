"""Effects of genes against how sure they are."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from keras_geneformer.plotting.name_places import heights_apart
from keras_geneformer.plotting.statistic_columns import drawn_columns
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

_LEAST = 1e-300


def volcano(
    statistics: pd.DataFrame,
    path: str | Path | None = None,
    *,
    effect: str | None = None,
    p: str | None = None,
    gene: str = "Gene_name",
    significant: str = "Sig",
    number: int = 10,
    title: str = "",
    xlabel: str = "",
) -> "Axes":
    """Draws each gene's effect against its p, the strongest of the significant ones named.

    Args:
        statistics: one row a gene, as `perturbation_stats` returns it (goal_state_shift, vs_null,
            mixture with an anchor); those without a p are left out.
        path: a png to write. Default: none.
        effect: the column on the x axis. Default: that of the method's own (`effect` where the
            table has it).
        p: the column on the y axis, as -log10. Default: that of the method.
        gene: the column with the names.
        significant: the column that is 1 for genes drawn in colour.
        number: how many genes are named at most: of those in colour the largest effects.
        title: above the picture.
        xlabel: what the effect is, below the axis. Default: in the method's words.

    Returns:
        The matplotlib Axes.

    Raises:
        ValueError: if a column is missing or no gene has both numbers.
        ImportError: if matplotlib is not installed.
    """
    drawn = drawn_columns(statistics)
    if effect is None:
        effect, xlabel = drawn.effect, xlabel or drawn.words
    p = drawn.p if p is None else p
    absent = [name for name in (effect, p, gene, significant) if name not in statistics]
    if absent:
        raise ValueError(f"no column {absent} among {list(map(str, statistics.columns))}")
    finite = np.isfinite(statistics[[effect, p]].astype(float)).all(axis=1)
    table = statistics[finite]
    if table.empty:
        raise ValueError(f"no gene has both {effect!r} and {p!r}: nothing to draw")
    x = table[effect].to_numpy(dtype=float)
    y = -np.log10(np.maximum(table[p].to_numpy(dtype=float), _LEAST))
    hit = table[significant].to_numpy() == 1
    axes = empty_picture(4.2, title)
    size = float(np.clip(6000 / len(x), 5, 20))
    axes.scatter(x[~hit], y[~hit], s=size, color="#b4bac5", linewidth=0)
    for sign, colour in ((1, COLOURS[2]), (-1, COLOURS[1])):
        chosen = hit & (np.sign(x) == sign)
        axes.scatter(x[chosen], y[chosen], s=size, color=colour, linewidth=0)
    axes.axvline(0, color=QUIET, linewidth=0.8)
    axes.set_ylim(0, max(1.0, float(y.max()) * 1.14))
    axes.margins(x=0.14)
    named = np.flatnonzero(hit)
    named = named[np.argsort(-np.abs(x[named]), kind="stable")][:number]
    names = table[gene].astype(str).to_numpy()
    heights = heights_apart(x[named], y[named], float(axes.get_ylim()[1]) / 20)
    span = float(np.ptp(axes.get_xlim()))
    for row, height in zip(named, heights):
        side = 1 if x[row] >= 0 else -1
        axes.annotate(
            clipped(names[row], 16),
            (x[row], y[row]),
            (x[row] + side * 0.02 * span, height),
            ha="left" if side > 0 else "right",
            va="center",
            fontsize=SMALL,
            color=INK,
            arrowprops={"arrowstyle": "-", "color": "#b4bac5", "linewidth": 0.7, "shrinkB": 3},
        )
    axes.set_xlabel(xlabel or effect, fontsize=TEXT, color=INK)
    axes.set_ylabel("-log10 p", fontsize=TEXT, color=INK)
    axes.grid(color=RULE, linewidth=0.8)
    axes.locator_params(axis="x", nbins=5)
    axes.ticklabel_format(axis="x", style="sci", scilimits=(-3, 3), useMathText=True)
    axes.xaxis.get_offset_text().set_fontsize(SMALL)
    return finished(axes, path)
