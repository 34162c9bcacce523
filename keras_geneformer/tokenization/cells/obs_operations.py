"""Choosing cells by what obs says of them, and joining obs with other tables, as pure functions."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from keras_geneformer.tokenization.cells.obs_columns import nullable_dtype

logger = logging.getLogger(__name__)


def chosen_rows(obs: pd.DataFrame, chosen: Any) -> np.ndarray:
    """A mask of the cells that a condition holds for.

    Args:
        obs: one row a cell.
        chosen: a query on obs such as "cell_type == 'B cell' and n_counts > 500" (see
            `pandas.DataFrame.query`), a function from obs to a mask, or a mask of bools.

    Returns:
        A mask of bools, shape (cells,). A missing value in a mask (from a nullable column)
        chooses nothing.

    Raises:
        ValueError: the query cannot be answered, or the mask has another length or type.
    """
    mask: Any
    if isinstance(chosen, str):
        try:
            mask = obs.eval(chosen)
        except Exception as error:
            raise ValueError(
                f"obs cannot be asked {chosen!r}: {error}. It has the columns "
                f"{', '.join(map(str, obs.columns)) or 'none'}"
            ) from None
    else:
        mask = chosen(obs) if callable(chosen) else chosen
    if isinstance(getattr(mask, "dtype", None), pd.BooleanDtype):
        mask = mask.fillna(False)
    mask = np.asarray(mask)
    if not mask.size:
        mask = mask.astype(bool)
    if mask.dtype != bool or mask.ndim != 1:
        raise ValueError(
            f"the condition gave an array of {mask.dtype} of shape {mask.shape}; expected a bool "
            "for each cell"
        )
    if len(mask) != len(obs):
        raise ValueError(f"the mask has {len(mask)} entries for {len(obs)} cells")
    return mask


def sampled_rows(
    obs: pd.DataFrame,
    number: int | None,
    stratify: str | None = None,
    per_class: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Positions of cells drawn without replacement, the same for the same seed.

    Args:
        obs: one row a cell.
        number: how many cells; None for as many as `per_class` leaves.
        stratify: a column of obs; each of its values has its share among the cells drawn. Missing
            values are a class of their own, unused categories none.
        per_class: the most cells of a class.
        seed: of the draw.

    Returns:
        int64 positions in ascending order.

    Raises:
        ValueError: there is no such column, or there are not as many cells.

    Example:
        >>> obs = pd.DataFrame({"kind": ["B"] * 8 + ["T"] * 4})
        >>> obs["kind"].iloc[sampled_rows(obs, 6, "kind")].value_counts().to_dict()
        {'B': 4, 'T': 2}
    """
    for name, value in (("n", number), ("per_class", per_class)):
        if value is not None and (isinstance(value, bool) or int(value) != value or value < 0):
            raise ValueError(f"{name} is {value!r}; expected a number of cells, 0 or more")
    if number is None and per_class is None:
        raise ValueError("neither n nor per_class says how many cells to draw")
    if per_class is not None and stratify is None:
        raise ValueError("per_class needs stratify, the obs column with the classes")
    rng = np.random.default_rng(seed)
    if stratify is None:
        classes = np.zeros(len(obs), dtype=np.int64)
    elif stratify not in obs:
        raise ValueError(
            f"obs has no column {stratify!r}; it has {', '.join(map(str, obs.columns)) or 'none'}"
        )
    else:
        classes, _ = pd.factorize(obs[stratify], use_na_sentinel=False)
    sizes = np.bincount(classes) if len(classes) else np.zeros(0, dtype=np.int64)
    most = sizes if per_class is None else np.minimum(sizes, per_class)
    if number is not None and number > most.sum():
        limit = "" if per_class is None else f" with at most {per_class} of a class"
        raise ValueError(f"asked for {number} of {most.sum()} cells{limit}")
    wanted = most if number is None else _shares(most, int(number))
    # One sort, and not one pass over all cells a class: of donors there are thousands.
    cells_of = np.split(np.argsort(classes, kind="stable"), np.cumsum(sizes)[:-1])
    rows = [
        rng.choice(cells, size=number_of, replace=False)
        for cells, number_of in zip(cells_of, wanted.tolist())
    ]
    return np.sort(np.concatenate(rows)) if rows else np.zeros(0, dtype=np.int64)


