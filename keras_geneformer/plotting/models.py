"""A model from top to bottom: what follows what, of which shape, with how many weights."""

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_geneformer.plotting.model_parts import ModelPart, model_parts
from keras_geneformer.plotting.style import (
    COLOURS,
    INK,
    QUIET,
    RULE,
    SMALL,
    TEXT,
    empty_picture,
    finished,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEFT, _RIGHT = 0.1, 3.0
"""Sides of the boxes, in inches of a picture 4.84 inches wide inside."""
_BARS, _END = 3.15, 4.84
_ROW, _GAP, _SHAPE = 0.27, 0.06, 0.3
_FILLS = {"embeddings": COLOURS[4], "blocks": COLOURS[0], "head": COLOURS[6]}


def model_summary(model: Any, path: str | Path | None = None, *, title: str = "") -> "Axes":
    """Draws a model's parts from the inputs down, with shapes and numbers of weights.

    Args:
        model: a `GeneformerBackbone` or a model on one: masked LM or a classifier.
        path: a png to write. Default: none.
        title: above the picture. Default: the model's class and its number of weights.

    Returns:
        The matplotlib Axes. A bar is the weights of a part over all blocks; weights that two parts
        share (the gene table, which the masked-LM head uses again) count once.

    Raises:
        TypeError: it is no such model.
        ImportError: if matplotlib is not installed.

    Example:
        >>> from keras_geneformer import plotting
        >>> from keras_geneformer.testing import tiny_backbone
        >>> axes = plotting.model_summary(tiny_backbone())
    """
    parts = model_parts(model)
    backbone = getattr(model, "backbone", model)
    total = sum(part.parameters for part in parts)
    groups = [(name, list(rows)) for name, rows in groupby(parts, lambda part: part.group)]
    height = sum(len(rows) * (_ROW + _GAP) + _SHAPE + 0.06 for _, rows in groups) + 0.3
    said = title or f"{type(model).__name__}: {total:,} weights"
    axes = empty_picture(height + 0.4, said, square=True)
    axes.set_xlim(0, _END)
    axes.set_ylim(height, 0)
    axes.set_xticks([])
    axes.set_yticks([])
    hidden = f"cells x tokens x {backbone.hidden_dim:,}"
    shapes = {"embeddings": hidden, "blocks": hidden, "head": _output(model)}
    longest = max(part.parameters for part in parts)
    y = _say_shape(axes, 0.0, "token ids: cells x tokens", first=True)
    for name, rows in groups:
        y = _draw_group(axes, y, name, rows, longest, total)
        y = _say_shape(axes, y, shapes[name], last=name == groups[-1][0])
    return finished(axes, path)


def _draw_group(
    axes: Any, y: float, name: str, rows: list[ModelPart], longest: int, total: int
) -> float:
    """A frame with a box for each part, and their bars; returns where it ends."""
    from matplotlib.patches import FancyBboxPatch

    end = y + len(rows) * (_ROW + _GAP) + 0.06
    frame: dict[str, Any] = {"boxstyle": "round,pad=0,rounding_size=0.06", "linewidth": 0.8}
    axes.add_patch(
        FancyBboxPatch(
            (_LEFT, y), _RIGHT - _LEFT, end - y, facecolor="#f6f7f9", edgecolor=RULE, **frame
        )
    )
    repeats = max(row.repeats for row in rows)
    if repeats > 1:
        axes.text(
            0.02, (y + end) / 2, f"{repeats} blocks", rotation=90, ha="center", va="center",
            fontsize=SMALL, color=QUIET,
        )  # fmt: skip
    for place, row in enumerate(rows):
        top = y + 0.06 + place * (_ROW + _GAP)
        middle = top + _ROW / 2
        axes.add_patch(
            FancyBboxPatch(
                (_LEFT + 0.07, top), _RIGHT - _LEFT - 0.14, _ROW,
                facecolor="white", edgecolor=_FILLS[name], **frame,
            )
        )  # fmt: skip
        axes.text(_LEFT + 0.14, middle, row.name, va="center", fontsize=TEXT, color=INK)
        axes.text(
            _RIGHT - 0.13, middle, row.detail, ha="right", va="center", fontsize=SMALL, color=QUIET
        )
        length = (_END - _BARS) * row.parameters / longest
        axes.barh(middle + 0.07, length, left=_BARS, height=0.09, color=_FILLS[name])
        number = f"{row.parameters:,}" if row.parameters else "no weights"
        each = f" = {row.repeats} x {row.parameters // row.repeats:,}" if row.repeats > 1 else ""
        share = f" ({row.parameters / total:.0%})" if row.parameters / total >= 0.005 else ""
        axes.text(
            _BARS, middle - 0.05, number + (each or share), va="center", fontsize=SMALL, color=INK
        )
    return end


def _say_shape(axes: Any, y: float, text: str, *, first: bool = False, last: bool = False) -> float:
    """An arrow down with the shape of what goes along it; returns where it ends."""
    end = y + _SHAPE
    middle = (_LEFT + _RIGHT) / 2
    axes.annotate(
        "",
        (middle, end - 0.01),
        (middle, y + 0.02),
        arrowprops={
            "arrowstyle": "-|>",
            "color": QUIET,
            "linewidth": 0.9,
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )
    axes.text(
        middle + 0.1, (y + end) / 2, text, va="center", fontsize=SMALL,
        color=INK if first or last else QUIET,
    )  # fmt: skip
    return end


def _output(model: Any) -> str:
    """The shape that comes out, in words; tasks one after the other."""
    outputs = model.output
    if isinstance(outputs, dict):
        return "; ".join(f"{name}: cells x {tensor.shape[-1]}" for name, tensor in outputs.items())
    last = f"{outputs.shape[-1]:,}"
    if len(outputs.shape) == 2:
        return f"scores: cells x {last}"
    return f"scores: cells x {'masks' if 'mask_positions' in model.input else 'tokens'} x {last}"
