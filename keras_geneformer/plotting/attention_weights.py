"""Attention weights: of one cell token by token, and of genes head by head."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from keras_geneformer.plotting.style import (
    INK,
    SMALL,
    TEXT,
    WIDTH,
    clipped,
    empty_picture,
    finished,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def attention_matrix(
    weights: np.ndarray,
    path: str | Path | None = None,
    *,
    names: Sequence[str] | None = None,
    layer: int = -1,
    head: int | None = None,
    number: int = 25,
    title: str = "",
) -> "Axes":
    """Draws how much each of a cell's first tokens attends to each other, times an even share.

    Args:
        weights: what `attention_weights` returns, shape (layers, heads, n, n).
        path: a png to write. Default: none.
        names: of the cell's tokens (`vocabulary.symbols_of(token_ids)`). Default: ranks.
        layer: the place in `weights`, from 0, or negative from the end.
        head: the place of the head, from 0. Default: the mean of the heads.
        number: how many tokens are drawn, from the front of the cell.
        title: above the picture.

    Returns:
        The matplotlib Axes. 1 is the share that each of the cell's n tokens would have of even
        attention.

    Raises:
        ValueError: if weights are of another shape, or there are fewer names than tokens drawn.
        ImportError: if matplotlib is not installed.
    """
    if weights.ndim != 4 or weights.shape[2] != weights.shape[3]:
        raise ValueError(
            f"attention weights are (layers, heads, n, n), but these are {weights.shape}"
        )
    number = min(number, weights.shape[-1])
    if names is not None and len(names) < number:
        raise ValueError(f"{number} tokens are drawn, but there are {len(names)} names")
    heads = weights[layer] if head is None else weights[layer, head : head + 1]
    shares = np.nanmean(heads, axis=0)[:number, :number] * weights.shape[-1]
    labels = [str(rank) for rank in range(number)] if names is None else list(names[:number])
    axes = _shaded(shares, labels, labels, "attention / even share", title, square=True)
    axes.set_xlabel("is attended to", fontsize=TEXT, color=INK)
    axes.set_ylabel("attends", fontsize=TEXT, color=INK)
    return finished(axes, path)


def gene_attention(
    attention: pd.DataFrame,
    path: str | Path | None = None,
    *,
    number: int = 20,
    min_cells: int = 1,
    title: str = "",
) -> "Axes":
    """Draws the attention that genes receive, a row a gene and a column a layer and head.

    Args:
        attention: what `attention_by_gene` returns, of one group of cells.
        path: a png to write. Default: none.
        number: how many genes: those with the largest mean over layers and heads.
        min_cells: genes in fewer cells are left out.
        title: above the picture.

    Returns:
        The matplotlib Axes. 1 is an even share.

    Raises:
        ValueError: if a column is missing, a gene stands there twice, or none is in enough cells.
        ImportError: if matplotlib is not installed.
    """
    wanted = ("layer", "head", "ensembl_id", "symbol", "attention", "cells")
    absent = [name for name in wanted if name not in attention]
    if absent:
        raise ValueError(f"no column {absent} among {list(map(str, attention.columns))}")
    if attention.duplicated(["layer", "head", "ensembl_id"]).any():
        raise ValueError("a gene stands there twice for a head: choose one group of cells")
    kept = attention[attention["cells"] >= min_cells]
    if kept.empty:
        raise ValueError(f"no gene is in {min_cells} cells: nothing to draw")
    grid = kept.pivot(index="ensembl_id", columns=["layer", "head"], values="attention")
    grid = grid.sort_index(axis=1)
    grid = grid.loc[grid.mean(axis=1).nlargest(number).index]
    symbols = kept.drop_duplicates("ensembl_id").set_index("ensembl_id")["symbol"]
    rows = [clipped(symbols[gene] or gene, 16) for gene in grid.index]
    layers, heads = (grid.columns.get_level_values(level) for level in ("layer", "head"))
    columns = [str(head) for head in heads]
    axes = _shaded(grid.to_numpy(dtype=float), rows, columns, "attention / even share", title)
    starts = np.flatnonzero(~layers.duplicated()).tolist()
    for start, end in zip(starts, [*starts[1:], len(layers)]):
        if start:
            axes.axvline(start - 0.5, color="white", linewidth=2)
        axes.annotate(
            f"layer {layers[start]}" if end - start > 2 else str(layers[start]),
            ((start + end - 1) / 2, 1.01),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            fontsize=SMALL,
            color=INK,
        )
    axes.set_xlabel("head", fontsize=TEXT, color=INK)
    return finished(axes, path)


def _shaded(
    values: np.ndarray,
    rows: list[str],
    columns: list[str],
    label: str,
    title: str,
    *,
    square: bool = False,
) -> Any:
    width = max(WIDTH, 1.9 + 0.13 * len(columns))
    height = width - 0.5 if square else 1.1 + 0.17 * len(rows)
    axes = empty_picture(height, title, width=width)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    image = axes.imshow(
        values, cmap="viridis", vmin=0, aspect="equal" if square else "auto",
        interpolation="nearest",
    )  # fmt: skip
    axes.set_xticks(range(len(columns)), columns, fontsize=SMALL - 1, rotation=90 * square)
    axes.set_yticks(range(len(rows)), rows, fontsize=SMALL - 1)
    axes.tick_params(length=0)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=SMALL, colors=INK, length=0)
    bar.set_label(label, fontsize=SMALL, color=INK)
    return axes
