"""The effects table as statistics read it: one measure, the values grouped by gene."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.analysis.perturbation.effect_parts import COLUMNS
from keras_geneformer.analysis.perturbation.effect_reading import (
    effects_metadata,
    effects_schema,
    read_effects,
)

ASKED_FOR_BY = {
    "cell_cosine": "perturb(...) without options",
    "state_shift": "perturb(..., states={...})",
    "gene_cosine": "perturb(..., affected_genes=True)",
    "log_odds_shift": "perturb(..., classifier=...)",
    "probability_shift": "perturb(..., classifier=...)",
}
"""How each measure comes into the table."""

_TEXT = ("cell", "gene", "kind", "measure", "state")
_ROWS_A_PIECE = 1 << 20


@dataclass(frozen=True)
class GeneValues:
    """The values of one measure, gene by gene.

    Attributes:
        genes: (G,) what was perturbed (for gene_cosine: what was affected), by ascending token.
        tokens: (G,) int64, -1 for several genes together.
        gene: (N,) int64, ascending: the position in `genes` of each value's gene.
        cell: (N,) int64: the position in `cells` of each value's cell.
        cells: (C,) names of the cells.
        value: (N,) float64; those of a gene stand in the order of the table.
        order: (N,) float64: where the gene stands in its cell among the genes perturbed there,
            from 0 (the front) to 1, by the order of the table.
    """

    genes: np.ndarray
    tokens: np.ndarray
    gene: np.ndarray
    cell: np.ndarray
    cells: np.ndarray
    value: np.ndarray
    order: np.ndarray

    def __len__(self) -> int:
        return len(self.genes)

    @property
    def detections(self) -> np.ndarray:
        """(G,) int64: the number of values of each gene."""
        return np.bincount(self.gene, minlength=len(self))

    @property
    def means(self) -> np.ndarray:
        """(G,) float64: the mean value of each gene."""
        return self.mean_of(self.value)

    def with_values(self, value: np.ndarray) -> "GeneValues":
        """The same genes and cells with (N,) other numbers."""
        return replace(self, value=value)

    def mean_of(self, values: np.ndarray) -> np.ndarray:
        """(G,) float64: the mean over each gene of (N,) numbers."""
        return np.bincount(self.gene, values, minlength=len(self)) / self.detections


def read_effects_table(
    effects: Any,
    measures: Sequence[str],
    *,
    kind: str | None = None,
    name: str = "effects",
    each_once: bool = True,
) -> pd.DataFrame:
    """The rows of some measures, of one kind of perturbation.

    Args:
        effects: the table that `perturb` gives, or its path (.parquet or .csv).
        measures: those wanted; one at least must be there.
        kind: that of several kinds which is wanted.
        name: what the table is called in messages.
        each_once: refuse what is measured twice in a cell.

    Returns:
        The table's columns and order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column, the measure or the kind is missing, a value is not finite, or a
            perturbation of a cell is there twice.
    """
    found: set[str] = set()
    kinds: set[str] = set()
    kept = []
    for piece in pieces_of(effects, name):
        found.update(piece["measure"].unique())
        piece = piece[piece["measure"].isin(measures)]
        kinds.update(piece["kind"].unique())
        kept.append(piece if kind is None else piece[piece["kind"] == kind])
    check_measures(measures, found, name)
    if "screen" in found:
        warnings.warn(
            f"{name}: they were screened, so that a gene's values are of the cells alone in which "
            "its score was among the highest, or chance drew it: means are too large, and p too "
            "small. Perturb the genes that are found again, by a list and without a screen.",
            stacklevel=3,
        )
    if kind is not None and kind not in kinds:
        raise ValueError(f"{name}: no row is of kind {kind!r}; the kinds there are: {_and(kinds)}.")
    if kind is None and len(kinds) > 1:
        raise ValueError(
            f"{name}: the kinds {_and(kinds)} are mixed, and the effect of one says nothing of the "
            "other. Give kind=..."
        )
    table = _joined(kept)
    wrong = int((~np.isfinite(table["value"].to_numpy(np.float64))).sum())
    if wrong:
        raise ValueError(
            f"{name}: {wrong} of {len(table)} values are not finite; expected a number in every "
            "row. Run these cells again, or leave the rows out."
        )
    twice = table.duplicated(["cell", "gene", "measure", "state"]).to_numpy()
    if each_once and twice.any():
        row = table[twice].iloc[0]
        raise ValueError(
            f"{name}: {int(twice.sum())} rows measure again what another row does, {row['gene']} "
            f"in the cell {row['cell']!r} for one: a table was joined twice, or two cells have one "
            "name. Leave the doubles out, or name each cell otherwise and perturb again."
        )
    return table


def check_measures(measures: Sequence[str], found: set[str], name: str) -> None:
    """Refuses a table that has none of the measures wanted, and says how to get them."""
    if not found.intersection(measures):
        wanted = measures[0]
        raise ValueError(
            f"{name}: there is no {wanted!r}, which this needs; the measures there are: "
            f"{_and(found) or 'none'}. {ASKED_FOR_BY.get(wanted, 'perturb(...)')} gives it."
        )


def pieces_of(effects: Any, name: str = "effects") -> Iterator[pd.DataFrame]:
    """The effects table in pieces of about a million rows; one for a DataFrame or a csv.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is neither a DataFrame nor the path of a table, or a column is missing.
    """
    if isinstance(effects, pd.DataFrame):
        yield _checked(effects, name)
        return
    if not isinstance(effects, (str, os.PathLike)):
        raise ValueError(
            f"{name}: received a {type(effects).__name__}; expected the table that perturb gives, "
            "or its path"
        )
    path = Path(effects)
    if path.suffix == ".csv":
        yield read_effects(path)
        return
    import pyarrow.parquet as pq

    effects_schema(path)
    shard = effects_metadata(path).get("shard")
    if shard is not None:
        warnings.warn(
            f"{path} is shard {shard[0]} of {shard[1]}: what is said of it holds for its cells "
            "alone. Merge the shards first (perturb_merge).",
            stacklevel=2,
        )
    with pq.ParquetFile(path, read_dictionary=list(_TEXT)) as file:
        for batch in file.iter_batches(_ROWS_A_PIECE, columns=list(COLUMNS)):
            yield batch.to_pandas()
        if not file.metadata.num_rows:
            yield file.schema_arrow.empty_table().to_pandas()[list(COLUMNS)]


def states_of(effects: Any, states: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The states given, else those that a file of effects says it was measured towards."""
    if states is not None:
        if not isinstance(states, Mapping):
            raise ValueError(
                f"Received states={states!r}; expected {{'goal': ..., 'alternatives': [...]}}."
            )
        return dict(states)
    if isinstance(effects, pd.DataFrame) or Path(effects).suffix != ".parquet":
        return None
    stated = effects_metadata(effects).get("states")
    return None if stated is None else dict(stated)


