"""Whether cells called with 90% are right nine times of ten."""

from pathlib import Path

import numpy as np
import pandas as pd

from keras_geneformer.plotting.style import (
    COLOURS,
    INK,
    QUIET,
    RULE,
    TEXT,
    empty_panels,
    finished,
)


def reliability_diagram(
    table: pd.DataFrame, path: str | Path | None = None, *, title: str = ""
) -> np.ndarray:
    """Draws accuracy against confidence, bin by bin, and below how many cells each bin has.

    The expected calibration error (ECE), the mean distance of the two over cells (Guo et al.,
    ICML 2017), stands in the picture.

    Args:
        table: one row a cell with `true`, `label` and `prob_<class>` (`finetune_cells(...)` and
            `cross_validate(...)`: `.predictions`), put into 15 bins here; or one row a bin:
            `confidence` (mean), `accuracy` and `cells`; empty bins may be there.
        path: a png to write. Default: none.
        title: above the picture.

    Returns:
        The two matplotlib Axes: accuracy, cells.

    Raises:
        ValueError: if a column is missing or no bin has a cell.
        ImportError: if matplotlib is not installed.
    """
    probabilities = [name for name in map(str, table.columns) if name.startswith("prob_")]
    if {"true", "label"} <= set(table) and probabilities:
        from keras_geneformer.training.finetuning.calibration import reliability_table

        right = table["true"].astype(str) == table["label"].astype(str)
        table = reliability_table(table[probabilities].max(axis=1), right)
    missing = [name for name in ("confidence", "accuracy", "cells") if name not in table]
    if missing or not (table["cells"] > 0).any():
        raise ValueError(
            "a reliability diagram needs columns confidence, accuracy and cells and a bin with "
            f"cells, but the table has {len(table)} rows and columns "
            f"{list(map(str, table.columns))}"
        )
    bins = table[table["cells"] > 0].sort_values("confidence")
    confidence, accuracy, cells = (
        bins[name].to_numpy(dtype=float) for name in ("confidence", "accuracy", "cells")
    )
    error = float((cells * np.abs(accuracy - confidence)).sum() / cells.sum())
    panels = empty_panels(5.2, title, 2, sharex=True, height_ratios=[3.2, 1])
    upper, lower = panels[:, 0]
    for each in (upper, lower):
        each.grid(color=RULE, linewidth=0.8)
    upper.plot([0, 1], [0, 1], color=QUIET, linewidth=1.0, linestyle=(0, (4, 3)))
    upper.vlines(confidence, confidence, accuracy, color=COLOURS[1], linewidth=3, alpha=0.5)
    upper.plot(confidence, accuracy, "o-", color=COLOURS[0], markersize=5, linewidth=1.4)
    upper.text(
        0.03,
        0.95,
        f"ECE {error:.3f}\n{cells.sum():.0f} cells",
        transform=upper.transAxes,
        va="top",
        fontsize=TEXT,
        color=INK,
    )
    upper.set_xlim(-0.02, 1.02)
    upper.set_ylim(-0.02, 1.02)
    upper.set_ylabel("accuracy", fontsize=TEXT, color=INK)
    upper.tick_params(labelbottom=False)
    lower.bar(confidence, cells, width=0.025, color=COLOURS[0])
    lower.set_ylabel("cells", fontsize=TEXT, color=INK)
    lower.set_xlabel("confidence (probability of the label)", fontsize=TEXT, color=INK)
    return finished(panels[:, 0], path)
