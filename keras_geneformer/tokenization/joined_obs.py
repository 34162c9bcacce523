"""The obs of several files as one DataFrame."""

from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from keras_geneformer.tokenization.readers import opened

SOURCE_FILE = "source_file"


def joined_obs(
    files: list[Path], layer: str | None, columns: list[str] | None
) -> tuple[pd.DataFrame, np.ndarray]:
    """Read the obs of files and join their rows.

    Opening every file first also finds the unreadable ones before any work is done.

    Args:
        files: `.h5ad` files.
        layer: the layer that will be read.
        columns: the columns to keep; None for all.

    Returns:
        The rows of all files, in order; and the first row of each file, shape (files,). With
        several files a column `source_file` is added. A column that is categorical in every file
        that has it stays so, with the categories of all.

    Raises:
        ValueError: a file is unreadable, or no file has one of the columns.
    """
    frames, broken = [], []
    for path in files:
        try:
            with opened(path, layer) as source:
                frames.append(source.obs)
        except ValueError as error:
            broken.append(str(error))
    if broken:
        raise ValueError("\n".join(broken))
    starts = np.cumsum([0] + [len(frame) for frame in frames[:-1]])
    there = list(dict.fromkeys(name for frame in frames for name in frame.columns))
    wanted = there if columns is None else columns
    lacking = [name for name in wanted if name not in there]
    if lacking:
        raise ValueError(
            f"obs has no column {lacking[0]!r} in any file; it has "
            f"{', '.join(map(str, there)) or 'none'}"
        )
    frames = [frame[[name for name in wanted if name in frame]] for frame in frames]
    if len(frames) == 1:
        return frames[0], starts
    joined = pd.concat([_plain(frame) for frame in frames])
    for name in wanted:
        parts = [frame[name] for frame in frames if name in frame]
        if all(isinstance(part.dtype, pd.CategoricalDtype) for part in parts):
            categories = _categories(parts)
            joined[name] = pd.Categorical(joined[name], categories=categories)
    if SOURCE_FILE not in joined:
        codes = np.repeat(np.arange(len(files)), [len(frame) for frame in frames])
        names = pd.Index(list(map(str, files)))
        joined[SOURCE_FILE] = pd.Categorical(names[codes], categories=names)
    return joined, starts


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Categories as their values, which concatenate whatever the categories."""
    categorical = frame.columns[[isinstance(kind, pd.CategoricalDtype) for kind in frame.dtypes]]
    return frame.astype(dict.fromkeys(categorical, object))


def _categories(parts: list[pd.Series]) -> pd.Index:
    """The categories of all, in the order in which they first stand."""
    unordered = [part.cat.as_unordered() for part in parts]
    if len({part.cat.categories.dtype for part in parts}) == 1:
        return union_categoricals(unordered).categories
    return pd.Index(list(dict.fromkeys(value for part in parts for value in part.cat.categories)))
