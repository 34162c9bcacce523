"""What each perturbation did over all cells, in one pass over a file of effects."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from keras_geneformer.analysis.perturbation.effect_reading import effects_metadata

_KEYS = ["gene", "measure", "state"]


def effect_summary(
    effects: pd.DataFrame | str | os.PathLike, measures: Sequence[str] | None = None
) -> pd.DataFrame:
    """The mean effect of each gene over the cells that it was perturbed in.

    A parquet file is read a row group at a time: memory grows with the genes, not with the cells.

    Args:
        effects: what `perturb` gives, the table or the path of its parquet file.
        measures: which to sum up; all but `gene_cosine` (a row for each pair of genes) by default.

    Returns:
        One row a gene, measure and state, in the order they first come in: `gene`, `measure`,
        `state`, `cells` (how many values; missing ones are left out), `mean`, and `error`, its
        standard error (missing of a single cell).

    Example:
        >>> effects = pd.DataFrame({"cell": ["a", "b"], "gene": "ENSG1", "token": 7,
        ...     "kind": "delete", "measure": "cell_cosine", "state": "original",
        ...     "value": [0.9, 0.7]})
        >>> effect_summary(effects)["mean"].round(3).tolist()
        [0.8]
    """
    sums: pd.DataFrame | None = None
    for table in _tables(effects):
        wanted = table["measure"].isin(measures) if measures else table["measure"] != "gene_cosine"
        table = table[wanted.to_numpy() & np.isfinite(table["value"].to_numpy())]
        # Around the first value of a gene's measure, or squares of cosines near 1 would cancel.
        shift = np.where(table["measure"].str.endswith("cosine"), 1.0, 0.0)
        moved = table["value"] - shift
        table = table[_KEYS].assign(cells=1, total=moved, squares=moved**2)
        part = table.groupby(_KEYS, sort=False, observed=True).sum()
        if sums is not None:
            part = pd.concat([sums, part]).groupby(level=_KEYS, sort=False).sum()
        sums = part
    if sums is None:
        return pd.DataFrame(columns=[*_KEYS, "cells", "mean", "error"])
    found = sums.reset_index()
    number = found["cells"].to_numpy(dtype=np.float64)
    mean = found["total"].to_numpy() / number
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (found["squares"].to_numpy() - number * mean**2) / (number - 1)
        error = np.sqrt(np.maximum(variance, 0.0) / number)
    around = np.where(found["measure"].str.endswith("cosine"), 1.0, 0.0)
    return found[_KEYS].assign(
        cells=number.astype(np.int64),
        mean=mean + around,
        error=np.where(number > 1, error, np.nan),
    )


def strongest_genes(summary: pd.DataFrame, goal: str | None = None) -> tuple[pd.DataFrame, str]:
    """The genes by how far they move cells, those of two cells or more where there are such.

    Args:
        summary: of `effect_summary`.
        goal: a state: by the shift towards it. Without, by 1 - the cosine to the original cell.

    Returns:
        `gene`, `cells`, `effect` (larger moves further) and `error`, the strongest first; and what
        the effect is, in words.

    Raises:
        ValueError: the summary has no such measure.
    """
    if goal is None:
        chosen = summary[summary["measure"] == "cell_cosine"]
        words, effect = "1 - cosine to the original cell", 1.0 - chosen["mean"]
    else:
        chosen = summary[(summary["measure"] == "state_shift") & (summary["state"] == goal)]
        words, effect = f"shift of the cosine towards {goal}", chosen["mean"]
    if chosen.empty:
        raise ValueError(f"The effects hold no {words}: there is nothing to rank genes by.")
    table = chosen[["gene", "cells", "error"]].assign(effect=effect)
    if (table["cells"] > 1).any():
        table = table[table["cells"] > 1]
    table = table.sort_values("effect", ascending=False, kind="stable").reset_index(drop=True)
    return table[["gene", "cells", "effect", "error"]], words


def _tables(effects: pd.DataFrame | str | os.PathLike) -> Iterator[pd.DataFrame]:
    if isinstance(effects, pd.DataFrame):
        yield effects
        return
    path = Path(effects)
    effects_metadata(path)
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number, columns=[*_KEYS, "value"]).to_pandas()
