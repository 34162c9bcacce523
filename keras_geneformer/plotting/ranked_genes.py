"""Genes at both ends of a ranking."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

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


def ranked_genes(
    statistics: pd.DataFrame,
    path: str | Path | None = None,
    *,
    effect: str | None = None,
    low: str = "effect_low",
    high: str = "effect_high",
    gene: str = "Gene_name",
    significant: str = "Sig",
    number: int = 12,
    title: str = "",
    xlabel: str = "",
) -> "Axes":
    """Draws the genes with the highest and with the lowest effects as bars with intervals.

    Args:
        statistics: one row a gene, as `perturbation_stats` returns it (goal_state_shift, vs_null).
        path: a png to write. Default: none.
        effect: the column that is drawn. Default: that of the method's own (`effect` where the
            table has it).
        low, high: columns with the ends of its interval; not drawn where they are missing.
        gene: the column with the names.
        significant: the column that is 1 for genes in colour; the others are grey.
        number: how many genes of each end, at most.
        title: above the picture.
        xlabel: what the effect is, below the axis. Default: in the method's words.

    Returns:
        The matplotlib Axes.

    Raises:
        ValueError: if a column is missing or no effect is finite.
        ImportError: if matplotlib is not installed.
    """
    if effect is None:
        drawn = drawn_columns(statistics)
        effect, xlabel = drawn.effect, xlabel or drawn.words
    absent = [name for name in (effect, gene, significant) if name not in statistics]
    if absent:
        raise ValueError(f"no column {absent} among {list(map(str, statistics.columns))}")
    known = statistics[np.isfinite(statistics[effect].astype(float))]
    if known.empty:
        raise ValueError(f"no finite value in the column {effect!r}: nothing to draw")
    # Genes that were tested come first: the largest effects of all are those seen in one cell.
    known = known.sort_values([significant, effect], ascending=False, kind="stable")
    up = known[known[effect] >= 0].head(number)
    down = known[known[effect] < 0].sort_values(
        [significant, effect], ascending=[False, True], kind="stable"
    )
    shown = pd.concat([up, down.head(number)]).sort_values(effect, ascending=False)
    axes = empty_picture(1.0 + 0.2 * len(shown), title)
    places = np.arange(len(shown))
    values = shown[effect].to_numpy(dtype=float)
    hit = shown[significant].to_numpy() == 1
    colours = np.where(hit, np.where(values >= 0, COLOURS[2], COLOURS[1]), "#b4bac5")
    axes.barh(places, values, color=colours.tolist(), height=0.7)
    if low in shown and high in shown:
        ends = shown[[low, high]].to_numpy(dtype=float)
        sides = np.abs(ends - values[:, None]).T
        whole = np.isfinite(sides).all(axis=0)
        axes.errorbar(
            values[whole],
            places[whole],
            xerr=sides[:, whole],
            fmt="none",
            ecolor=INK,
            elinewidth=0.7,
        )
    axes.axvline(0, color=QUIET, linewidth=0.8)
    names = [clipped(name, 22) for name in shown[gene]]
    axes.set_yticks(places, names, fontsize=SMALL)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlabel(xlabel or effect, fontsize=TEXT, color=INK)
    axes.grid(axis="x", color=RULE, linewidth=0.8)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=5)
    axes.ticklabel_format(axis="x", style="sci", scilimits=(-3, 3), useMathText=True)
    axes.xaxis.get_offset_text().set_fontsize(SMALL)
    return finished(axes, path)
