"""Models made smaller: what pruning took out, and a student beside its teacher."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_geneformer.plotting.style import (
    COLOURS,
    INK,
    RULE,
    SMALL,
    TEXT,
    empty_panels,
    empty_picture,
    finished,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GONE = "#d4d8de"


def pruned_blocks(result: Any, path: str | Path | None = None, *, title: str = "") -> np.ndarray:
    """Draws how many heads and units each block keeps, in front of how many it had.

    Args:
        result: what `prune` returns.
        path: a png to write. Default: none.
        title: above the picture. Default: the numbers of weights before and after.

    Returns:
        The two matplotlib Axes: attention heads, units of the feed-forward networks.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    blocks = result.blocks
    said = f"{result.parameters_before:,} weights before, {result.parameters:,} now"
    panels = empty_panels(1.3 + 0.27 * len(blocks), title or said, columns=2, sharey=True)[0]
    places = np.arange(len(blocks))
    for axes, kept, words, colour in (
        (panels[0], "heads", "heads", COLOURS[0]),
        (panels[1], "units", "feed-forward units", COLOURS[6]),
    ):
        before, now = blocks[f"{kept}_before"], blocks[kept]
        axes.barh(places, before, color=_GONE, height=0.7)
        axes.barh(places, now, color=colour, height=0.7)
        for place, (left, had) in enumerate(zip(now, before)):
            axes.annotate(
                f"{left:,} of {had:,}", (had, place), xytext=(4, 0), textcoords="offset points",
                va="center", fontsize=SMALL, color=INK,
            )  # fmt: skip
        axes.set_xlim(0, 1.5 * before.max())
        axes.set_xlabel(words, fontsize=TEXT, color=INK)
        axes.locator_params(axis="x", integer=True, nbins=4)
        axes.grid(axis="x", color=RULE, linewidth=0.8)
        axes.tick_params(axis="y", length=0)
    names = [str(name).replace("encoder_block_", "block ") for name in blocks["block"]]
    panels[0].set_yticks(places, names, fontsize=SMALL)
    panels[0].set_ylim(len(blocks) - 0.4, -0.6)
    return finished(panels, path)


def teacher_and_student(result: Any, path: str | Path | None = None, *, title: str = "") -> "Axes":
    """Draws the scores of a distilled student beside those of its teacher, on the same cells.

    Args:
        result: what `distill` returns, with validation cells. Its `history` is drawn by
            `learning_curves`.
        path: a png to write. Default: none.
        title: above the picture. Default: the numbers of weights of both.

    Returns:
        The matplotlib Axes: a line a score, from the teacher (hollow) to the student.

    Raises:
        ValueError: if there is no score of both.
        ImportError: if matplotlib is not installed.
    """
    scores = [name for name in result.metrics if f"teacher_{name}" in result.metrics]
    if not scores:
        raise ValueError(
            f"no score of student and teacher among {list(result.metrics)}: distill with "
            "validation cells"
        )
    said = f"teacher {result.teacher_parameters:,} weights, student {result.parameters:,}"
    axes = empty_picture(1.2 + 0.42 * len(scores), title or said)
    places = np.arange(len(scores))
    student = np.array([result.metrics[name] for name in scores])
    teacher = np.array([result.metrics[f"teacher_{name}"] for name in scores])
    axes.hlines(places, teacher, student, color=COLOURS[4], linewidth=2)
    dots: dict[str, Any] = {"markersize": 6, "markeredgecolor": COLOURS[0]}
    axes.plot(teacher, places, "o", markerfacecolor="white", label="teacher", **dots)
    axes.plot(student, places, "o", markerfacecolor=COLOURS[0], label="student", **dots)
    for place, values in enumerate(zip(teacher, student)):
        for value, side in zip(values, (1, -1) if values[0] >= values[1] else (-1, 1)):
            axes.annotate(
                f"{value:.3f}", (value, place), xytext=(6 * side, 0), textcoords="offset points",
                ha="left" if side > 0 else "right", va="center", fontsize=SMALL, color=INK,
            )  # fmt: skip
    names = [name.replace("_", " ").replace("macro f1", "macro-F1") for name in scores]
    axes.set_yticks(places, names, fontsize=TEXT)
    axes.set_ylim(len(scores) - 0.4, -0.6)
    axes.margins(x=0.25)
    axes.set_xlabel("on cells that the student did not learn from", fontsize=TEXT, color=INK)
    axes.grid(axis="x", color=RULE, linewidth=0.8)
    axes.tick_params(axis="y", length=0)
    axes.figure.legend(
        loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False, labelcolor=INK
    )
    return finished(axes, path)
