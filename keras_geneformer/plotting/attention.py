"""What heads attend to: classes of genes, ranks, few tokens or many."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from keras_geneformer.plotting.style import (
    COLOURS,
    INK,
    QUIET,
    RULE,
    SMALL,
    TEXT,
    WIDTH,
    cycled,
    empty_panels,
    empty_picture,
    finished,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEAST = 0.1
"""How far from white the colours of a map with two sides reach at least."""


def head_map(
    heads: pd.DataFrame,
    path: str | Path | None = None,
    *,
    value: str = "auc",
    significance: str | None = "fdr",
    level: float = 0.05,
    middle: float | None = 0.5,
    title: str = "",
    label: str = "",
) -> "Axes":
    """Draws a value of every head, layers below each other and heads side by side.

    Args:
        heads: one row a layer and head, as `attention_heads(...).heads` of one class.
        path: a png to write. Default: none.
        value: the column that is drawn.
        significance: a column; heads where it is below `level` have a star. None: no stars.
        level: where stars begin.
        middle: the value that is white, with two colours to its sides; None: one colour, from the
            smallest value to the largest. The two reach 0.1 to each side at least, so that small
            effects look small.
        title: above the picture.
        label: what the value is, at the colour bar.

    Returns:
        The matplotlib Axes.

    Raises:
        ValueError: a column is missing, or a head stands there twice.
        ImportError: if matplotlib is not installed.
    """
    _require(heads, ["layer", "head", value, *([significance] if significance else [])])
    if heads.duplicated(["layer", "head"]).any():
        raise ValueError(
            "a map of heads needs one row a layer and head, but some stand there twice: choose one "
            "class (and one group of cells)"
        )
    grid = _grid(heads, value)
    values = grid.to_numpy(dtype=float)
    if middle is None:
        colours: dict[str, Any] = {"cmap": "Blues"}
    else:
        most = max(float(np.nanmax(np.abs(values - middle))), _LEAST)
        colours = {"cmap": "RdBu_r", "vmin": middle - most, "vmax": middle + most}
    rows, columns = values.shape
    width = max(WIDTH, 1.6 + 0.3 * columns)
    square = min(0.62, (width - 1.6) / columns)
    axes = empty_picture(1.1 + square * rows, title, width=width)
    drawn = axes.imshow(values, aspect="auto", **colours)
    marked = np.zeros(values.shape, dtype=bool)
    if significance:
        marked = _grid(heads, significance).to_numpy(dtype=float) < level
    low, high = drawn.get_clim()
    for row, column in np.argwhere(np.isfinite(values)):
        shade = abs((values[row, column] - low) / max(high - low, 1e-12) - (middle is not None) / 2)
        dark = shade > (0.33 if middle is not None else 0.6)
        number = f"{values[row, column]:.2f}" if columns <= 12 else ""
        axes.text(
            column,
            row,
            number + ("*" if marked[row, column] else ""),
            ha="center",
            va="center",
            fontsize=SMALL,
            color="white" if dark else INK,
        )
    axes.set_xticks(range(columns), [str(name) for name in grid.columns])
    axes.set_yticks(range(rows), [str(name) for name in grid.index])
    axes.tick_params(length=0)
    axes.set_xlabel("head", fontsize=TEXT, color=INK)
    axes.set_ylabel("layer", fontsize=TEXT, color=INK)
    bar = axes.figure.colorbar(drawn, ax=axes, shrink=0.9, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=SMALL, length=0, colors=INK)
    named = (significance or "").replace("fdr", "FDR").replace("_", " ")
    stars = f"\n* {named} < {level:g}" if significance else ""
    bar.set_label((label or value) + stars, fontsize=SMALL, color=INK)
    return finished(axes, path)


def attention_by_rank(
    ranks: pd.DataFrame, path: str | Path | None = None, *, title: str = ""
) -> np.ndarray:
    """Draws the attention that each tenth of a cell receives, a panel a layer and a line a head.

    Args:
        ranks: as `attention_heads(...).ranks`, of one group of cells.
        path: a png to write. Default: none.
        title: above the picture.

    Returns:
        The matplotlib Axes of the layers, in order. The strong line is the mean of the layer's
        heads, the dashed one an even share.

    Raises:
        ValueError: a column is missing or there is no row.
        ImportError: if matplotlib is not installed.
    """
    _require(ranks, ["layer", "head", "rank_from", "rank_to", "attention"])
    layers = sorted(ranks["layer"].unique())
    columns = min(3, len(layers))
    rows = -(-len(layers) // columns)
    panels = empty_panels(0.9 + 1.5 * rows, title, rows, columns, sharex=True, sharey=True)
    for panel, layer in zip(panels.flat, layers):
        here = ranks[ranks["layer"] == layer]
        places = 50 * (here["rank_from"] + here["rank_to"])
        grid = here.assign(place=places).pivot(index="place", columns="head", values="attention")
        panel.axhline(1.0, color=QUIET, linewidth=0.9, linestyle=(0, (4, 3)))
        panel.plot(grid.index, grid.to_numpy(), color=COLOURS[4], linewidth=0.9)
        panel.plot(grid.index, grid.mean(axis=1), color=COLOURS[0], linewidth=1.8)
        panel.set_title(f"layer {layer}", fontsize=TEXT, color=INK)
        panel.set_xlim(0, 100)
        panel.set_xticks([0, 50, 100])
        panel.grid(color=RULE, linewidth=0.8)
    # Limits end the fitting of the axes that all panels share, so they come last.
    panels.flat[0].set_ylim(bottom=0)
    for panel in panels.flat[len(layers) :]:
        panel.remove()
    figure = panels[0, 0].figure
    figure.supxlabel("rank in the cell (%; 0 is the front)", fontsize=TEXT, color=INK)
    figure.supylabel("attention / even share", fontsize=TEXT, color=INK)
    return finished(panels.flatten()[: len(layers)], path)


def attention_spread(
    diversity: pd.DataFrame,
    path: str | Path | None = None,
    *,
    value: str = "entropy",
    title: str = "",
    label: str = "entropy (nats)",
) -> "Axes":
    """Draws one measure of how spread attention is: a dot a head, a line through the layers' means.

    Args:
        diversity: as `attention_heads(...).diversity`, of one group of cells.
        path: a png to write. Default: none.
        value: the column that is drawn.
        title: above the picture.
        label: what it is.

    Returns:
        The matplotlib Axes.

    Raises:
        ValueError: a column is missing or there is no row.
        ImportError: if matplotlib is not installed.
    """
    _require(diversity, ["layer", "head", value])
    axes = empty_picture(2.6, title)
    heads = diversity["head"].nunique()
    offset = (diversity["head"] - (heads + 1) / 2) * min(0.08, 0.4 / heads)
    axes.scatter(diversity["layer"] + offset, diversity[value], s=16, color=COLOURS[4], linewidth=0)
    means = diversity.groupby("layer")[value].mean()
    axes.plot(means.index, means, color=COLOURS[0], linewidth=1.6, marker="o", markersize=3)
    axes.set_xticks(means.index.tolist())
    axes.set_xlabel("layer (a dot a head, the line their mean)", fontsize=TEXT, color=INK)
    axes.set_ylabel(label, fontsize=TEXT, color=INK)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    return finished(axes, path)


def rank_matched_heads(
    heads: pd.DataFrame, path: str | Path | None = None, *, title: str = ""
) -> "Axes":
    """Draws each head's AUC among all genes against that among genes of like rank.

    Args:
        heads: as `attention_heads(...).heads` of one class and group of cells.
        path: a png to write. Default: none.
        title: above the picture.

    Returns:
        The matplotlib Axes. Heads off the diagonal owe their AUC to where in cells the genes rank.

    Raises:
        ValueError: a column is missing or there is no row.
        ImportError: if matplotlib is not installed.
    """
    _require(heads, ["layer", "head", "auc", "auc_at_like_rank"])
    axes = empty_picture(3.9, title)
    both = heads[["auc", "auc_at_like_rank"]].to_numpy(dtype=float)
    reach = 1.15 * max(float(np.nanmax(np.abs(both - 0.5))), 0.01)
    ends = [0.5 - reach, 0.5 + reach]
    axes.plot(ends, ends, color=QUIET, linewidth=1.0, linestyle=(0, (4, 3)))
    for line in (axes.axhline, axes.axvline):
        line(0.5, color=RULE, linewidth=1.0)
    layers = sorted(heads["layer"].unique())
    for layer, colour in zip(layers, cycled(COLOURS, len(layers))):
        here = both[(heads["layer"] == layer).to_numpy()]
        axes.scatter(
            here[:, 0],
            here[:, 1],
            s=26,
            color=colour,
            edgecolor="white",
            linewidth=0.4,
            label=layer,
        )
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    axes.set_xlabel("AUC among all genes", fontsize=TEXT, color=INK)
    axes.set_ylabel("AUC among genes of like rank", fontsize=TEXT, color=INK)
    axes.figure.legend(
        title="layer",
        loc="outside right upper",
        fontsize=SMALL,
        title_fontsize=SMALL,
        frameon=False,
        labelcolor=INK,
        handletextpad=0.2,
    )
    return finished(axes, path)


def _grid(heads: pd.DataFrame, value: str) -> pd.DataFrame:
    """A column of a table of heads as layers x heads."""
    return heads.pivot(index="layer", columns="head", values=value)


def _require(table: pd.DataFrame, columns: list[str]) -> None:
    absent = [name for name in columns if name not in table.columns]
    if absent or table.empty:
        raise ValueError(
            f"a picture of attention needs a row and the columns {', '.join(columns)}, but the "
            f"table has {len(table)} rows and columns {', '.join(map(str, table.columns))}"
        )
