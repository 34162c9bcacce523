"""Genes held out fold by fold: ROC curves with their mean, and how scores lie in each class."""

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

_GRID = np.linspace(0.0, 1.0, 101)


def fold_roc_curves(
    predictions: pd.DataFrame, path: str | Path | None = None, *, title: str = ""
) -> "Axes":
    """Draws the ROC curve of every fold thinly and their mean boldly, with one sd as a band.

    Of two classes the curve is that of the rarer one; of several, a fold's curve is the mean of
    each class against the rest. The legend has the area of each fold, and their mean and sd.

    Args:
        predictions: `finetune_genes(...).predictions`: one row a held-out gene with `true`,
            `fold` and `prob_<class>`.
        path: a png to write. Default: none.
        title: above the picture.

    Returns:
        The matplotlib Axes. A fold that lacks a class is left out.

    Raises:
        ValueError: if a column is missing, or no fold has genes of every class.
        ImportError: if matplotlib is not installed.

    Example:
        >>> import pandas as pd
        >>> from keras_geneformer import plotting
        >>> table = pd.DataFrame({"true": list("abab"), "fold": [1, 1, 2, 2],
        ...                       "prob_a": [0.9, 0.2, 0.6, 0.7], "prob_b": [0.1, 0.8, 0.4, 0.3]})
        >>> plotting.fold_roc_curves(table, "roc.png")  # doctest: +SKIP
    """
    classes = _classes(predictions, "fold")
    if len(classes) == 2:
        counts = predictions["true"].value_counts()
        classes = sorted(classes, key=lambda name: int(counts.get(name, 0)))[:1]
    curves, areas, names = [], [], []
    for fold, held in predictions.groupby("fold", sort=True):
        found = [_curve(held, name) for name in classes]
        if any(part is None for part in found):
            continue
        curves.append(np.mean([part[0] for part in found if part], axis=0))
        areas.append(float(np.mean([part[1] for part in found if part])))
        names.append(str(fold))
    if not curves:
        raise ValueError("no fold has genes of every class: there is no ROC curve to draw")
    axes = empty_picture(4.3 + 0.08 * len(curves), title)
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1.0, linestyle=(0, (4, 3)))
    for name, curve, area, colour in zip(names, curves, areas, cycled(COLOURS[1:], len(curves))):
        axes.plot(
            _GRID,
            curve,
            color=colour,
            linewidth=0.9,
            alpha=0.8,
            label=f"fold {name} AUC {area:.3f}",
        )
    mean = np.mean(curves, axis=0)
    label = f"mean of folds AUC {np.mean(areas):.3f}"
    if len(curves) > 1:
        sd = np.std(curves, axis=0, ddof=1)
        low, high = np.clip(mean - sd, 0, 1), np.clip(mean + sd, 0, 1)
        axes.fill_between(_GRID, low, high, color=COLOURS[0], alpha=0.10, linewidth=0)
        label += f" ± {np.std(areas, ddof=1):.3f}"
    axes.plot(_GRID, mean, color=COLOURS[0], linewidth=2.2, label=label)
    of = f" ({clipped(classes[0], 24)})" if len(classes) == 1 else " (mean of classes)"
    _frame(axes, "false positive rate", f"true positive rate{of}")
    _legend(axes.figure)
    return finished(axes, path)


def score_distribution(
    predictions: pd.DataFrame,
    path: str | Path | None = None,
    *,
    label: str | None = None,
    title: str = "",
) -> "Axes":
    """Draws how the probabilities of one class lie among the genes of each true class.

    A dot is a gene, apart from its neighbours in height only to be seen.

    Args:
        predictions: `finetune_genes(...).predictions`: one row a gene with `true` and
            `prob_<class>`.
        path: a png to write. Default: none.
        label: the class whose probability is drawn; by default the rarest.
        title: above the picture.

    Returns:
        The matplotlib Axes.

    Raises:
        ValueError: if a column is missing, or there is no such class.
        ImportError: if matplotlib is not installed.
    """
    classes = _classes(predictions)
    counts = predictions["true"].value_counts()
    label = min(classes, key=lambda name: int(counts.get(name, 0))) if label is None else label
    if label not in classes:
        raise ValueError(f"no column 'prob_{label}': the classes are {', '.join(classes)}")
    present = [name for name in classes if (predictions["true"] == name).any()]
    axes = empty_picture(1.2 + 0.75 * len(present), title)
    rng = np.random.default_rng(0)
    for row, (name, colour) in enumerate(zip(present, cycled(COLOURS, len(present)))):
        own = predictions.loc[predictions["true"] == name, f"prob_{label}"].to_numpy(dtype=float)
        heights = row + rng.uniform(-0.3, 0.3, len(own))
        size = float(np.clip(900 / len(own), 3, 14))
        axes.scatter(own, heights, s=size, color=colour, alpha=0.55, linewidth=0)
        low, middle, high = np.percentile(own, [25, 50, 75])
        axes.plot([low, high], [row, row], color=INK, linewidth=1.4)
        axes.plot([middle, middle], [row - 0.34, row + 0.34], color=INK, linewidth=1.8)
    rows = [
        f"{clipped(name, 22)}\n({(predictions['true'] == name).sum()} genes)" for name in present
    ]
    axes.set_yticks(range(len(present)), rows, fontsize=SMALL)
    axes.set_ylim(len(present) - 0.5, -0.5)
    axes.set_xlabel(
        f"probability of {clipped(label, 32)}; bars: median, quartiles", fontsize=TEXT, color=INK
    )
    axes.grid(axis="x", color=RULE, linewidth=0.8)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=6)
    return finished(axes, path)


def _classes(predictions: pd.DataFrame, *wanted: str) -> list[str]:
    columns = [name for name in map(str, predictions.columns) if name.startswith("prob_")]
    absent = [name for name in ("true", *wanted) if name not in predictions]
    if absent or len(columns) < 2 or predictions.empty:
        raise ValueError(
            f"a picture of held-out genes needs a row, columns {', '.join(('true', *wanted))} and "
            f"two columns 'prob_<class>', but the table has {len(predictions)} rows and columns "
            f"{list(map(str, predictions.columns))}"
        )
    return [name.removeprefix("prob_") for name in columns]


def _curve(held: pd.DataFrame, name: str) -> tuple[np.ndarray, float] | None:
    """True positive rates on the grid, and the area; None where a class is missing."""
    from sklearn.metrics import roc_auc_score, roc_curve

    truth = (held["true"] == name).to_numpy()
    if truth.all() or not truth.any():
        return None
    score = held[f"prob_{name}"].to_numpy(dtype=float)
    false, right, _ = roc_curve(truth, score)
    curve = np.interp(_GRID, false, right)
    curve[0] = 0.0
    return curve, float(roc_auc_score(truth, score))


def _frame(axes: Any, x: str, y: str) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(x, fontsize=TEXT, color=INK)
    axes.set_ylabel(y, fontsize=TEXT, color=INK)
    axes.grid(color=RULE, linewidth=0.8)


def _legend(figure: Any) -> None:
    figure.legend(
        loc="outside lower center",
        ncols=2,
        fontsize=SMALL,
        frameon=False,
        labelcolor=INK,
        handlelength=1.5,
        handletextpad=0.4,
        columnspacing=0.9,
    )
