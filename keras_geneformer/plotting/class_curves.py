"""ROC and precision-recall curves, each class against the rest."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    cycled,
    empty_picture,
    finished,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))


def roc_curves(
    predictions: pd.DataFrame, path: str | Path | None = None, *, title: str = ""
) -> "Axes":
    """Draws each class's ROC curve against all others, the area under it in the legend.

    Args:
        predictions: one row a cell (or gene): `true`, and `prob_<class>` for every class, as in
            the results of `finetune_cells`, `finetune_genes` and `cross_validate`.
        path: a png to write. Default: none.
        title: above the picture.

    Returns:
        The matplotlib Axes. A class that no row, or every row, truly has is named in the legend
        without a line.

    Raises:
        ValueError: if there is no row, no column `true` or no probability.
        ImportError: if matplotlib is not installed.

    Example:
        >>> import pandas as pd
        >>> from keras_geneformer import plotting
        >>> table = pd.DataFrame({"true": list("BTBT"), "prob_B": [0.9, 0.2, 0.6, 0.7]})
        >>> plotting.roc_curves(table, "roc.png")  # doctest: +SKIP
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    def curve(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        false, right, _ = roc_curve(truth, score)
        return false, right, float(roc_auc_score(truth, score))

    def chance(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1.0, linestyle=(0, (4, 3)))

    names = ("false positive rate", "true positive rate")
    return _curves(predictions, path, title, curve, "AUC", names, chance)


def precision_recall_curves(
    predictions: pd.DataFrame, path: str | Path | None = None, *, title: str = ""
) -> "Axes":
    """Draws each class's precision against its recall, the average precision in the legend.

    Of rare classes it says more than the ROC curve, which a large rest flatters.

    Args:
        predictions: one row a cell (or gene): `true`, and `prob_<class>` for every class, as in
            the results of `finetune_cells`, `finetune_genes` and `cross_validate`.
        path: a png to write. Default: none.
        title: above the picture.

    Returns:
        The matplotlib Axes. A class that no row, or every row, truly has is named in the legend
        without a line.

    Raises:
        ValueError: if there is no row, no column `true` or no probability.
        ImportError: if matplotlib is not installed.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    def curve(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        precision, recall, _ = precision_recall_curve(truth, score)
        return recall, precision, float(average_precision_score(truth, score))

    def nothing(axes: Any) -> None: ...

    # In steps: between its points precision is not on a line (Davis and Goadrich, ICML 2006).
    return _curves(
        predictions, path, title, curve, "AP", ("recall", "precision"), nothing, "steps-post"
    )


def _curves(
    predictions: pd.DataFrame,
    path: str | Path | None,
    title: str,
    curve: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, float]],
    area: str,
    names: tuple[str, str],
    before: Callable[[Any], None],
    drawn: str = "default",
) -> "Axes":
    columns = [name for name in map(str, predictions.columns) if name.startswith("prob_")]
    if predictions.empty or "true" not in predictions or not columns:
        raise ValueError(
            "curves by class need a row, a column 'true' and columns 'prob_<class>', but the table "
            f"has {len(predictions)} rows and columns {list(map(str, predictions.columns))}"
        )
    true = predictions["true"].astype(str).to_numpy()
    few = len(columns) < 4
    rows = len(columns) if few else -(-len(columns) // 2)
    axes = empty_picture(4.0 + 0.17 * rows, title)
    before(axes)
    for number, (column, colour) in enumerate(zip(columns, cycled(COLOURS, len(columns)))):
        name = column.removeprefix("prob_")
        shown = clipped(name, 40 if few else 20)
        truth = true == name
        style: dict[str, Any] = {
            "color": colour,
            "linewidth": 1.6,
            "drawstyle": drawn,
            "linestyle": _DASHES[number // len(COLOURS) % len(_DASHES)],
        }
        if 0 < truth.sum() < len(truth):
            x, y, value = curve(truth, predictions[column].to_numpy(dtype=float))
            axes.plot(x, y, **style, label=f"{shown} {area} {value:.3f} ({truth.sum()})")
        else:
            axes.plot([], [], **style, label=f"{shown} {area} – ({truth.sum()})")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(names[0], fontsize=TEXT, color=INK)
    axes.set_ylabel(names[1], fontsize=TEXT, color=INK)
    axes.grid(color=RULE, linewidth=0.8)
    axes.figure.legend(
        loc="outside lower center",
        ncols=1 if few else 2,
        fontsize=SMALL,
        frameon=False,
        labelcolor=INK,
        handlelength=1.5,
        handletextpad=0.4,
        columnspacing=0.9,
    )
    return finished(axes, path)
