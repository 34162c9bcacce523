"""Pictures of what training and analysis return, each from a DataFrame to a png file.

Every function draws on a figure of its own (no pyplot, no backend chosen, no global style changed),
so it is safe in notebooks, servers and threads. Pictures are 5 inches wide with 9 point text: on a
phone 360 pixels wide the text is 9 pixels high. Colours are Paul Tol's "muted" scheme, which people
with the common colour-vision deficiencies can tell apart; markers differ as well where there are
more classes than colours.

matplotlib comes with the extra `plot` and is imported at the first picture.
"""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.picture_style import (
    COLOURS,
    INK,
    MARKERS,
    QUIET,
    RULE,
    SMALL,
    TEXT,
    WIDTH,
    empty_picture,
    write_picture,
)

__all__ = ["confusion_matrix", "embedding_map", "gene_bars", "loss_curve", "umap_coordinates"]


def loss_curve(
    history: pd.DataFrame,
    path: str | Path,
    *,
    baseline: float | None = None,
    baseline_label: str = "baseline",
    title: str = "",
    ylabel: str = "loss",
) -> Path:
    """Draws one line for each loss of a training history.

    Where a line has more than 60 points, they are drawn faintly and their running mean over a
    fortieth of the history boldly.

    Args:
        history: one row a point. A column `step` or else `epoch` is the x axis, or else the row's
            number counted from 1; every numeric column whose name is or ends in `loss` is a line.
        path: the png to write.
        baseline: a loss to compare with, drawn as a dashed line; None draws none.
        baseline_label: what the baseline is.
        title: above the picture.
        ylabel: beside the y axis, with the unit.

    Returns:
        `path`.

    Raises:
        ValueError: if no column is a loss.
        ImportError: if matplotlib is not installed.

    Example:
        >>> import pandas as pd
        >>> from keras_geneformer import plotting
        >>> history = pd.DataFrame({"epoch": [1, 2], "loss": [6.1, 5.2], "val_loss": [6.0, 5.4]})
        >>> plotting.loss_curve(history, "loss.png")  # doctest: +SKIP
    """
    losses = [
        str(name)
        for name in history.columns
        if str(name).endswith("loss") and pd.api.types.is_numeric_dtype(history[name])
    ]
    if not losses or history.empty:
        raise ValueError(
            "a loss curve needs at least one row and one numeric column whose name ends in 'loss', "
            f"but the history has {len(history)} rows and columns {list(map(str, history.columns))}"
        )
    axis = next((name for name in ("step", "epoch") if name in history.columns), None)
    x = history[axis].to_numpy() if axis else np.arange(1, len(history) + 1)

    figure, axes = empty_picture(3.0, title)
    for name, colour in zip(losses, _cycle(COLOURS, len(losses))):
        points = history[name].notna().to_numpy()
        label = name.removesuffix("loss").strip("_") or "training"
        label = {"val": "validation"}.get(label, label)
        xs, line, marker = x[points], history[name][points], "o" if points.sum() <= 40 else ""
        if len(line) > 60:
            axes.plot(xs, line, color=colour, linewidth=0.8, alpha=0.25)
            line = line.rolling(max(5, len(line) // 40), min_periods=1, center=True).mean()
        axes.plot(xs, line, color=colour, marker=marker, markersize=3.5, linewidth=1.8, label=label)
    if baseline is not None:
        axes.axhline(baseline, color=QUIET, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.annotate(
            f"{baseline_label} {baseline:.2f}",
            (1.0, baseline),
            xytext=(-2, 3),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            ha="right",
            fontsize=SMALL,
            color=QUIET,
        )
    axes.set_xlabel(axis or "epoch", fontsize=TEXT, color=INK)
    axes.set_ylabel(ylabel, fontsize=TEXT, color=INK)
    axes.locator_params(axis="x", integer=True)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    if len(losses) > 1:
        axes.legend(fontsize=TEXT, frameon=False, loc="best", labelcolor=INK)
    return write_picture(figure, path)


def umap_coordinates(embedding: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Lays out an embedding in two dimensions with UMAP (McInnes et al. 2018).

    Args:
        embedding: one row a cell, one column a dimension; rows with NaN (cells that were dropped)
            come back as NaN.
        seed: of the layout; the same seed gives the same picture on one machine.

    Returns:
        A DataFrame indexed as `embedding`, with columns `umap1` and `umap2`.

    Raises:
        ImportError: if umap-learn is not installed.
        ValueError: if fewer than 4 rows can be laid out.
    """
    try:
        from umap import UMAP
    except ImportError as error:
        raise ImportError(
            "laying cells out with UMAP needs umap-learn: pip install 'keras_geneformer[plot]'"
        ) from error
    values = embedding.to_numpy(dtype=np.float32)
    kept = np.isfinite(values).all(axis=1)
    if kept.sum() < 4:
        raise ValueError(f"UMAP needs at least 4 cells, but the embedding has {kept.sum()}")
    neighbours = int(min(15, kept.sum() - 1))
    layout = UMAP(
        n_neighbors=neighbours,
        min_dist=0.3,
        metric="cosine",
        random_state=seed,
        n_jobs=1,
        init="spectral" if kept.sum() > 50 else "random",
    )
    coordinates = np.full((len(embedding), 2), np.nan, dtype=np.float32)
    coordinates[kept] = layout.fit_transform(values[kept])
    return pd.DataFrame(coordinates, index=embedding.index, columns=["umap1", "umap2"])


def embedding_map(
    coordinates: pd.DataFrame, labels: pd.Series, path: str | Path, *, title: str = ""
) -> Path:
    """Draws cells as points, coloured by label, the legend below with each label's cell count.

    Args:
        coordinates: one row a cell, the first two columns are x and y (`umap_coordinates`).
        labels: one label a cell, in the same order; missing labels are drawn first, in grey.
        path: the png to write.
        title: above the picture.

    Returns:
        `path`.

    Raises:
        ValueError: if there are not as many labels as rows, or no row.
        ImportError: if matplotlib is not installed.
    """
    if len(labels) != len(coordinates) or coordinates.empty:
        raise ValueError(
            "a map of cells needs one label for each row of coordinates, "
            f"but got {len(coordinates)} rows and {len(labels)} labels"
        )
    x, y = (coordinates.iloc[:, column].to_numpy(dtype=float) for column in (0, 1))
    names, missing = labels.astype(object).to_numpy(), labels.isna().to_numpy()
    ordered = list(labels.astype(object).value_counts().index)
    rows = -(-(len(ordered) + 1) // 2)
    figure, axes = empty_picture(4.3 + 0.19 * rows, title, square=True)
    size = float(np.clip(9000 / len(x), 3, 22))
    if missing.any():
        axes.scatter(
            x[missing], y[missing], s=size, color="#c7ccd4", label=f"none ({missing.sum()})"
        )
    for number, name in enumerate(ordered):
        chosen = np.array([other == name for other in names])
        axes.scatter(
            x[chosen],
            y[chosen],
            s=size,
            color=COLOURS[number % len(COLOURS)],
            linewidth=0.3,
            marker=MARKERS[number // len(COLOURS) % len(MARKERS)],
            edgecolor="white",
            label=f"{textwrap.shorten(str(name), 30, placeholder='…')} ({chosen.sum()})",
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(str(coordinates.columns[0]), fontsize=SMALL, color=QUIET, loc="left")
    axes.set_ylabel(str(coordinates.columns[1]), fontsize=SMALL, color=QUIET, loc="bottom")
    legend: Any = figure.legend(
        loc="outside lower center",
        ncols=2 if len(ordered) > 3 else 1,
        fontsize=SMALL,
        frameon=False,
        labelcolor=INK,
        handletextpad=0.3,
        columnspacing=1.2,
    )
    for handle in legend.legend_handles:
        handle.set_sizes([26.0])
    return write_picture(figure, path)


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


def gene_bars(
    effects: pd.DataFrame,
    path: str | Path,
    *,
    gene: str = "gene",
    value: str = "value",
    group: str | None = None,
    number: int = 15,
    title: str = "",
    xlabel: str = "",
) -> Path:
    """Draws the genes with the largest values as bars, the largest on top, group by group.

    Args:
        effects: one row a gene.
        path: the png to write.
        gene: the column that labels a bar (symbols read best).
        value: the column that is drawn.
        group: a column that colours the bars (a cell type, say); None for one colour.
        number: how many genes are drawn at most.
        title: above the picture.
        xlabel: what the value is, below the axis.

    Returns:
        `path`.

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
    colours = dict(zip(groups, _cycle(COLOURS, len(groups))))
    figure, axes = empty_picture(0.9 + 0.22 * len(top) + (0.25 if group else 0), title)
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

        figure.legend(
            handles=[Patch(color=colours[name], label=str(name)) for name in groups],
            loc="outside lower center",
            ncols=2,
            fontsize=SMALL,
            frameon=False,
            labelcolor=INK,
        )
    return write_picture(figure, path)


def _cycle(values: tuple[str, ...], number: int) -> list[str]:
    return [values[index % len(values)] for index in range(number)]
