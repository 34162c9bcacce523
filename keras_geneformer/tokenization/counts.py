"""Tells counts from what is often taken for them."""

import logging
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from keras_geneformer.tokenization.readers.sources import CountSource

logger = logging.getLogger(__name__)

_REMEDY = 'Use raw counts: they often stand in a layer (layer="counts") or in .raw (layer="raw")'
_OVERRIDE = "If these are counts all the same, pass check_counts=False"
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


def checked_rows(source: CountSource, cells: np.ndarray, rows: sp.csr_matrix) -> sp.csr_matrix:
    """Counts of some cells, each gene once: entries of one place are summed.

    Args:
        source, cells, rows: see `check_entries`.

    Returns:
        The rows, or a copy where there was anything to sum.

    Raises:
        ValueError: see `check_entries`.
    """
    check_entries(source, cells, rows)
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    return rows


@dataclass(frozen=True)
class SampledCells:
    """Some cells of a source: their numbers and their rows."""

    cells: np.ndarray
    rows: sp.csr_matrix


def check_not_logarithms(source: CountSource, sample: SampledCells | None = None) -> None:
    """Refuse log-normalised data; accept counts, also those that are no integers.

    Up to 512 cells, spread over the source, are looked at. Refused are values that are mostly far
    from integers (more than 0.05 away) and never above 20: logarithms of counts per 10,000 or per
    million are so. The values of all cells together are judged, then those of each cell: a tenth
    of the cells, and three (or all of fewer), are enough. Estimated counts (RSEM, alevin, SoupX,
    CellBender) pass, as their largest values are larger, and counts corrected for saturation also
    because they lie near integers. Counts per 10,000 pass too: ranks within a cell do not depend
    on its total. Square roots of counts, whose squares are all integers, are refused however large
    they are. Where every value is 1, a warning is logged.

    Args:
        source: the counts.
        sample: cells to look at. Default: `sample_cells(source)`.

    Raises:
        ValueError: the data look like logarithms, or are true and false.
    """
    sample = sample_cells(source) if sample is None else sample
    cells, rows = sample.cells, sample.rows
    if rows.dtype == bool:
        raise ValueError(
            f"{source.name} is binarised (true or false), so it does not hold counts. {_REMEDY}"
        )
    values = rows.data.astype(np.float64)
    used = (values != 0) & np.isfinite(values)
    values, owners = values[used], np.repeat(np.arange(len(cells)), np.diff(rows.indptr))[used]
    if not len(values) or values.min() < 0:
        return
    off = np.abs(values - np.rint(values))
    far = (off > 0.05).mean()
    if far > 0.1 and _are_square_roots(values):
        raise ValueError(
            f"{source.name} holds square roots of counts: {far:.0%} of the values looked at are no "
            f"integers, but all their squares are. {_REMEDY}. {_OVERRIDE}"
        )
    if far > 0.5 and values.max() <= _LARGEST_LOG:
        raise ValueError(
            f"{source.name} looks log-normalised or otherwise transformed: "
            f"{far:.0%} of the values looked at are no integers and the largest is "
            f"{values.max():.2f}. {_REMEDY}. {_OVERRIDE}"
        )
    suspects, looked_at = _transformed_cells(values, owners)
    if len(suspects) >= max(0.1 * looked_at, min(3, looked_at)):
        raise ValueError(
            f"{source.name} looks log-normalised or otherwise transformed in {len(suspects)} of "
            f"the {looked_at} cells looked at, first in "
            f"{source.obs.index[cells[suspects[0]]]!r}: most values of theirs are no integers and "
            f"none is above {_LARGEST_LOG:.0f}. {_REMEDY}. {_OVERRIDE}"
        )
    if looked_at >= 20 and (values == 1).all():
        logger.warning(
            "%s: every value in the %d cells looked at is 1: binarised data give no ranks",
            source.name,
            looked_at,
        )
    if (off > 0).any():
        logger.info(
            "%s: %.0f%% of the counts are no integers; taken as estimated or scaled counts",
            source.name,
            100 * (off > 0).mean(),
        )


def _are_square_roots(values: np.ndarray) -> bool:
    """Whether the squares of values that are no integers are integers all the same."""
    squares = values**2
    # Float32 has seven digits: of larger squares the decimals say nothing.
    telling = squares[squares < 10_000]
    return len(telling) >= 100 and bool((np.abs(telling - np.rint(telling)) < 0.01).all())


def _transformed_cells(values: np.ndarray, owners: np.ndarray) -> tuple[np.ndarray, int]:
    """The owners whose own values look like logarithms, and how many owners have values."""
    stored = np.bincount(owners)
    far = np.bincount(owners, np.abs(values - np.rint(values)) > 0.05)
    largest = np.zeros(len(stored))
    np.maximum.at(largest, owners, values)
    suspects = np.flatnonzero((far > 0.5 * stored) & (largest <= _LARGEST_LOG))
    return suspects, int(np.count_nonzero(stored))


def sample_cells(source: CountSource) -> SampledCells:
    """Up to 512 cells, in blocks spread over the source."""
    starts = np.unique(np.linspace(0, max(len(source) - _BLOCK_CELLS, 0), _BLOCKS).astype(int))
    cells = np.unique(np.concatenate([np.arange(start, start + _BLOCK_CELLS) for start in starts]))
    cells = cells[cells < len(source)]
    if not len(cells):
        return SampledCells(cells, sp.csr_matrix((0, len(source.var))))
    # Blocks of small sources overlap: what is left of them is read in one piece.
    runs = np.split(cells, np.flatnonzero(np.diff(cells) > 1) + 1)
    parts = [source.read(int(run[0]), int(run[-1]) + 1) for run in runs]
    return SampledCells(cells, sp.vstack(parts, format="csr"))
