"""What cell sentences keep of expression."""

from pathlib import Path
from typing import Any

import numpy as np

from keras_geneformer.plotting.style import (
    COLOURS,
    INK,
    QUIET,
    RULE,
    SMALL,
    TEXT,
    empty_panels,
    finished,
)


def round_trip(trip: Any, path: str | Path | None = None, *, title: str = "") -> np.ndarray:
    """Draws the line from ranks to expression, and how well expression comes back, cell by cell.

    Args:
        trip: what `round_trip_correlation` returns; its `model` is what `fit_rank_model` does.
        path: a png to write. Default: none.
        title: above the picture.

    Returns:
        The two matplotlib Axes: expression by rank, correlations.

    Raises:
        ValueError: if no cell has a correlation.
        ImportError: if matplotlib is not installed.
    """
    correlations = trip.correlations.dropna().to_numpy(dtype=float)
    if not len(correlations):
        raise ValueError("no cell has two different counts: there is no correlation to draw")
    panels = empty_panels(5.2, title, 2)[:, 0]
    line, cells = panels
    ranks = np.geomspace(1, 2000, 200)
    line.plot(ranks, trip.model.expression(ranks), color=COLOURS[0], linewidth=1.8)
    line.set_xscale("log")
    line.set_yscale("log")
    line.set_xlabel("rank in the cell sentence", fontsize=TEXT, color=INK)
    line.set_ylabel("counts per 10,000", fontsize=TEXT, color=INK)
    fit = trip.model
    known = "" if fit.r_squared is None else f"; R2 {fit.r_squared:.3f} over {fit.cells:,} cells"
    said = f"log10(1 + y) = {fit.intercept:.3f} {fit.slope:+.3f} log10(rank){known}"
    line.set_title(said, fontsize=SMALL, color=QUIET, loc="left")
    cells.hist(correlations, bins=30, color=COLOURS[6])
    cells.axvline(trip.median, color=COLOURS[1], linewidth=1.6)
    cells.set_title(f"line: median {trip.median:.3f}", fontsize=SMALL, color=QUIET, loc="left")
    cells.set_xlabel("Spearman correlation, counts and what comes back", fontsize=TEXT, color=INK)
    cells.set_ylabel("cells", fontsize=TEXT, color=INK)
    cells.locator_params(axis="y", integer=True, nbins=5)
    for axes in (line, cells):
        axes.grid(color=RULE, linewidth=0.8)
        axes.tick_params(which="minor", length=0)
    return finished(panels, path)
