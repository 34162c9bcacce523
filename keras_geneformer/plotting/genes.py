"""Genes as bars."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from keras_geneformer.plotting.style import (
    COLOURS,
    INK,
    RULE,
    SMALL,
    TEXT,
    cycled,
    empty_picture,
    finished,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def gene_bars(
    effects: pd.DataFrame,
    path: str | Path | None = None,
    *,
    gene: str = "gene",
    value: str = "value",
    group: str | None = None,
    number: int = 15,
    title: str = "",
    xlabel: str = "",
) -> "Axes":
    """Draws the genes with the largest values as bars, the largest on top, group by group.

    Args:
        effects: one row a gene: a table of `attention_rollout`, `perturbation_stats`,
            `predict_genes`, or any other.
        path: a png to write. Default: none.
        gene: the column that labels a bar (symbols read best).
        value: the column that is drawn.
        group: a column that colours the bars (a cell type, say); None for one colour.
        number: how many genes are drawn at most.
        title: above the picture.
        xlabel: what the value is, below the axis.

    Returns:
        The matplotlib Axes.

    Raises:
        ValueError: if a column is missing or no value is finite.
        ImportError: if matplotlib is not installed.
    """
    wanted = [gene, value, *([group] if group else [])]
    absent = [name for name in wanted if name not in effects.columns]
    if absent:
        raise ValueError(f"no column {absent} among {list(map(str, effects.columns))}")
    top = effects[np.isfinite(effects[value].astype(float))].nlargest(number, value)
    if top.empty:
        raise ValueError(f"no finite value in the column {value!r}: nothing to draw")
    groups: list[Any] = list(dict.fromkeys(top[group])) if group else [None]
    if group:
        top = pd.concat([top[top[group] == name] for name in groups])
    colours = dict(zip(groups, cycled(COLOURS, len(groups))))
    axes = empty_picture(0.9 + 0.22 * len(top) + (0.25 if group else 0), title)
    for position, (_, row) in enumerate(top.iterrows()):
        axes.barh(position, row[value], color=colours[row[group] if group else None], height=0.72)
    axes.set_yticks(range(len(top)), [str(name) for name in top[gene]], fontsize=TEXT)
    axes.set_ylim(len(top) - 0.4, -0.6)
    axes.set_xlabel(xlabel or value, fontsize=TEXT, color=INK)
    axes.grid(axis="x", color=RULE, linewidth=0.8)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=5)
    if group:
        from matplotlib.patches import Patch

        axes.figure.legend(
            handles=[Patch(color=colours[name], label=str(name)) for name in groups],
            loc="outside lower center",
            ncols=2,
            fontsize=SMALL,
            frameon=False,
            labelcolor=INK,
        )
    return finished(axes, path)
