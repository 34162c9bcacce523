"""Where names of points go, so that they can be read."""

from itertools import pairwise

import numpy as np


def heights_apart(x: np.ndarray, y: np.ndarray, least: float) -> np.ndarray:
    """Heights of names, those of points on the same side of 0 moved down until they are apart.

    Args:
        x, y: (N,) places of the points.
        least: how far apart, in units of y.

    Example:
        >>> import numpy as np
        >>> heights_apart(np.array([1.0, 2.0, -1.0]), np.array([5.0, 4.9, 4.9]), 0.5).tolist()
        [5.0, 4.5, 4.9]
    """
    heights = y.astype(float).copy()
    for side in (x >= 0, x < 0):
        rows = np.flatnonzero(side)
        rows = rows[np.argsort(-y[rows], kind="stable")]
        for above, below in pairwise(rows.tolist()):
            heights[below] = min(heights[below], heights[above] - least)
    return heights
