"""Columns of obs as Arrow columns that `datasets` can read, and back without loss."""

import logging
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

logger = logging.getLogger(__name__)

_JSON_CATEGORIES = ("string", "integer", "floating", "boolean", "empty")


def encode_obs(
    obs: pd.DataFrame, reserved: frozenset[str]
) -> tuple[dict[str, pa.Array], dict[str, Any]]:
    """All columns of obs and its index.

    Args:
        obs: one row a cell.
        reserved: column names that obs may not take; a column of obs so called gets another.

    Returns:
        The Arrow arrays by stored name, and a JSON-able dict from which `decode_obs` restores
        names, order and types.
    """
    arrays: dict[str, pa.Array] = {}

    def store(series: pd.Series, name: str) -> dict[str, Any]:
        while name in arrays or name in reserved:
            name += "_"
        arrays[name], kind = encode_column(series)
        return {"column": name, **kind}

    columns = [
        {"name": name, **store(obs.iloc[:, i], str(name))} for i, name in enumerate(obs.columns)
    ]
    if isinstance(obs.index, pd.MultiIndex):
        raise ValueError("obs has an index of several levels; expected one name a cell")
    named = isinstance(obs.index.name, str) and obs.index.name
    index = store(obs.index.to_series(), named or "cell_name")
    return arrays, {"index": {"name": obs.index.name, **index}, "columns": columns}


def decode_obs(table: pa.Table, kinds: dict[str, Any] | None, reserved: frozenset[str]) -> Any:
    """The DataFrame that `encode_obs` was given.

    Args:
        table: the dataset's Arrow table.
        kinds: the dict of `encode_obs`; None where others wrote the table: then every column that
            is not reserved is one of obs, and cells are named "0", "1", ...
        reserved: columns of the table that are none of obs.
    """
    if kinds is None:
        names = [name for name in table.column_names if name not in reserved]
        index = pd.RangeIndex(table.num_rows).astype(str)
        values = {name: decode_column(table[name], None).set_axis(index) for name in names}
        return pd.DataFrame(values, index=index)
    stored = kinds["index"]
    index = pd.Index(decode_column(table[stored["column"]], stored)).set_names(stored["name"])
    columns = [
        pd.Series(decode_column(table[kind["column"]], kind)).set_axis(index)
        for kind in kinds["columns"]
    ]
    obs = pd.DataFrame(dict(enumerate(columns)), index=index)
    obs.columns = pd.Index([kind["name"] for kind in kinds["columns"]], dtype=object)
    return obs


def encode_column(series: pd.Series, text: bool = False) -> tuple[pa.Array, dict[str, Any]]:
    """One obs column as a plain Arrow array, and what is needed to restore it.

    Categories become their values, as `datasets` has no Arrow dictionaries; NaN stays NaN in a
    column of floats and is a null elsewhere. A column of mixed types becomes text, and says so.

    Args:
        series: the column.
        text: make it text, whatever it holds.

    Returns:
        The Arrow array, and a JSON-able dict: `dtype`, and for a categorical its `categories`,
        whether they are `ordered`, and the `values` dtype.
    """
    if text:
        return _as_text(series), {"dtype": "object"}
    if isinstance(series.dtype, pd.CategoricalDtype):
        categories = series.cat.categories
        if pd.api.types.infer_dtype(categories, skipna=False) not in _JSON_CATEGORIES:
            logger.warning("obs column %r: its categories are kept as text", series.name)
            series = series.cat.rename_categories(categories.map(str))
            categories = series.cat.categories
        codes = pa.array(series.cat.codes.to_numpy(), mask=series.isna().to_numpy())
        values = pa.DictionaryArray.from_arrays(codes, pa.array(categories.to_numpy()))
        return values.dictionary_decode(), {
            "dtype": "category",
            "categories": categories.tolist(),
            "ordered": bool(series.cat.ordered),
            "values": str(categories.dtype),
        }
    dtype = str(series.dtype)
    if series.dtype in (np.float16, np.float32, np.float64):
        return pa.array(series.to_numpy(), from_pandas=False), {"dtype": dtype}
    array = _plain(series)
    if array is None:
        logger.warning("obs column %r (%s) is kept as text", series.name, dtype)
        array, dtype = _as_text(series), "object"
    if pa.types.is_null(array.type):
        array = array.cast(pa.string())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return array, {"dtype": dtype}


def nullable_dtype(dtype: Any) -> str | None:
    """The pandas type that holds these integers or bools and missing values; None for others.

    Floats would hold them too, but not all of them exactly, and would no longer be integers.
    """
    if not isinstance(dtype, np.dtype) or dtype.kind not in "iub":
        return None
    if dtype.kind == "b":
        return "boolean"
    return f"{'U' if dtype.kind == 'u' else ''}Int{dtype.itemsize * 8}"


def is_mixed(series: pd.Series) -> bool:
    """Whether a column holds values of several types, or lists or bytes: it is kept as text."""
    return series.dtype == object and _plain(series) is None


def _plain(series: pd.Series) -> pa.Array | None:
    """The column in Arrow's own types; None where there is none for it."""
    try:
        array = pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return None
    return None if pa.types.is_nested(array.type) or pa.types.is_binary(array.type) else array


def _as_text(series: pd.Series) -> pa.Array:
    values = zip(series.astype(object), series.isna())
    return pa.array([None if missing else str(value) for value, missing in values], pa.string())


def decode_column(column: pa.ChunkedArray, kind: dict[str, Any] | None) -> Any:
    """An obs column from Arrow: what `encode_column` was given, as far as pandas has it.

    Args:
        column: the Arrow column.
        kind: the dict of `encode_column`; None for a column written by others, which then takes
            the pandas type that Arrow proposes.

    Returns:
        A value for a DataFrame column.
    """
    if kind is None:
        return column.to_pandas()
    if kind["dtype"] == "category":
        categories = pd.Index(kind["categories"]).astype(kind["values"])
        values = column.to_pandas().astype(object)
        # Missing values have to stay missing, whatever pandas calls them in this column.
        values = values.where(column.is_valid().to_numpy(), None)
        return pd.Categorical(values, categories=categories, ordered=kind["ordered"])
    values = column.to_pandas()
    if str(values.dtype) == kind["dtype"]:
        return values
    if kind["dtype"] == "object":
        return values.astype(object)
    if kind["dtype"] == "str":  # pandas 3's name for text; pandas 2 keeps text as objects
        return values
    dtype = pd.api.types.pandas_dtype(kind["dtype"])
    if isinstance(dtype, np.dtype):
        return values.astype(dtype)
    # Nullable types: build from objects, so that integers never pass through floats.
    return pd.array(column.to_pylist(), dtype=dtype)  # type: ignore[call-overload]