def gene_values(table: pd.DataFrame, key: str = "gene") -> GeneValues:
    """The values of a table, grouped by what was perturbed, or by what was affected.

    Args:
        table: rows of one measure and state (`read_effects_table`).
        key: the column to group by: "gene", or "state" for affected genes, whose tokens are then
            unknown (-1).
    """
    codes, names = pd.factorize(table[key])
    cell, cells = pd.factorize(table["cell"])
    tokens = np.full(len(names), -1, dtype=np.int64)
    if key == "gene":
        tokens[codes] = table["token"].to_numpy(np.int64)
    genes = np.asarray(names, dtype=object).astype(str)
    place = np.lexsort((genes, tokens))
    position = np.empty(len(place), dtype=np.int64)
    position[place] = np.arange(len(place))
    gene = position[codes]
    rows = np.argsort(gene, kind="stable")
    return GeneValues(
        genes=genes[place],
        tokens=tokens[place],
        gene=gene[rows],
        cell=np.asarray(cell, dtype=np.int64)[rows],
        cells=np.asarray(cells, dtype=object).astype(str),
        value=table["value"].to_numpy(np.float64)[rows],
        order=_order_in_cell(np.asarray(cell, dtype=np.int64))[rows],
    )


def of_genes(table: pd.DataFrame, genes: Sequence[str] | None, vocabulary: Any) -> np.ndarray:
    """(rows,) bool: which rows perturb one of some genes, or all of them together.

    Raises:
        ValueError: no row does.
    """
    if genes is None:
        return np.ones(len(table), dtype=bool)
    asked = [genes] if isinstance(genes, str) else [str(gene) for gene in genes]
    if not asked:
        raise ValueError("Received an empty list of genes; expected one or more, or none given.")
    wanted = [known_gene(name, vocabulary) for name in asked]
    here = table["gene"].isin([*wanted, "+".join(wanted)]).to_numpy()
    if not here.any():
        some = ", ".join(list(dict.fromkeys(table["gene"].astype(str)))[:5])
        raise ValueError(
            f"effects: none of {', '.join(asked[:5])} was perturbed, alone or together; the genes "
            f"there are: {some}, …"
        )
    return here


def known_gene(name: str, vocabulary: Any) -> str:
    """A gene by the id that the table knows, from an id or a symbol; sets by that of each."""
    if vocabulary is None:
        return name
    parts = name.split("+")
    positions = vocabulary.positions_of(parts)
    return "+".join(
        str(vocabulary.genes[position]) if position >= 0 else part
        for part, position in zip(parts, positions.tolist())
    )


def _joined(pieces: list[pd.DataFrame]) -> pd.DataFrame:
    """One table of several, whose text stays coded by numbers where it was."""
    if len(pieces) == 1:
        return pieces[0].reset_index(drop=True)
    columns = {}
    for name in pieces[0].columns:
        parts = [piece[name] for piece in pieces]
        coded = isinstance(parts[0].dtype, pd.CategoricalDtype)
        columns[name] = (
            pd.api.types.union_categoricals(parts)
            if coded
            else np.concatenate([part.to_numpy() for part in parts])
        )
    return pd.DataFrame(columns)


def _checked(table: pd.DataFrame, name: str) -> pd.DataFrame:
    _check_columns(list(table.columns), name)
    return table[list(COLUMNS)]


def _check_columns(columns: Sequence[object], name: str) -> None:
    absent = [column for column in COLUMNS if column not in columns]
    if absent:
        raise ValueError(
            f"{name}: the columns {', '.join(absent)} are missing; the table has "
            f"{', '.join(map(str, columns)) or 'none'}. Expected what perturb gives."
        )


def _order_in_cell(cell: np.ndarray) -> np.ndarray:
    """Where each row stands among its cell's rows, from 0 to 1."""
    rows = np.argsort(cell, kind="stable")
    counts = np.bincount(cell)
    starts = np.cumsum(counts) - counts
    order = np.empty(len(cell))
    order[rows] = (np.arange(len(cell)) - starts[cell[rows]] + 0.5) / counts[cell[rows]]
    return order


def _and(names: Any) -> str:
    return ", ".join(sorted(map(str, names)))
