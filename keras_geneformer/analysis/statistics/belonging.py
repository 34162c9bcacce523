"""Whether what is read beside effects belongs to them: the cells, a null, a second measurement."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.analysis.perturbation.effect_reading import effects_metadata

_LOOKED_AT = 100
_SETTINGS = ("layer", "pooling", "rank_shift", "quantiles", "rank")


def check_held(table: pd.DataFrame, cells: Any) -> None:
    """Refuse cells that do not hold the genes that were perturbed in cells of their names.

    Names like "0" and "1" are those of many datasets. The first hundred cells are looked at;
    overexpressed genes need not be there.

    Args:
        table: effects with their `kind`.
        cells: a `CellDataset`.

    Raises:
        ValueError: a gene is not in its cell.
    """
    index = pd.Index(cells.obs.index.astype(str))
    table = table[((table["token"] >= 0) & (table["kind"] != "overexpress")).to_numpy()]
    names = pd.unique(table["cell"])[:_LOOKED_AT]
    table = table[table["cell"].isin(names).to_numpy()]
    for name, rows in table.groupby("cell", observed=True, sort=False):
        place = np.flatnonzero(index == str(name))
        if len(place) != 1:
            continue
        held = np.isin(rows["token"].to_numpy(), np.asarray(cells[int(place[0])]))
        if not held.all():
            gene = rows["gene"].to_numpy()[~held][0]
            raise ValueError(
                f"cells: the cell {str(name)!r} does not hold {gene}, which was perturbed in it: "
                "expected the cells that were perturbed, not others of the same names."
            )


def check_alike(
    effects: Any, table: pd.DataFrame, others: Any, other: pd.DataFrame, name: str
) -> None:
    """Refuse to compare effects with those of another kind, layer or pooling.

    Args:
        effects: as given; a parquet file says what its run was.
        table: what was read of it.
        others: what it is compared with, as given.
        other: what was read of that.
        name: what the latter is called in messages.

    Raises:
        ValueError: they differ.
    """
    kinds = [", ".join(sorted(map(str, one["kind"].unique()))) for one in (table, other)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"{name}: it is of the kind {kinds[1]}, and the effects of {kinds[0]}; expected the "
            "same perturbation."
        )
    one, two = (_settings(given) for given in (effects, others))
    for setting in _SETTINGS:
        if one and two and one.get(setting) != two.get(setting):
            raise ValueError(
                f"{name}: it was measured with {setting}={two.get(setting)!r}, and the effects "
                f"with {one.get(setting)!r}; expected the same."
            )


def _settings(effects: Any) -> dict[str, Any]:
    """The settings that a file of effects was made with; empty where none are known."""
    if isinstance(effects, pd.DataFrame) or Path(effects).suffix != ".parquet":
        return {}
    return effects_metadata(Path(effects)).get("settings") or {}
