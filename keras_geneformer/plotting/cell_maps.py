"""Cells as points in two dimensions."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from keras_geneformer.plotting.style import (
    COLOURS,
    INK,
    MARKERS,
    QUIET,
    SMALL,
    TEXT,
    clipped,
    empty_panels,
    empty_picture,
    finished,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
    coordinates: pd.DataFrame, labels: pd.Series, path: str | Path | None = None, *, title: str = ""
) -> "Axes":
    """Draws cells as points, coloured by label, the legend below with each label's cell count.

    Args:
        coordinates: one row a cell (or gene), the first two columns are x and y:
            `umap_coordinates` of what `embed_cells` or `embed_genes` returns.
        labels: one label a cell, in the same order (a column of obs, or
            `predict(...)["label"]`); missing labels are drawn first, in grey.
        path: a png to write. Default: none.
        title: above the picture.

    Returns:
        The matplotlib Axes.

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
    axes = empty_picture(4.3 + 0.19 * rows, title, square=True)
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
            label=f"{clipped(name, 30)} ({chosen.sum()})",
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(str(coordinates.columns[0]), fontsize=SMALL, color=QUIET, loc="left")
    axes.set_ylabel(str(coordinates.columns[1]), fontsize=SMALL, color=QUIET, loc="bottom")
    legend: Any = axes.figure.legend(
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
    return finished(axes, path)


def truth_and_prediction(
    coordinates: pd.DataFrame,
    predictions: pd.DataFrame,
    path: str | Path | None = None,
    *,
    title: str = "",
) -> np.ndarray:
    """Draws the same cells twice, coloured by their true class and by the predicted one.

    Args:
        coordinates: one row a cell, the first two columns are x and y (`umap_coordinates`).
        predictions: in the same order, with columns `true` and `label`.
        path: a png to write. Default: none.
        title: above the picture.

    Returns:
        The two matplotlib Axes: truth, prediction. The legend has, after each class, its cells in
        truth and in prediction.

    Raises:
        ValueError: if there are not as many rows in both, none, or a column is missing.
        ImportError: if matplotlib is not installed.
    """
    missing = [name for name in ("true", "label") if name not in predictions]
    if missing or len(predictions) != len(coordinates) or coordinates.empty:
        raise ValueError(
            "two maps of cells need columns 'true' and 'label' and as many rows as coordinates, "
            f"but got {len(coordinates)} rows of coordinates and {len(predictions)} of predictions "
            f"with columns {list(map(str, predictions.columns))}"
        )
    x, y = (coordinates.iloc[:, column].to_numpy(dtype=float) for column in (0, 1))
    kinds = [predictions[name].astype(str).to_numpy() for name in ("true", "label")]
    tables = [pd.Series(kind).value_counts() for kind in kinds]
    counts = pd.DataFrame(dict(zip(("true", "label"), tables))).fillna(0).astype(int)
    counts = counts.sort_values("true", ascending=False, kind="stable")
    columns = 2 if len(counts) > 3 else 1
    height = 2.75 + 0.17 * -(-len(counts) // columns)
    panels = empty_panels(height, title, columns=2, square=True)
    size = float(np.clip(4000 / len(x), 1.5, 12))
    for side, (kind, name) in enumerate(zip(kinds, ("truth", "prediction"))):
        axes = panels[0, side]
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(name, fontsize=TEXT, color=INK)
        for number, label in enumerate(counts.index):
            chosen = kind == label
            both = f"{counts['true'][label]}, {counts['label'][label]}"
            axes.scatter(
                x[chosen],
                y[chosen],
                s=size,
                color=COLOURS[number % len(COLOURS)],
                marker=MARKERS[number // len(COLOURS) % len(MARKERS)],
                linewidth=0.2,
                edgecolor="white",
                label=None if side else f"{clipped(label, 22)} ({both})",
            )
    legend: Any = axes.figure.legend(
        loc="outside lower center",
        ncols=columns,
        fontsize=SMALL,
        frameon=False,
        labelcolor=INK,
        handletextpad=0.3,
        columnspacing=1.0,
    )
    for handle in legend.legend_handles:
        handle.set_sizes([26.0])
    return finished(panels[0], path)
