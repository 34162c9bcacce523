"""Which classes are taken for which."""

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd

from keras_geneformer.picture_style import (
    INK,
    SMALL,
    TEXT,
    WIDTH,
    empty_picture,
    write_picture,
)


def confusion_matrix(confusion: pd.DataFrame, path: str | Path, *, title: str = "") -> Path:
    """Draws a confusion matrix: shade is the share of the row, the number is the count of cells.

    Args:
        confusion: counts; rows are true labels, columns predicted ones, in the same order.
        path: the png to write.
        title: above the picture.

    Returns:
        `path`.

    Raises:
        ValueError: if the table is empty or not square.
        ImportError: if matplotlib is not installed.
    """
    counts = confusion.to_numpy(dtype=float)
    if counts.size == 0 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"a confusion matrix is square, but this one is {counts.shape}")
    number = len(counts)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    rows = [textwrap.shorten(str(name), 30, placeholder="…") for name in confusion.index]
    columns = [textwrap.shorten(str(name), 30, placeholder="…") for name in confusion.columns]
    width = max(WIDTH, 2.2 + 0.27 * number)
    figure, axes = empty_picture(width - 0.1, title, width=width)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    text = float(np.clip((80 if counts.max() < 100 else 64) / number, 4.5, TEXT))
    for row, column in np.argwhere(counts > 0):
        axes.text(
            column,
            row,
            f"{counts[row, column]:.0f}",
            ha="center",
            va="center",
            fontsize=text,
            color="white" if shares[row, column] > 0.55 else INK,
        )
    axes.set_xticks(range(number), columns, rotation=90, fontsize=SMALL)
    axes.set_yticks(range(number), rows, fontsize=SMALL)
    axes.set_xticks(np.arange(number + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(number + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    axes.set_xlabel("predicted", fontsize=TEXT, color=INK)
    axes.set_ylabel("true", fontsize=TEXT, color=INK)
    return write_picture(figure, path)
