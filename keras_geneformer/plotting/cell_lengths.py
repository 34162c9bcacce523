"""The picture of a dataset of cells: how long they are, and which genes most of them have."""

from pathlib import Path
from typing import Any

import numpy as np

from keras_geneformer.plotting.style import (
    COLOURS,
    INK,
    QUIET,
    RULE,
    TEXT,
    empty_panels,
    finished,
)

_BARS = 10
_BINS = 40
_NARROWEST = 10  # tokens


def cell_lengths(
    cells: Any,
    path: str | Path | None = None,
    *,
    vocabulary: Any = None,
    title: str = "",
) -> np.ndarray:
    """Draws the lengths of cells as a histogram, and the most frequent tokens as bars.

    Args:
        cells: a `CellDataset`.
        path: a png to write. Default: none.
        vocabulary: the cells' vocabulary, for symbols; without it, bars show token ids.
        title: above the picture.

    Returns:
        The two matplotlib Axes: lengths, tokens.

    Raises:
        ValueError: there are no cells, or they were made with another vocabulary.
        ImportError: if matplotlib is not installed.
    """
    if not len(cells):
        raise ValueError("there are no cells to draw")
    found = cells.describe(vocabulary, top=_BARS)
    bars = 0.8 + 0.2 * len(found.top_tokens)
    panels = empty_panels(2.7 + bars, title, 2, height_ratios=[1.9, bars])
    _draw_lengths(panels[0, 0], cells.lengths, found)
    _draw_tokens(panels[1, 0], found.top_tokens)
    return finished(panels[:, 0], path)


def _draw_lengths(axes: Any, lengths: np.ndarray, found: Any) -> None:
    low, high = int(lengths.min()), int(lengths.max())
    step = max(-(-(high - low + 1) // _BINS), 1)
    edges = np.arange(low, high + step + 1, step) - 0.5
    axes.hist(lengths, edges, color=COLOURS[0])
    axes.axvline(found.length_quantiles[0.5], color=COLOURS[1], linewidth=1.6)
    full = ""
    if found.full_share is not None:
        full = f"; {found.full_share:.1%} of cells fill all {found.max_length} places"
    axes.set_title(
        f"line: median {found.length_quantiles[0.5]}{full}", fontsize=7.5, color=QUIET, loc="left"
    )
    axes.set_xlabel("tokens a cell", fontsize=TEXT, color=INK)
    axes.set_ylabel("cells", fontsize=TEXT, color=INK)
    if high - low < _NARROWEST:
        # A few lengths, or one, would be bars as wide as the picture.
        left = max((low + high - _NARROWEST) / 2, -0.5)
        axes.set_xlim(left, left + _NARROWEST)
    axes.locator_params(axis="x", integer=True, nbins=6)
    axes.locator_params(axis="y", integer=True, nbins=5)
    axes.grid(axis="y", color=RULE, linewidth=0.8)


def _draw_tokens(axes: Any, top: Any) -> None:
    names = top["symbol"].where(top["symbol"] != "", "token " + top["token"].astype(str))
    axes.barh(np.arange(len(top)), 100 * top["share"], color=COLOURS[6], height=0.72)
    axes.set_yticks(np.arange(len(top)), names.tolist(), fontsize=TEXT)
    axes.set_ylim(len(top) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of cells with the gene", fontsize=TEXT, color=INK)
    axes.grid(axis="x", color=RULE, linewidth=0.8)
    axes.tick_params(axis="y", length=0)
