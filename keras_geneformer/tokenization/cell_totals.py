"""Each cell's total counts, from obs or from the counts."""

import logging

import numpy as np
import pandas as pd

from keras_geneformer.tokenization.readers.sources import CountSource

logger = logging.getLogger(__name__)

DEFAULT_N_COUNTS_KEY = "n_counts"
_SCANPY_KEY = "total_counts"


def stated_totals(
    source: CountSource, n_counts_key: str | None
) -> tuple[np.ndarray | None, str | None]:
    """The total counts that obs states.

    They go before the sum over the matrix, as genes may have been left out of it since.

    Args:
        source: the cells.
        n_counts_key: the column of obs. Where obs has no "n_counts" and no other was asked for,
            scanpy's "total_counts" is taken. None: the totals are to be summed.

    Returns:
        float64 array of shape (cells,) and the column's name; None twice where the totals are to
        be summed from all genes of the matrix.

    Raises:
        ValueError: there is no such column, or it holds no numbers.
    """
    if n_counts_key is None:
        return None, None
    key = n_counts_key
    if key == DEFAULT_N_COUNTS_KEY and key not in source.obs and _SCANPY_KEY in source.obs:
        key = _SCANPY_KEY
        logger.info("%s: total counts are taken from obs[%r]", source.name, key)
    if key not in source.obs:
        if key == DEFAULT_N_COUNTS_KEY:
            logger.info("%s has no total counts in obs: summed over its genes", source.name)
            return None, None
        raise ValueError(
            f"{source.name} has no obs column {key!r}; it has "
            f"{', '.join(map(str, source.obs.columns)) or 'none'} (None sums the counts)"
        )
    column = source.obs[key]
    try:
        # Categories that are numbers count as such.
        numbers = column if pd.api.types.is_numeric_dtype(column) else column.astype(object)
        totals = pd.to_numeric(numbers).to_numpy(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{source.name}: obs[{key!r}] holds no numbers: {error}") from None
    return totals, key


def check_totals(source: CountSource, totals: np.ndarray, cells: np.ndarray, key: str) -> None:
    """Refuse total counts that are missing, zero, negative or infinite.

    Args:
        source: for its name and its cells' names.
        totals: of all cells.
        cells: the positions of the cells that have counts.
        key: the column of obs they came from.

    Raises:
        ValueError: names the cells.
    """
    bad = cells[~((totals[cells] > 0) & np.isfinite(totals[cells]))]
    if len(bad):
        shown = ", ".join(f"{source.obs.index[cell]!r} ({totals[cell]})" for cell in bad[:5])
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise ValueError(
            f"{source.name}: obs[{key!r}] must be above zero, and is not in cells that have "
            f"counts: {shown}{more}. Correct it, or pass n_counts_key=None to sum the counts"
        )
