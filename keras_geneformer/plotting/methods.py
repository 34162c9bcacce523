"""Methods side by side, and folds one by one."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from keras_geneformer.plotting.style import (
    COLOURS,
    INK,
    MARKERS,
    RULE,
    SMALL,
    TEXT,
    clipped,
    cycled,
    empty_picture,
    finished,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def comparison_bars(
    table: pd.DataFrame,
    path: str | Path | None = None,
    *,
    scores: Sequence[str] = ("accuracy", "macro_f1"),
    title: str = "",
) -> "Axes":
    """Draws each method's mean scores as bars, its folds as dots on them, the best on top.

    Args:
        table: `compare(...).table`: one row a method and fold: `method`, and the scores.
        path: a png to write. Default: none.
        scores: columns to draw; the last one orders the methods.
        title: above the picture.

    Returns:
        The matplotlib Axes.

    Raises:
        ValueError: if a column is missing or there is no row.
        ImportError: if matplotlib is not installed.
    """
    _check(table, ("method", *scores), "a comparison")
    means = table.groupby("method", sort=False)[list(scores)].mean()
    means = means.sort_values(scores[-1], ascending=False, kind="stable")
    bar = 0.8 / len(scores)
    axes = empty_picture(1.1 + (0.14 + 0.16 * len(scores)) * len(means), title)
    for number, (score, colour) in enumerate(zip(scores, cycled(COLOURS[:2], len(scores)))):
        places = np.arange(len(means)) - 0.4 + bar * (number + 0.5)
        label = score.replace("_", " ").replace("macro f1", "macro-F1")
        axes.barh(places, means[score], height=bar * 0.92, color=colour, alpha=0.55, label=label)
        for place, method in zip(places, means.index):
            folds = table.loc[table["method"] == method, score].to_numpy(dtype=float)
            folds = folds[np.isfinite(folds)]
            if len(folds) > 1:
                axes.plot(folds, np.full(len(folds), place), "o", color=INK, markersize=2.2)
            most = max([*folds, means.loc[method, score]])
            axes.annotate(
                f"{means.loc[method, score]:.3f}",
                (most, place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=SMALL,
                color=INK,
            )
    names = [textwrap.fill(str(name), 24) for name in means.index]
    axes.set_yticks(range(len(means)), names, fontsize=SMALL)
    axes.set_ylim(len(means) - 0.45, -0.55)
    axes.set_xlim(min(0.0, float(table[list(scores)].min().min())), 1.13)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_xlabel("score; bar: mean, dots: folds", fontsize=TEXT, color=INK)
    axes.grid(axis="x", color=RULE, linewidth=0.8)
    axes.tick_params(axis="y", length=0)
    axes.figure.legend(
        loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False, labelcolor=INK
    )
    return finished(axes, path)


def fold_scores(
    table: pd.DataFrame,
    path: str | Path | None = None,
    *,
    scores: Sequence[str] = ("accuracy", "macro_f1"),
    title: str = "",
) -> "Axes":
    """Draws the scores of every fold as dots, with their mean as a line and one sd as a band.

    Args:
        table: `cross_validate(...).table` or `finetune_genes(...).folds`: one row a fold, in order:
            the scores, and `fold`, its name.
        path: a png to write. Default: none.
        scores: columns to draw (`auc`, say, of a gene study).
        title: above the picture.

    Returns:
        The matplotlib Axes.

    Raises:
        ValueError: if a column is missing or there is no row.
        ImportError: if matplotlib is not installed.
    """
    _check(table, ("fold", *scores), "scores by fold")
    axes = empty_picture(3.2, title)
    places = np.arange(len(table))
    for number, (score, colour) in enumerate(zip(scores, cycled(COLOURS, len(scores)))):
        values = table[score].to_numpy(dtype=float)
        mean = float(np.nanmean(values))
        label = f"{score.replace('_', ' ').replace('macro f1', 'macro-F1')} {mean:.3f}"
        if np.isfinite(values).sum() > 1:
            sd = float(np.nanstd(values, ddof=1))
            axes.axhspan(mean - sd, mean + sd, color=colour, alpha=0.10, linewidth=0)
            label += f" ± {sd:.3f}"
        axes.axhline(mean, color=colour, linewidth=1.0, linestyle=(0, (4, 3)))
        marker = MARKERS[number % len(MARKERS)]
        axes.plot(places, values, marker, color=colour, markersize=6, label=label)
    names = [clipped(name, 16) for name in table["fold"]]
    turned = 90 if len(names) > 8 or max(map(len, names)) > 9 else 0
    axes.set_xticks(places, names, fontsize=SMALL, rotation=turned)
    axes.set_xlim(-0.5, len(table) - 0.5)
    axes.set_xlabel("fold", fontsize=TEXT, color=INK)
    axes.set_ylabel("score", fontsize=TEXT, color=INK)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.figure.legend(
        loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False, labelcolor=INK
    )
    return finished(axes, path)


def _check(table: pd.DataFrame, wanted: Sequence[str], what: str) -> None:
    missing = [name for name in wanted if name not in table]
    if missing or table.empty:
        raise ValueError(
            f"{what} needs a row and columns {', '.join(wanted)}, but the table has {len(table)} "
            f"rows and columns {list(map(str, table.columns))}"
        )
