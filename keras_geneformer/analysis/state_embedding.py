"""One vector a state of cells: what perturbation moves cells from and towards."""

import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.analysis.cell_vectors import CellVectors

STATISTICS = ("mean", "median")

_VALUES_A_BLOCK = 2**23
"""Values (64 MB) of which medians are taken at once."""

_SAME = 1e-6
"""Distance of two vectors, as a share of their length, that float32 states cannot tell from 0."""


def embed_states(
    model: Any,
    cells: Any,
    obs_key: str,
    *,
    states: Sequence[Any] | None = None,
    statistic: str = "mean",
    layer: int = -2,
    pooling: str = "mean",
    dtype: str | None = None,
    batch_size: int | None = None,
    published: bool = False,
    progress: bool = False,
) -> pd.DataFrame:
    """Embed states of cells: the mean or the median of their cells' embeddings.

    Both are exact. The mean is summed in float64 as the cells come; for the median the cells'
    vectors wait in a temporary file.

    Picture: `kg.plotting.cosine_matrix`.

    Args:
        model: a `GeneformerBackbone`, a model on one, or the name or directory of a preset.
        cells: a `CellDataset`. Only those of the states are embedded.
        obs_key: the column of obs that says the state of a cell. Missing values are no state.
        states: the values of the column to embed, in this order; all, sorted, by default.
        statistic: `"mean"`, or `"median"` of each dimension: the mean of the two middle values
            where their number is even.
        layer, pooling, dtype, batch_size: as in `embed_cells`.
        published: the median is the lower of two middle values, which is `torch.median` and so
            `get_state_embs` of the published package. (That also draws 1,000 cells of a state at
            most: draw them with `cells.subset`.)
        progress: show a bar.

    Returns:
        (states, hidden_dim) float64, indexed by the states as text, columns 0, 1, ...;
        `attrs["cells"]` is a dict of the number of cells of each.

    Raises:
        ValueError: no such column or statistic; a state that no cell has, or that one cell has; two
            states of the same vector; or whatever `embed_cells` refuses.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> embedded = embed_states(tiny_backbone(), synthetic_dataset(7), "cell_type")
        >>> embedded.index.tolist(), embedded.shape, embedded.attrs["cells"]["B cell"]
        (['B cell', 'T cell', 'monocyte'], (3, 32), 3)
    """
    if statistic not in STATISTICS:
        raise ValueError(
            f"Received statistic={statistic!r}; expected one of {', '.join(STATISTICS)}."
        )
    names, codes = state_of_each(cells, obs_key, states)
    numbers = np.bincount(codes[codes >= 0], minlength=len(names))
    _check_numbers(names, numbers, obs_key)
    chosen = np.flatnonzero(codes >= 0)
    codes = codes[chosen]
    vectors = CellVectors(
        model,
        cells.subset(chosen),
        layer=layer,
        pooling=pooling,
        dtype=dtype,
        batch_size=batch_size,
    )
    if statistic == "mean":
        embedded = _means(vectors, codes, numbers, progress)
    else:
        embedded = _medians(vectors, codes, len(names), published, progress)
    _check_unlike(names, embedded)
    table = pd.DataFrame(embedded, index=pd.Index(names, name=obs_key))
    table.attrs["cells"] = dict(zip(names, numbers.tolist()))
    return table