def _shares(sizes: np.ndarray, number: int) -> np.ndarray:
    """`number` split in proportion to sizes; the largest remainders are rounded up."""
    if not number:
        return np.zeros_like(sizes)
    exact = sizes * (number / sizes.sum())
    shares = np.floor(exact + 1e-9).astype(np.int64)
    # The order of the classes settles equal remainders.
    first = np.argsort(-(exact - shares), kind="stable")[: number - shares.sum()]
    shares[first] += 1
    return shares


def stacked_obs(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of several obs, one after the other.

    Columns that some lack have missing values there. A column that is categorical wherever it
    stands stays so, with the categories of all in the order in which they first stand.

    Args:
        frames: one at least.

    Returns:
        All rows; names of cells stay as they are, also where two frames share them.
    """
    sizes = [len(frame) for frame in frames]
    names = list(dict.fromkeys(name for frame in frames for name in frame.columns))
    columns = [_stacked([frame.get(name) for frame in frames], sizes) for name in names]
    index = frames[0].index.append([frame.index for frame in frames[1:]])
    joined = pd.DataFrame(dict(enumerate(columns)), index=pd.RangeIndex(sum(sizes)))
    joined.columns = pd.Index(names, dtype=object)
    return joined.set_axis(index)


def _stacked(parts: Sequence[pd.Series | None], sizes: Sequence[int]) -> pd.Series:
    """One column of all frames, numbered from 0; None stands for a frame that lacks it.

    Parts without a value do not decide on the type: pandas would let them, with a warning.
    """
    there = [part for part in parts if part is not None]
    if all(isinstance(part.dtype, pd.CategoricalDtype) for part in there):
        same = all(part.dtype == there[0].dtype for part in there)
        categories = there[0].cat.categories if same else _all_categories(there)
        dtype = pd.CategoricalDtype(categories, same and bool(there[0].cat.ordered))
        codes: Any = [
            np.full(size, -1) if part is None else _codes(part, categories)
            for part, size in zip(parts, sizes)
        ]
        codes = np.concatenate(codes)
        return pd.Series(pd.Categorical.from_codes(codes, dtype=dtype))
    starts = np.cumsum([0, *sizes])
    told, rows = [], []
    for part, start, size in zip(parts, starts, sizes):
        if part is not None and part.notna().any():
            categorical = isinstance(part.dtype, pd.CategoricalDtype)
            told.append(part.astype(object) if categorical else part)
            rows.append(np.arange(start, start + size))
    if not told:
        return pd.Series(np.nan, pd.RangeIndex(starts[-1])).astype(
            there[0].dtype if there[0].dtype.kind in "fmM" else object
        )
    joined = pd.concat(told, ignore_index=True)
    if len(joined) == starts[-1]:
        return joined
    joined = joined.astype(nullable_dtype(joined.dtype) or joined.dtype)
    filled = joined.set_axis(np.concatenate(rows)).reindex(pd.RangeIndex(starts[-1]))
    if filled.dtype == object:
        filled[np.setdiff1d(np.arange(starts[-1]), np.concatenate(rows))] = None
    return filled


def _codes(part: pd.Series, categories: pd.Index) -> np.ndarray:
    """The codes of a categorical among other categories, -1 where a value is missing."""
    return np.append(categories.get_indexer(part.cat.categories), -1)[part.cat.codes.to_numpy()]


def _all_categories(parts: Sequence[pd.Series]) -> pd.Index:
    if len({part.cat.categories.dtype for part in parts}) == 1:
        return union_categoricals([part.cat.as_unordered() for part in parts]).categories
    return pd.Index(list(dict.fromkeys(value for part in parts for value in part.cat.categories)))


def merged_obs(obs: pd.DataFrame, frame: pd.DataFrame, on: Any = None) -> pd.DataFrame:
    """obs with the columns of another table, whose rows are found by the cells' names or a key.

    Args:
        obs: one row a cell.
        frame: what is to be added; its rows in any order.
        on: None: the index of `frame` holds the cells' names. Or the column, or a list of
            columns, that both tables have and that tell the rows of `frame` apart.

    Returns:
        obs, its rows as they were, with the new columns; a cell that `frame` lacks has missing
        values in them. (Columns of integers and bools become nullable ones in that case.)

    Raises:
        ValueError: rows of `frame` cannot be told apart, a column is in neither or in both, or no
            cell is in it.
    """
    if not isinstance(frame, pd.DataFrame):
        raise ValueError(
            f"merge_obs got a {type(frame).__name__}; expected a DataFrame, whose index holds the "
            "cells' names"
        )
    keys = [] if on is None else [on] if isinstance(on, str) else list(on)
    for name, table in (("obs", obs), ("the table", frame)):
        for key in keys:
            if key not in table:
                raise ValueError(
                    f"{name} has no column {key!r}; it has "
                    f"{', '.join(map(str, table.columns)) or 'none'}"
                )
    shared = [name for name in frame.columns if name in obs and name not in keys]
    if shared:
        raise ValueError(
            f"obs has a column {shared[0]!r} already: rename that of the table or drop it"
        )
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()]
        raise ValueError(f"the table has the column {twice[0]!r} more than once: rename one")
    here, there = _labels(obs, keys), _labels(frame, keys)
    where = "its index" if not keys else f"its column {' and '.join(map(repr, keys))}"
    if not there.is_unique:
        twice = there[there.duplicated()]
        raise ValueError(
            f"the table has {len(twice.unique())} labels more than once in {where}, first "
            f"{twice[0]!r}: rows that cannot be told apart cannot be joined to cells"
        )
    rows = there.get_indexer(here)
    if keys:
        rows[obs[keys].isna().any(axis=1).to_numpy()] = -1  # a missing value is no label
    if len(obs) and not (rows >= 0).any():
        raise ValueError(
            f"none of the {len(obs)} cells is in the table of {len(frame)} rows: cells are called "
            f"{_shown(here)}, {where} has {_shown(there)}. Give on= the column both have"
        )
    lacking, repeated = int((rows < 0).sum()), int(here.duplicated().sum())
    if lacking:
        logger.warning("%d of %d cells are not in the table", lacking, len(obs))
    if repeated and not keys:
        logger.warning(
            "%d cells have the name of another cell and take the same row of the table", repeated
        )
    added = frame[[name for name in frame.columns if name not in keys]]
    if lacking:
        kinds = {name: nullable_dtype(kind) for name, kind in added.dtypes.items()}
        added = added.astype({name: kind for name, kind in kinds.items() if kind is not None})
    # Without its own index, as the labels were matched above.
    taken = added.reset_index(drop=True).reindex(np.where(rows < 0, -1, rows))
    return pd.concat([obs, taken.set_axis(obs.index)], axis=1)


def _labels(table: pd.DataFrame, keys: list[Any]) -> pd.Index:
    if not keys:
        # A new index: one that was sliced from an index with repeated labels takes itself, in
        # pandas, for one of these.
        return table.index.take(np.arange(len(table)))
    if len(keys) == 1:
        return pd.Index(table[keys[0]].astype(object))
    return pd.MultiIndex.from_frame(table[keys].astype(object))


def _shown(labels: pd.Index) -> str:
    return ", ".join(map(repr, labels[:2].tolist())) + (", ..." if len(labels) > 2 else "")
