"""What perturbing one gene does to the others."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from keras_geneformer.plotting.style import (
    INK,
    SMALL,
    TEXT,
    clipped,
    empty_picture,
    finished,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = ("Gene_name", "Affected", "Affected_gene_name", "Cosine_sim_mean")


def gene_effect_heatmap(
    shifts: pd.DataFrame,
    path: str | Path | None = None,
    *,
    number: int = 25,
    title: str = "",
) -> "Axes":
    """Draws how far each gene moves when another is perturbed, for the pairs that move most.

    Args:
        shifts: the table of `perturbation_stats(method="gene_shifts")`.
        path: a png to write. Default: none.
        number: how many perturbed and affected genes at most: those with the largest means over
            the genes that are drawn.
        title: above the picture.

    Returns:
        The matplotlib Axes. Pairs that no cell holds are left white.

    Raises:
        ValueError: if a column is missing or there is no affected gene.
        ImportError: if matplotlib is not installed.
    """
    absent = [name for name in _COLUMNS if name not in shifts]
    if absent:
        raise ValueError(f"no column {absent} among {list(map(str, shifts.columns))}")
    pairs = shifts[shifts["Affected"].astype(str) != "cell_emb"]
    if pairs.empty:
        raise ValueError("no gene is affected in the table: nothing to draw")
    moved = pairs.assign(
        moved=1 - pairs["Cosine_sim_mean"],
        perturbed=pairs["Gene_name"].astype(str),
        affected=pairs["Affected_gene_name"].astype(str),
    )
    # Genes that share most cells come first: the map of pairs is then nearly full.
    by_perturbed = moved.groupby("perturbed")["moved"].agg(["mean", "size"])
    full = by_perturbed[by_perturbed["size"] >= by_perturbed["size"].quantile(0.5)]
    rows = full["mean"].nlargest(number).index
    chosen = moved[moved["perturbed"].isin(rows)]
    by_affected = chosen.groupby("affected")["moved"].agg(["mean", "size"])
    enough = by_affected[by_affected["size"] >= by_affected["size"].quantile(0.5)]
    columns = enough["mean"].nlargest(number).index
    grid = (
        chosen.pivot_table(index="perturbed", columns="affected", values="moved")
        .reindex(index=rows, columns=columns)
        .to_numpy(dtype=float)
    )
    axes = empty_picture(1.5 + 0.165 * len(rows), title)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    image = axes.imshow(grid, cmap="viridis", aspect="auto", interpolation="nearest")
    axes.set_xticks(
        np.arange(len(columns)),
        [clipped(name, 14) for name in columns],
        rotation=90,
        fontsize=SMALL - 1,
    )
    axes.set_yticks(np.arange(len(rows)), [clipped(name, 14) for name in rows], fontsize=SMALL - 1)
    axes.tick_params(length=0)
    axes.set_xlabel("affected gene", fontsize=TEXT, color=INK)
    axes.set_ylabel("perturbed gene", fontsize=TEXT, color=INK)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=SMALL, colors=INK, length=0)
    bar.ax.ticklabel_format(style="sci", scilimits=(-3, 3), useMathText=True)
    bar.ax.yaxis.get_offset_text().set_fontsize(SMALL)
    bar.set_label("1 - cosine", fontsize=SMALL, color=INK)
    return finished(axes, path)