def state_of_each(
    cells: Any, obs_key: str, states: Sequence[Any] | None = None
) -> tuple[list[str], np.ndarray]:
    """The states that an obs column holds, and which of them each cell has.

    Args:
        cells: a `CellDataset`.
        obs_key: the column.
        states: the values to keep, in this order; all, sorted, by default.

    Returns:
        The states as text, and (cells,) int64 places in them; -1 for a cell of none.

    Raises:
        ValueError: there is no such column; it is empty; a state is named twice or no cell's.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset
        >>> names, codes = state_of_each(synthetic_dataset(4), "cell_type", ["T cell", "B cell"])
        >>> names, codes.tolist()
        (['T cell', 'B cell'], [1, 0, -1, 1])
    """
    if obs_key not in cells.obs:
        raise ValueError(
            f"The cells have no column {obs_key!r} in obs; it has "
            f"{', '.join(map(str, cells.obs.columns)) or 'no columns'}."
        )
    column = cells.obs[obs_key]
    values = column.astype(str).to_numpy(dtype=object)
    known = column.notna().to_numpy()
    found = sorted(set(values[known]))
    if not found:
        raise ValueError(f"No cell has a value in the obs column {obs_key!r}: there is no state.")
    names = found if states is None else [str(state) for state in states]
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"Received states={names}; expected values of the obs column {obs_key!r}, each once."
        )
    absent = [name for name in names if name not in set(found)]
    if absent:
        raise ValueError(
            f"No cell has {obs_key} = {absent[0]!r}; it holds {', '.join(found[:20])}"
            f"{', …' if len(found) > 20 else ''}."
        )
    codes = pd.Index(names).get_indexer(pd.Index(values)).astype(np.int64)
    codes[~known] = -1
    return names, codes


def _check_numbers(names: list[str], numbers: np.ndarray, obs_key: str) -> None:
    single = np.flatnonzero(numbers < 2)
    if len(single):
        raise ValueError(
            f"The state {names[single[0]]!r} of {obs_key} has 1 cell; expected 2 or more: one cell "
            "has no centre to speak of. Leave the state out with states=[...], or give more cells."
        )


def _check_unlike(names: list[str], embedded: np.ndarray) -> None:
    length = max(float(np.linalg.norm(embedded, axis=1).max()), np.finfo(np.float64).tiny)
    for one in range(len(names)):
        distances = np.linalg.norm(embedded[one + 1 :] - embedded[one], axis=1)
        same = np.flatnonzero(distances <= _SAME * length)
        if len(same):
            raise ValueError(
                f"The states {names[one]!r} and {names[one + 1 + same[0]]!r} have the same "
                "embedding; expected states that differ, since no cell can be nearer to one than "
                "to the other. Are they the same cells, or is this the layer=0 state of the first "
                "token? Leave one out, or choose another layer or pooling."
            )


def _means(
    vectors: CellVectors, codes: np.ndarray, numbers: np.ndarray, progress: bool
) -> np.ndarray:
    sums = np.zeros((len(numbers), vectors.hidden_dim))
    for rows, values in vectors.batches(progress, "embed states"):
        np.add.at(sums, codes[rows], values)
    return sums / numbers[:, None]


def _medians(
    vectors: CellVectors, codes: np.ndarray, states: int, published: bool, progress: bool
) -> np.ndarray:
    with tempfile.TemporaryFile() as file:
        shape = (vectors.hidden_dim, len(codes))
        stored = np.memmap(file, dtype=np.float64, mode="w+", shape=shape)
        for rows, values in vectors.batches(progress, "embed states"):
            stored[:, rows] = values.T
        medians = [
            _median(stored, np.flatnonzero(codes == state), published) for state in range(states)
        ]
        del stored
    return np.stack(medians)


def _median(stored: np.ndarray, columns: np.ndarray, lower: bool) -> np.ndarray:
    """The median of each row of some columns, a few rows at once."""
    step = max(1, _VALUES_A_BLOCK // len(columns))
    blocks = (stored[start : start + step, columns] for start in range(0, len(stored), step))
    return np.concatenate([median(block, lower) for block in blocks])


def median(values: np.ndarray, lower: bool = False) -> np.ndarray:
    """The median along the last axis.

    Args:
        values: (..., n), n at least 1.
        lower: the lower of the two middle values where n is even, as `torch.median`; else their
            mean.

    Example:
        >>> import numpy as np
        >>> values = np.array([4.0, 1.0, 3.0, 2.0])
        >>> float(median(values)), float(median(values, lower=True))
        (2.5, 2.0)
    """
    if not lower:
        return np.median(values, axis=-1)
    middle = (values.shape[-1] - 1) // 2
    return np.partition(values, middle, axis=-1)[..., middle]
