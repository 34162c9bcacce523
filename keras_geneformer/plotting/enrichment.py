"""Whether the genes found match a known set."""

from pathlib import Path

import numpy as np
import pandas as pd

from keras_geneformer.plotting.style import (
    COLOURS,
    INK,
    QUIET,
    RULE,
    SMALL,
    TEXT,
    clipped,
    empty_panels,
    finished,
)

_COLUMNS = ("set", "auroc", "auroc_low", "auroc_high", "top", "in_top", "expected_in_top")


def gene_set_bars(
    enrichment: pd.DataFrame, path: str | Path | None = None, *, title: str = ""
) -> np.ndarray:
    """Draws how high the genes of each set rank, and how many of them are at the top.

    Args:
        enrichment: what `gene_set_enrichment` returns.
        path: a png to write. Default: none.
        title: above the picture.

    Returns:
        The two matplotlib Axes: AUROC with its interval (dashed: chance), and the set's genes at
        the top as a bar beside as many as are expected of matched genes, a line.

    Raises:
        ValueError: if a column is missing or there is no row.
        ImportError: if matplotlib is not installed.
    """
    absent = [name for name in _COLUMNS if name not in enrichment]
    if absent or enrichment.empty:
        raise ValueError(
            f"a picture of gene sets needs a row and the columns of gene_set_enrichment: "
            f"{absent} of {len(enrichment)} rows are missing"
        )
    panels = empty_panels(1.4 + 0.42 * len(enrichment), title, columns=2, sharey=True)[0]
    places = np.arange(len(enrichment))
    ranks, top = panels
    ends = enrichment[["auroc_low", "auroc_high"]].to_numpy(dtype=float)
    ranks.hlines(places, ends[:, 0], ends[:, 1], color=COLOURS[0], linewidth=2, alpha=0.35)
    ranks.plot(enrichment["auroc"], places, "o", color=COLOURS[0], markersize=5)
    ranks.axvline(0.5, color=QUIET, linewidth=1.0, linestyle=(0, (4, 3)))
    ranks.set_xlim(min(0.3, ends.min() - 0.03), max(0.8, ends.max() + 0.03))
    ranks.set_title("AUROC", fontsize=TEXT, color=INK, loc="left")
    ranks.set_xlabel("dashed: chance", fontsize=SMALL, color=INK)
    top.barh(places, enrichment["in_top"], color=COLOURS[6], height=0.5)
    expected = enrichment["expected_in_top"]
    top.vlines(expected, places - 0.36, places + 0.36, color=COLOURS[1], linewidth=2)
    for place, count in zip(places, enrichment["in_top"]):
        top.annotate(
            f"{count:.0f}",
            (count, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            color=INK,
        )
    top.set_xlim(0, 1.2 * max(float(enrichment["in_top"].max()), float(expected.max()), 1.0))
    sizes = ", ".join(f"{size:,}" for size in dict.fromkeys(enrichment["top"].astype(int)))
    top.set_title(f"genes in the top {clipped(sizes, 16)}", fontsize=TEXT, color=INK, loc="left")
    top.set_xlabel("line: expected", fontsize=SMALL, color=INK)
    names = [clipped(name, 26) for name in enrichment["set"]]
    ranks.set_yticks(places, names, fontsize=SMALL)
    ranks.set_ylim(len(places) - 0.4, -0.6)
    for axes in panels:
        axes.grid(axis="x", color=RULE, linewidth=0.8)
        axes.tick_params(axis="y", length=0)
        axes.locator_params(axis="x", nbins=4)
    return finished(panels, path)
