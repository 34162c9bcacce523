"""The look that all pictures share: colours, sizes, an empty picture, and how one is written."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (
    "#332288",
    "#CC6677",
    "#117733",
    "#DDCC77",
    "#88CCEE",
    "#882255",
    "#44AA99",
    "#999933",
    "#AA4499",
)
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
INK, QUIET, RULE = "#1f2430", "#667085", "#e3e6eb"
WIDTH, DPI, TEXT, SMALL = 5.0, 200, 9.0, 7.5


def empty_picture(
    height: float, title: str, *, width: float = WIDTH, square: bool = False
) -> "Axes":
    """The only axes of an empty figure in the house style."""
    return empty_panels(height, title, width=width, square=square)[0, 0]


def empty_panels(
    height: float,
    title: str,
    rows: int = 1,
    columns: int = 1,
    *,
    width: float = WIDTH,
    square: bool = False,
    **options: Any,
) -> np.ndarray:
    """The axes of an empty figure in the house style, shape (rows, columns).

    Args:
        height, width: in inches.
        title: above the picture.
        rows, columns: how many panels there are.
        square: panels have no frame.
        **options: of matplotlib's `Figure.subplots` (`sharex`, `height_ratios`, ...).
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise ImportError(
            "drawing needs matplotlib: pip install 'keras_geneformer[plot]'"
        ) from error
    from keras_geneformer.plotting.axes import PictureAxes, PicturePanels

    layout: Any = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")
    kind = {"axes_class": PictureAxes}
    panels = figure.subplots(rows, columns, squeeze=False, subplot_kw=kind, **options)
    for axes in panels.flat:
        style_axes(axes, square=square)
    if title:
        wrapped = textwrap.fill(title, int(width * 10))
        figure.suptitle(wrapped, x=0.02, ha="left", fontsize=10.5, fontweight="bold", color=INK)
    return panels.view(PicturePanels)


def style_axes(axes: Any, *, square: bool = False) -> None:
    """Gives axes the house style; square ones have no frame at all."""
    axes.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(not square and side in ("left", "bottom"))
        axes.spines[side].set_color(RULE)
    axes.tick_params(labelsize=SMALL, colors=INK, length=3, color=RULE)


def cycled(values: tuple[str, ...], number: int) -> list[str]:
    """The first `number` of the values, from the start again where they run out."""
    return [values[index % len(values)] for index in range(number)]


def clipped(name: object, length: int) -> str:
    """A name as text, its end replaced by an ellipsis where it is longer than `length`."""
    text = str(name)
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def finished(axes: Any, path: str | Path | None) -> Any:
    """The axes of a drawn picture, which is written where a path is given.

    The file is written beside `path` and renamed, so that no half picture is left.

    Args:
        axes: the picture's only axes, or an array of them.
        path: a png; None writes nothing.
    """
    if path is not None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.partial")
        first = axes.flat[0] if isinstance(axes, np.ndarray) else axes
        first.figure.savefig(beside, format="png")
        beside.replace(path)
    return axes
