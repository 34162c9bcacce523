"""A fine-tuning run as it went: the losses above, the validation's scores below."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.plotting.style import (
    COLOURS,
    INK,
    RULE,
    SMALL,
    TEXT,
    cycled,
    empty_panels,
    finished,
)

_PREFIX = "validation_"
_SCORES = (COLOURS[2], COLOURS[5], COLOURS[6], COLOURS[8])


def learning_curves(
    history: pd.DataFrame, path: str | Path | None = None, *, title: str = ""
) -> np.ndarray:
    """Draws the loss of training and validation, and the validation's scores, by step.

    Vertical rules stand where epochs end. Above 60 steps the training loss is drawn faintly, and
    its running mean over a fortieth of the steps boldly.

    Args:
        history: of `finetune_cells`, `finetune_multitask` or `distill`: one row a step with
            `step`, `epoch`, `loss`, and where an epoch ends `validation_loss` and scores
            `validation_<name>`; other columns that are no numbers are left out.
        path: a png to write. Default: none.
        title: above the picture.

    Returns:
        The matplotlib Axes, shape (2,): losses, scores. Without scores there are the losses alone,
        shape (1,).

    Raises:
        ValueError: if there is no row or no column `loss`.
        ImportError: if matplotlib is not installed.
    """
    if history.empty or "loss" not in history:
        raise ValueError(
            "learning curves need a row and a column 'loss', but the history has "
            f"{len(history)} rows and columns {list(map(str, history.columns))}"
        )
    counted = history["step"] if "step" in history else pd.Series(range(1, len(history) + 1))
    steps = counted.to_numpy()
    scores = [
        str(name)
        for name in history.columns
        if str(name).startswith(_PREFIX)
        and name != f"{_PREFIX}loss"
        and pd.api.types.is_numeric_dtype(history[name])
        and history[name].notna().any()
    ]
    grid = empty_panels(5.0 if scores else 3.0, title, 2 if scores else 1)
    panels = grid[:, 0]
    for axes in panels:
        axes.grid(axis="y", color=RULE, linewidth=0.8)
        for end in _epoch_ends(history, steps):
            axes.axvline(end, color=RULE, linewidth=0.8)
        axes.set_xlim(min(0, steps[0]), steps[-1] * 1.02)
    _draw_losses(panels[0], history, steps)
    if scores:
        for name, colour in zip(scores, cycled(_SCORES, len(scores))):
            values = history[name]
            known = values.notna().to_numpy()
            label = name.removeprefix(_PREFIX).replace("_", " ").replace("macro f1", "macro-F1")
            label = f"validation {label} {values[known].iloc[-1]:.3f}"
            panels[1].plot(
                steps[known], values[known], "o-", color=colour, markersize=4, label=label
            )
        panels[1].set_ylabel("score", fontsize=TEXT, color=INK)
    panels[-1].set_xlabel("step (rules: where epochs end)", fontsize=TEXT, color=INK)
    for axes in panels:
        axes.legend(fontsize=SMALL, frameon=False, loc="best", labelcolor=INK)
    return finished(panels, path)


def _draw_losses(axes: Any, history: pd.DataFrame, steps: Any) -> None:
    line = history["loss"]
    if len(line) > 60:
        axes.plot(steps, line, color=COLOURS[0], linewidth=0.8, alpha=0.25)
        line = line.rolling(max(5, len(line) // 40), min_periods=1, center=True).mean()
    axes.plot(steps, line, color=COLOURS[0], linewidth=1.8, label="training")
    if f"{_PREFIX}loss" in history:
        values = history[f"{_PREFIX}loss"]
        known = values.notna().to_numpy()
        axes.plot(
            steps[known], values[known], "o-", color=COLOURS[1], markersize=4, label="validation"
        )
    axes.set_ylabel("loss", fontsize=TEXT, color=INK)


def _epoch_ends(history: pd.DataFrame, steps: Any) -> list[float]:
    if "epoch" not in history:
        return []
    return list(pd.Series(steps).groupby(history["epoch"].to_numpy()).max())
