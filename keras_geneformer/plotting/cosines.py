"""How alike vectors are: states of cells, or genes."""

from pathlib import Path
from typing import TYPE_CHECKING

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

_MOST = 60


def cosine_matrix(
    vectors: pd.DataFrame,
    path: str | Path | None = None,
    *,
    centred: bool = False,
    title: str = "",
) -> "Axes":
    """Draws the cosines between the rows of a table of vectors as a square of shades.

    Args:
        vectors: what `embed_states` returns, or some rows of `embed_genes` (a column `cells` is
            left out): a row a vector, named by the index.
        path: a png to write. Default: none.
        centred: take the mean of all rows off first. Contextual embeddings share a direction that
            makes all cosines large; without it they differ more.
        title: above the picture.

    Returns:
        The matplotlib Axes. Up to 12 rows the cosines stand in the squares.

    Raises:
        ValueError: if there are not 2 to 60 rows.
        ImportError: if matplotlib is not installed.
    """
    if not 2 <= len(vectors) <= _MOST:
        raise ValueError(
            f"a matrix of cosines needs 2 to {_MOST} rows, but got {len(vectors)}: choose some"
        )
    values = vectors.drop(columns="cells", errors="ignore").to_numpy(dtype=float)
    if centred:
        values = values - values.mean(axis=0)
    units = values / np.linalg.norm(values, axis=1, keepdims=True)
    cosines = units @ units.T
    number = len(cosines)
    width = max(WIDTH, 2.4 + 0.13 * number)
    axes = empty_picture(width - 0.6, title, width=width)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    low = float(cosines.min())
    if centred:
        image = axes.imshow(cosines, cmap="RdBu_r", vmin=-1, vmax=1)
    else:
        image = axes.imshow(cosines, cmap="Blues", vmin=low, vmax=1)
    if number <= 12:
        digits = 2 if centred or low < 0.9 else 3 if low < 0.99 else 4
        for (row, column), cosine in np.ndenumerate(cosines):
            shade = abs(cosine) if centred else (cosine - low) / max(1 - low, 1e-12)
            axes.text(
                column,
                row,
                f"{cosine:.{digits}f}",
                ha="center",
                va="center",
                fontsize=min(SMALL, 72 * 2.6 / number / (0.62 * (digits + 2))),
                color="white" if shade > 0.6 else INK,
            )
    names = [clipped(name, 24) for name in vectors.index]
    axes.set_xticks(range(number), names, rotation=90, fontsize=SMALL)
    axes.set_yticks(range(number), names, fontsize=SMALL)
    axes.tick_params(length=0)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=SMALL, colors=INK, length=0)
    bar.ax.locator_params(nbins=5)
    words = "cosine, mean taken off" if centred else "cosine"
    bar.set_label(words, fontsize=TEXT, color=INK)
    return finished(axes, path)
