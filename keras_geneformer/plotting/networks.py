"""Networks of genes: their modules as a matrix, and genes as points."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from keras_geneformer.plotting.style import (
    COLOURS,
    INK,
    MARKERS,
    QUIET,
    SMALL,
    TEXT,
    clipped,
    empty_picture,
    finished,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SQUARES = 250
"""Rows and columns of the matrix at most; with more genes a square is the mean of several."""

_NONE = "none"


def module_matrix(
    genes: pd.DataFrame, edges: pd.DataFrame, path: str | Path | None = None, *, title: str = ""
) -> "Axes":
    """Draws the weights between genes, ordered by module, strongest genes of a module first.

    Args:
        genes: indexed by gene, with `module`, and `strength` within it (those of
            `gene_network(...).with_modules()`).
        edges: `source`, `target` and `weight` (`gene_network(...).edges`).
        path: a png to write. Default: none.
        title: above the picture.

    Returns:
        The matplotlib Axes. Genes of no module are left out; the large modules have their numbers.

    Raises:
        ValueError: a column is missing, or no gene is of a module.
        ImportError: if matplotlib is not installed.
    """
    ordered = _ordered(genes)
    places = pd.Series(np.arange(len(ordered)), index=ordered.index)
    linked = edges[edges["source"].isin(places.index) & edges["target"].isin(places.index)]
    squares = min(_SQUARES, len(ordered))
    rows, columns = (
        places.loc[linked[name]].to_numpy() * squares // len(ordered)
        for name in ("source", "target")
    )
    sums = np.zeros((squares, squares))
    np.add.at(sums, (rows, columns), linked["weight"].to_numpy(dtype=float))
    sums = sums + sums.T
    axes = empty_picture(4.9, title)
    shades = np.sqrt(sums)
    top = float(np.quantile(shades[shades > 0], 0.98)) if (shades > 0).any() else 1.0
    axes.imshow(shades, cmap="Blues", vmin=0, vmax=top, interpolation="nearest")
    ends = np.flatnonzero(np.diff(pd.factorize(ordered["module"])[0], append=-1)) + 1
    starts = np.concatenate([[0], ends[:-1]])
    scale = squares / len(ordered)
    ticks = []
    for first, last in zip(starts, ends):
        start, end = first * scale - 0.5, last * scale - 0.5
        box = [(start, start), (end, start), (end, end), (start, end), (start, start)]
        axes.plot(*zip(*box), color=COLOURS[1], linewidth=0.7)
        if end - start > squares / 30:
            ticks.append(((start + end) / 2, ordered["module"].iloc[first]))
    axes.set_xticks([])
    axes.set_yticks([place for place, _ in ticks], [str(name) for _, name in ticks], fontsize=SMALL)
    axes.tick_params(length=0)
    axes.set_ylabel("module", fontsize=TEXT, color=INK)
    axes.set_xlabel(f"{len(ordered)} genes, by module", fontsize=TEXT, color=INK)
    return finished(axes, path)


def network_map(
    coordinates: pd.DataFrame,
    genes: pd.DataFrame,
    path: str | Path | None = None,
    *,
    hubs: pd.DataFrame | None = None,
    modules: int = 12,
    title: str = "",
) -> "Axes":
    """Draws genes as points, coloured by module, with the names of hub genes.

    Args:
        coordinates: one row a gene of `genes`, in their order; the first two columns are x and y.
        genes: indexed by gene, with `symbol`, `module` and `strength`, as in `module_matrix`.
        path: a png to write. Default: none.
        hubs: genes to name (`GeneNetwork.hubs`); the strongest of each module by default.
        modules: the largest so many have colours and names; the others are grey.
        title: above the picture.

    Returns:
        The matplotlib Axes.

    Raises:
        ValueError: a column is missing, no gene is of a module, or there are not as many
            coordinates as genes.
        ImportError: if matplotlib is not installed.
    """
    if len(coordinates) != len(genes):
        raise ValueError(
            f"a map of genes needs coordinates of each, but got {len(coordinates)} of {len(genes)}"
        )
    sizes = _ordered(genes)["module"].value_counts(sort=False)
    drawn = sizes.index[:modules].tolist()
    axes = empty_picture(4.3 + 0.19 * -(-(len(drawn) + 1) // 3), title, square=True)
    x, y = (coordinates.iloc[:, column].to_numpy(dtype=float) for column in (0, 1))
    module = genes["module"].to_numpy(dtype=object)
    size = float(np.clip(9000 / len(x), 3, 22))
    rest = ~np.isin(module.astype(str), np.array(drawn, dtype=str))
    if rest.any():
        axes.scatter(
            x[rest], y[rest], s=size, color="#d4d8de", linewidth=0, label=f"others ({rest.sum()})"
        )
    for number, name in enumerate(drawn):
        chosen = module == name
        axes.scatter(
            x[chosen],
            y[chosen],
            s=size,
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number // len(COLOURS) % len(MARKERS)],
            linewidth=0,
            label=f"{name} ({chosen.sum()})",
        )
    if hubs is None:
        strongest = _ordered(genes).groupby("module", sort=False).head(1)
        hubs = strongest[strongest["module"].isin(drawn)]
    places = genes.index.get_indexer(hubs.index)
    for place, symbol in zip(places, hubs["symbol"]):
        axes.annotate(
            clipped(symbol, 14),
            (x[place], y[place]),
            xytext=(0, 4),
            textcoords="offset points",
            fontsize=SMALL,
            color=INK,
            ha="center",
            va="bottom",
            bbox={"boxstyle": "round,pad=0.1", "color": "white", "alpha": 0.65},
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(str(coordinates.columns[0]), fontsize=SMALL, color=QUIET, loc="left")
    axes.set_ylabel(str(coordinates.columns[1]), fontsize=SMALL, color=QUIET, loc="bottom")
    axes.figure.legend(
        title="module (genes)",
        loc="outside lower center",
        ncols=4,
        fontsize=SMALL,
        title_fontsize=SMALL,
        frameon=False,
        labelcolor=INK,
        handletextpad=0.2,
        columnspacing=1.0,
    )
    return finished(axes, path)


def _ordered(genes: pd.DataFrame) -> pd.DataFrame:
    """Genes that are of a module, module by module from "1" on, the strongest first."""
    absent = [name for name in ("symbol", "module", "strength") if name not in genes.columns]
    if absent:
        raise ValueError(
            f"a picture of a network needs the columns {', '.join(absent)} of its genes: find "
            "modules first (with_modules)"
        )
    inside = genes[genes["module"] != _NONE]
    if inside.empty:
        raise ValueError("no gene is of a module: nothing to draw")
    order = inside.assign(place=inside["module"].astype(int))
    order = order.sort_values(["place", "strength"], ascending=[True, False], kind="stable")
    return order.drop(columns="place")
