"""Axes that a notebook shows: matplotlib's own, with a png for the last line of a cell.

The figures here belong to no pyplot, so nothing else would show them. Only this module imports
matplotlib at its top; it is itself imported at the first picture.
"""

from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.axes import Axes

_SCREEN = 100
"""Pixels an inch in a notebook: the png has more, for screens with small pixels."""


class PictureAxes(Axes):
    """Axes whose figure is shown where they are the last line of a notebook's cell."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        return _png(self.figure)


class PicturePanels(np.ndarray):
    """An object array of Axes of one figure, which a notebook shows as one `PictureAxes`."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]] | None:
        # Arrays computed from this one (`panels == axes`, say) are of this class too.
        first = self.flat[0] if self.size else None
        return _png(first.figure) if isinstance(first, Axes) else None


def _png(figure: Any) -> tuple[bytes, dict[str, int]]:
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    width, height = (round(_SCREEN * inches) for inches in figure.get_size_inches())
    return buffer.getvalue(), {"width": width, "height": height}
