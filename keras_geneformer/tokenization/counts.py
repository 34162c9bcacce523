"""Tells counts from what is often taken for them."""

import logging

import numpy as np
import scipy.sparse as sp

from keras_geneformer.tokenization.readers import CountSource

logger = logging.getLogger(__name__)

_REMEDY = 'Use raw counts: they often stand in a layer (layer="counts") or in .raw (layer="raw")'
# The log of 1 + counts per million reaches 13.8 (natural) or 19.9 (base 2); cells whose most
# abundant gene has no more counts than that are rare in a real experiment, and have integers.
_LARGEST_LOG = 20.0
_BLOCKS = 8
_BLOCK_CELLS = 64


def check_entries(source: CountSource, cells: np.ndarray, rows: sp.csr_matrix) -> None:
    """Refuse negative, NaN and infinite values.

    Args:
        source: for its name and its cells' names.
        cells: the number of each row in the source.
        rows: counts of some cells.

    Raises:
        ValueError: names the cell and the value.
    """
    # One pass each: NaN makes both extremes NaN.
    low, high = rows.data.min(initial=0), rows.data.max(initial=0)
    if low >= 0 and high < np.inf:
        return
    entry = np.flatnonzero(~(rows.data >= 0) | ~(rows.data < np.inf))[0]
    cell = cells[np.searchsorted(rows.indptr, entry, side="right") - 1]
    value = rows.data[entry]
    kind = "negative values" if value < 0 and np.isfinite(value) else "values that are no numbers"
    raise ValueError(
        f"{source.name} has {kind}: {value} in cell {source.obs.index[cell]!r}, so it does not "
        f"hold counts (scaled or corrected data?). {_REMEDY}"
    )


def check_not_logarithms(source: CountSource) -> None:
    """Refuse log-normalised data; accept counts, also those that are no integers.

    Up to 512 cells, spread over the source, are looked at. Refused are values that are mostly far
    from integers (more than 0.05 away) and never above 20: logarithms of counts per 10,000 or per
    million are so. Estimated counts (RSEM, alevin, SoupX, CellBender)
    pass, as their largest values are larger, and counts corrected for saturation also because they
    lie near integers. Counts per 10,000 pass too: ranks within a cell do not depend on its total.

    Args:
        source: the counts.

    Raises:
        ValueError: the data look like logarithms.
    """
    values = _sample(source)
    values = values[(values != 0) & np.isfinite(values)]
    if not len(values) or values.min() < 0:
        return
    off = np.abs(values - np.rint(values))
    if (off > 0.05).mean() > 0.5 and values.max() <= _LARGEST_LOG:
        raise ValueError(
            f"{source.name} looks log-normalised or otherwise transformed: "
            f"{(off > 0.05).mean():.0%} of the values looked at are no integers and the largest is "
            f"{values.max():.2f}. {_REMEDY}. If these are counts all the same, pass "
            "check_counts=False"
        )
    if (off > 0).any():
        logger.info(
            "%s: %.0f%% of the counts are no integers; taken as estimated or scaled counts",
            source.name,
            100 * (off > 0).mean(),
        )


def _sample(source: CountSource) -> np.ndarray:
    """The stored values of some cells, in blocks spread over the source."""
    starts = np.unique(np.linspace(0, max(len(source) - _BLOCK_CELLS, 0), _BLOCKS).astype(int))
    parts = [
        source.read(start, min(start + _BLOCK_CELLS, len(source))).data for start in starts.tolist()
    ]
    return np.concatenate(parts).astype(np.float64) if parts else np.zeros(0)
