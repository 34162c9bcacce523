"""The columns of obs of many files, made one without holding the rows of more than one.

Each file is looked at once (`look_at_obs`); the looks are joined (`ObsSchema.of`); then the rows of
any part of any file are encoded alike (`ObsSchema.encode`).
"""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keras_geneformer.tokenization.cells.obs_columns import encode_column, is_mixed, nullable_dtype

logger = logging.getLogger(__name__)

SOURCE_FILE = "source_file"

_NUMPY = {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
_NUMPY |= {"bool", "float16", "float32", "float64"}

_LARGEST_EXACT = 2**53


@dataclass(frozen=True)
class ColumnLook:
    """One column of one file.

    Attributes:
        name: as obs has it.
        type: of its values in Arrow; null where all are missing.
        kind: see `encode_column`.
        text: whether values of several types make it text.
        wide: whether it has integers that float64 does not hold exactly.
    """

    name: Any
    type: pa.DataType
    kind: dict[str, Any]
    text: bool
    wide: bool


@dataclass(frozen=True)
class ObsLook:
    """The obs of one file: its index and its columns."""

    index: ColumnLook
    columns: tuple[ColumnLook, ...]


def look_at_obs(obs: pd.DataFrame, columns: list[str] | None = None) -> ObsLook:
    """What the columns of one file hold.

    Args:
        obs: of all its cells.
        columns: the columns that will be kept, of those it has; None for all.

    Raises:
        ValueError: the index has several levels.
    """
    if isinstance(obs.index, pd.MultiIndex):
        raise ValueError("obs has an index of several levels; expected one name a cell")
    kept = [
        i for i, name in enumerate(obs.columns) if columns is None or name in columns
    ]  # by number, as a name may stand twice
    return ObsLook(
        _look(obs.index.to_series(), obs.index.name),
        tuple(_look(obs.iloc[:, i], obs.columns[i]) for i in kept),
    )


def _look(series: pd.Series, name: Any) -> ColumnLook:
    text = is_mixed(series)
    if text:
        logger.warning("obs column %r (%s) is kept as text", series.name, series.dtype)
    array, kind = encode_column(series, text)
    empty = array.null_count == len(array) and kind["dtype"] == "object"
    wide = False
    if array.type in (pa.int64(), pa.uint64()) and array.null_count < len(array):
        extremes = pc.min_max(array).as_py()
        wide = max(-extremes["min"], extremes["max"]) > _LARGEST_EXACT
    return ColumnLook(name, pa.null() if empty else array.type, kind, text, wide)


@dataclass(frozen=True)
class _Column:
    """A column of the whole: its name in obs and in the file, and how it is stored."""

    name: Any
    stored: str
    type: pa.DataType
    kind: dict[str, Any]
    text: bool

    def encode(self, series: pd.Series) -> pa.Array:
        array, _ = encode_column(series, self.text)
        if array.null_count == len(array):
            return self.missing(len(array))
        return array if array.type == self.type else array.cast(self.type)

    def missing(self, cells: int) -> pa.Array:
        if pa.types.is_floating(self.type) and not self.kind["dtype"].startswith("Float"):
            return pa.array(np.full(cells, np.nan), self.type, from_pandas=False)
        return pa.nulls(cells, self.type)


@dataclass(frozen=True)
class ObsSchema:
    """How the obs of several files is stored as one.

    Attributes:
        index: the names of the cells.
        columns: in the order in which the files first have them.
        source_file: the stored column that tells from which file a cell came, None without one.
    """

    index: _Column
    columns: tuple[_Column, ...]
    source_file: str | None

    @classmethod
    def of(
        cls, looks: list[ObsLook], reserved: frozenset[str], source_file: bool = False
    ) -> "ObsSchema":
        """Join what was seen in each file.

        A column that is categorical in every file that has it stays so, with the categories of
        all. Numbers of unlike types become the type that holds both; what else is unlike becomes
        text, and a warning says so. A column that a file lacks is missing in its cells.

        Args:
            looks: of every file, in order.
            reserved: names that are taken in the stored dataset.
            source_file: add a column `source_file`, unless obs has one.
        """
        taken = set(reserved)

        def stored(name: str) -> str:
            while name in taken:
                name += "_"
            taken.add(name)
            return name

        # Where a name stands twice in obs, its columns are told apart by their turn.
        seen: dict[tuple[Any, int], list[ColumnLook]] = {}
        for look in looks:
            turns: dict[Any, int] = {}
            for column in look.columns:
                turn = turns[column.name] = turns.get(column.name, -1) + 1
                seen.setdefault((column.name, turn), []).append(column)
        columns = tuple(
            _joined(parts, stored(str(name)), len(parts) < len(looks))
            for (name, _), parts in seen.items()
        )
        added = source_file and not any(column.name == SOURCE_FILE for column in columns)
        file = stored(SOURCE_FILE) if added else None
        name = looks[0].index.name
        index = _joined(
            [look.index for look in looks],
            stored(name if isinstance(name, str) and name else "cell_name"),
            False,
        )
        return cls(index, columns, file)

    @property
    def types(self) -> dict[str, pa.DataType]:
        """The Arrow type of each stored column."""
        types = {column.stored: column.type for column in (*self.columns, self.index)}
        return types if self.source_file is None else types | {self.source_file: pa.string()}

    def kinds(self, files: list[str]) -> dict[str, Any]:
        """What restores obs from the stored columns (see `decode_obs`).

        Args:
            files: the names of the files, in order: the categories of `source_file`.
        """
        columns = [
            {"name": column.name, "column": column.stored, **column.kind} for column in self.columns
        ]
        if self.source_file is not None:
            kind = {"dtype": "category", "categories": files, "ordered": False, "values": "object"}
            columns.append({"name": SOURCE_FILE, "column": self.source_file, **kind})
        index = {"name": self.index.name, "column": self.index.stored, **self.index.kind}
        return {"index": index, "columns": columns}

    def encode(self, obs: pd.DataFrame, file: str) -> dict[str, pa.Array]:
        """Some rows of a file's obs as stored columns.

        Args:
            obs: the rows, with all columns of the file.
            file: its name.
        """
        turns: dict[Any, int] = {}
        arrays = {}
        for column in self.columns:
            turn = turns[column.name] = turns.get(column.name, -1) + 1
            places = np.flatnonzero(obs.columns == column.name)
            arrays[column.stored] = (
                column.encode(obs.iloc[:, places[turn]])
                if turn < len(places)
                else column.missing(len(obs))
            )
        arrays[self.index.stored] = self.index.encode(obs.index.to_series())
        if self.source_file is not None:
            arrays[self.source_file] = pa.repeat(pa.scalar(file), len(obs))
        return arrays


def _joined(parts: list[ColumnLook], stored: str, missing: bool) -> _Column:
    name = parts[0].name
    if all(part.kind["dtype"] == "category" for part in parts):
        return _joined_categories(parts, stored)
    # A column without any value agrees with all others.
    telling = [part for part in parts if not pa.types.is_null(part.type)] or parts[:1]
    types = {part.type for part in telling}
    dtypes = {part.kind["dtype"] for part in telling}
    kind = telling[0].kind if len(dtypes) == 1 else {"dtype": "object"}
    if kind["dtype"] == "category":
        kind = {"dtype": "object"}
    missing = missing or len(telling) < len(parts)
    if any(part.text for part in telling):
        return _Column(name, stored, pa.string(), {"dtype": "object"}, True)
    if len(types) == 1:
        (arrow,) = types
        arrow = pa.string() if pa.types.is_null(arrow) else arrow
        if missing and kind["dtype"] in _NUMPY:
            kind = {"dtype": nullable_dtype(np.dtype(kind["dtype"])) or kind["dtype"]}
        return _Column(name, stored, arrow, kind, False)
    if dtypes <= _NUMPY - {"bool"}:
        dtype = np.result_type(*dtypes)
        if dtype.kind != "f" or not any(part.wide for part in telling):
            kind = {"dtype": (nullable_dtype(dtype) if missing else None) or str(dtype)}
            return _Column(name, stored, pa.from_numpy_dtype(dtype), kind, False)
    logger.warning(
        "obs column %r is %s, not alike in all files: kept as text", name, ", ".join(sorted(dtypes))
    )
    return _Column(name, stored, pa.string(), {"dtype": "object"}, True)


def _joined_categories(parts: list[ColumnLook], stored: str) -> _Column:
    kinds = [part.kind for part in parts]
    if all(kind == kinds[0] for kind in kinds):
        return _Column(parts[0].name, stored, parts[0].type, kinds[0], False)
    values = {kind["values"] for kind in kinds}
    types = {part.type for part in parts if not pa.types.is_null(part.type)}
    categories = list(dict.fromkeys(value for kind in kinds for value in kind["categories"]))
    kind = {
        "dtype": "category",
        "categories": categories,
        "ordered": False,
        "values": values.pop() if len(values) == 1 else "object",
    }
    if len(types) <= 1:
        return _Column(parts[0].name, stored, types.pop() if types else pa.string(), kind, False)
    logger.warning("obs column %r has categories of unlike types: kept as text", parts[0].name)
    kind |= {"categories": list(dict.fromkeys(map(str, categories))), "values": "object"}
    return _Column(parts[0].name, stored, pa.string(), kind, True)
