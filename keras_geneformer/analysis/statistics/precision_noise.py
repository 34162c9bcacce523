"""How large an effect must be to stand out from the rounding of the arithmetic."""

import numpy as np
import pandas as pd

from keras_geneformer.analysis.statistics.effect_values import GeneValues

_DEVIATIONS = 2.0


def noise_floors(values: GeneValues, again: GeneValues | None) -> np.ndarray:
    """The size below which a gene's mean effect is not told from noise.

    The same cells and genes are measured twice, in another precision or by another kernel, say.
    The differences of the gene means, each times the square root of its number of cells, have a
    standard deviation s: that of a single value where errors are independent, more where a gene
    is wrong alike in all cells. The floor of a gene of n cells is 2 s / sqrt(n).

    Args:
        values: the effects.
        again: the effects of the second measurement; genes and cells of one alone are left out.

    Returns:
        (G,) float64.

    Raises:
        ValueError: no gene was measured twice in a cell.
    """
    joined = pd.DataFrame()
    if again is not None:
        one, other = _frame(values), _frame(again)
        joined = one.merge(other, on=["gene", "cell"], suffixes=("", "_again"))
    if joined.empty:
        raise ValueError(
            "noise: no gene was measured in a cell of the effects too; expected the same genes in "
            "the same cells, towards the same states, measured again."
        )
    difference = joined["value"] - joined["value_again"]
    genes = difference.groupby(joined["gene"]).agg(["mean", "size"])
    spread = float(np.sqrt((genes["mean"] ** 2 * genes["size"]).mean()))
    return _DEVIATIONS * spread / np.sqrt(values.detections)


def _frame(values: GeneValues) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "gene": values.genes[values.gene],
            "cell": values.cells[values.cell],
            "value": values.value,
        }
    )
