"""Where perturbed cells go: arrows towards states, and on a map of cells."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from keras_geneformer.plotting.cell_maps import umap_coordinates
from keras_geneformer.plotting.name_places import heights_apart
from keras_geneformer.plotting.style import (
    COLOURS,
    INK,
    QUIET,
    RULE,
    SMALL,
    TEXT,
    clipped,
    cycled,
    empty_picture,
    finished,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def gene_arrows(
    statistics: pd.DataFrame,
    path: str | Path | None = None,
    *,
    goal: str = "Shift_to_goal_end",
    alternative: str | None = None,
    gene: str = "Gene_name",
    number: int = 12,
    title: str = "",
) -> "Axes":
    """Draws each gene as an arrow in the plane of its shifts to the goal and to another state.

    Args:
        statistics: the table of `perturbation_stats(method="goal_state_shift")`.
        path: a png to write. Default: none.
        goal: the column on the x axis.
        alternative: that on the y axis. Default: the first `Shift_to_alt_end_...`.
        gene: the column with the names.
        number: how many genes have an arrow and a name: those that are significant first, by
            length; all others are points.
        title: above the picture.

    Returns:
        The matplotlib Axes.

    Raises:
        ValueError: if a column is missing, there is no alternative state, or no row.
        ImportError: if matplotlib is not installed.
    """
    if alternative is None:
        others = [name for name in map(str, statistics) if name.startswith("Shift_to_alt_end_")]
        alternative = others[0] if others else "Shift_to_alt_end_<state>"
    absent = [name for name in (goal, alternative, gene) if name not in statistics]
    if absent or statistics.empty:
        raise ValueError(
            f"arrows need a row and a shift to two states: no column {absent} among "
            f"{list(map(str, statistics.columns))} ({len(statistics)} rows)"
        )
    x, y = (statistics[name].to_numpy(dtype=float) for name in (goal, alternative))
    hit = statistics.get("Sig", pd.Series(0, index=statistics.index)).to_numpy() == 1
    order = np.lexsort((-np.hypot(x, y), ~hit))[:number]
    axes = empty_picture(4.6, title)
    axes.scatter(x, y, s=float(np.clip(6000 / len(x), 4, 16)), color="#c7ccd4", linewidth=0)
    axes.margins(0.16)
    low, high = axes.get_ylim()
    for row, height in zip(order, heights_apart(x[order], y[order], (high - low) / 24)):
        right = x[row] >= 0
        axes.annotate(
            "",
            (x[row], y[row]),
            (0, 0),
            arrowprops={
                "arrowstyle": "-|>",
                "color": COLOURS[2] if right else COLOURS[1],
                "linewidth": 1.1,
                "shrinkB": 0,
            },
        )
        axes.annotate(
            clipped(statistics[gene].iloc[row], 14),
            (x[row], height),
            (4 if right else -4, 0),
            textcoords="offset points",
            ha="left" if right else "right",
            va="center",
            fontsize=SMALL,
            color=INK,
        )
    axes.axhline(0, color=QUIET, linewidth=0.8)
    axes.axvline(0, color=QUIET, linewidth=0.8)
    axes.set_xlabel("shift to the goal", fontsize=TEXT, color=INK)
    state = alternative.removeprefix("Shift_to_alt_end_")
    axes.set_ylabel(f"shift to {clipped(state, 30)}", fontsize=TEXT, color=INK)
    axes.grid(color=RULE, linewidth=0.8)
    axes.locator_params(nbins=5)
    axes.ticklabel_format(style="sci", scilimits=(-3, 3), useMathText=True)
    for side in (axes.xaxis, axes.yaxis):
        side.get_offset_text().set_fontsize(SMALL)
    return finished(axes, path)


def state_arrows(
    before: pd.DataFrame,
    after: pd.DataFrame,
    path: str | Path | None = None,
    *,
    labels: pd.Series | None = None,
    stretch: float = 1.0,
    seed: int = 0,
    title: str = "",
) -> "Axes":
    """Draws cells before and after a perturbation on one map, an arrow from each to where it goes.

    Args:
        before: one row a cell, one column a dimension (`embed_cells`): the map's cells.
        after: the same dimensions; rows named as in `before`, all its cells or some.
        path: a png to write. Default: none.
        labels: one label a cell of `before`, in the same order, that colours it; None: one colour.
        stretch: how many times as far as they went cells are drawn to go: one gene moves a cell by
            less than a layout shows.
        seed: of the layout.
        title: above the picture.

    Returns:
        The matplotlib Axes. Both are laid out together by UMAP where umap-learn is installed, else
        on their first two principal components; the axes say which.

    Raises:
        ValueError: if dimensions or names do not match.
        ImportError: if matplotlib is not installed.
    """
    unknown = after.index.difference(before.index)
    wrong = labels is not None and len(labels) != len(before)
    if after.shape[1] != before.shape[1] or len(unknown) or after.empty or wrong:
        raise ValueError(
            f"arrows need cells of the same names and dimensions, and a label for each: got "
            f"{before.shape[0]} x {before.shape[1]} before and {after.shape[0]} x "
            f"{after.shape[1]} after, {len(unknown)} of unknown names, and "
            f"{'no' if labels is None else len(labels)} labels"
        )
    whence = before.loc[after.index].to_numpy()
    whither = whence + stretch * (after.to_numpy() - whence)
    both = pd.DataFrame(np.concatenate([before.to_numpy(), whither]))
    try:
        places, axis = umap_coordinates(both, seed=seed).to_numpy(dtype=float), "umap"
    except ImportError:
        places, axis = _principal(both.to_numpy(dtype=float)), "principal component "
    start, end = places[: len(before)], places[len(before) :]
    axes = empty_picture(4.6, title, square=True)
    names = pd.Series("cells", index=before.index) if labels is None else labels.astype(str)
    kinds = list(dict.fromkeys(names))
    size = float(np.clip(9000 / len(start), 3, 22))
    for name, colour in zip(kinds, cycled(COLOURS, len(kinds))):
        chosen = names.to_numpy() == name
        x, y = start[chosen].T
        axes.scatter(x, y, s=size, color=colour, linewidth=0, label=clipped(name, 30))
    origin = start[before.index.get_indexer(after.index)]
    axes.quiver(
        *origin.T,
        *(end - origin).T,
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.003,
        headwidth=5,
        color=INK,
        alpha=0.75,
    )
    # The limits of arrows are those of their origins: without this some would leave the picture.
    axes.update_datalim(end)
    axes.autoscale_view()
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(f"{axis}1", fontsize=SMALL, color=QUIET, loc="left")
    axes.set_ylabel(f"{axis}2", fontsize=SMALL, color=QUIET, loc="bottom")
    if labels is not None:
        axes.figure.legend(
            loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False, labelcolor=INK
        )
    return finished(axes, path)


def _principal(values: np.ndarray) -> np.ndarray:
    """The first two principal components."""
    left, size, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    return left[:, :2] * size[:2]
