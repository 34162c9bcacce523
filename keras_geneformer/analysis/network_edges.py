"""Which genes are linked: pairs of like vectors, and sums of effects over cells."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

_BLOCK = 1024
"""Genes whose cosines with all others exist at a time."""

_ROWS = 1 << 20
"""Rows of effects that are read, and pairs that are kept apart, at a time."""


def similar_pairs(
    vectors: np.ndarray, neighbours: int | None = None, threshold: float | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of vectors of large cosine.

    Args:
        vectors: (G, D).
        neighbours: a pair is taken where either is among so many nearest of the other; None: all.
        threshold: least cosine; never below 0, which is excluded.

    Returns:
        (E,) rows, (E,) rows, the smaller first, and (E,) cosines, float64, in the order of rows.

    Example:
        >>> one, other, cosines = similar_pairs(np.array([[1, 0], [3, 4], [0, 2.0]]), 1)
        >>> one.tolist(), other.tolist(), cosines.tolist()
        ([0, 1], [1, 2], [0.6, 0.8])
    """
    number = len(vectors)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, lengths, out=np.zeros_like(vectors, dtype=float), where=lengths > 0)
    found: list[np.ndarray] = []
    for start in range(0, number, _BLOCK):
        cosines = unit[start : start + _BLOCK] @ unit.T
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -np.inf
        taken = (
            cosines > 0 if threshold is None else cosines >= max(threshold, np.finfo(float).tiny)
        )
        if neighbours is not None and neighbours < number - 1:
            nearest_ = np.argpartition(-cosines, neighbours - 1, axis=1)[:, :neighbours]
            near = np.zeros_like(taken)
            np.put_along_axis(near, nearest_, True, axis=1)
            taken &= near
        one, other = np.nonzero(taken)
        one = one + start
        found.append(np.stack([np.minimum(one, other), np.maximum(one, other)]))
    one, other = np.unique(np.concatenate(found, axis=1), axis=1)
    weights = np.concatenate(
        [
            np.einsum("ed,ed->e", unit[one[part]], unit[other[part]])
            for part in np.array_split(np.arange(len(one)), len(one) // _ROWS + 1)
        ]
    )
    return one, other, weights


def nearest(pairs: pd.DataFrame, number: int) -> pd.DataFrame:
    """Of every gene the pairs of largest weight; ties in the order of the affected gene."""
    ordered = pairs.sort_values(["gene", "weight", "state"], ascending=[True, False, True])
    return ordered.groupby("gene", sort=False).head(number)


def effect_sums(source: Any) -> pd.DataFrame:
    """Sums over cells of what perturbing each gene does to each other.

    Args:
        source: effects, or the path of a file of them.

    Returns:
        Columns `gene`, `state` (the affected gene), `total` (sum of 1 - cosine) and `cells`, a row
        a pair.

    Raises:
        ValueError: there are no effects on genes, or those of several kinds of perturbation.
    """
    sums = pd.DataFrame({"gene": [], "state": [], "total": [], "cells": []})
    waiting: list[pd.DataFrame] = []
    kinds: set[str] = set()
    for piece in _pieces(source):
        piece = piece[(piece["measure"] == "gene_cosine") & piece["value"].notna()]
        if piece.empty:
            continue
        if "kind" in piece:
            kinds.update(piece["kind"].astype(str).unique())
        waiting.append(
            pd.DataFrame(
                {
                    "gene": piece["gene"].astype(str),
                    "state": piece["state"].astype(str),
                    "total": 1.0 - piece["value"].astype(np.float64),
                    "cells": 1,
                }
            )
        )
        if sum(map(len, waiting)) >= _ROWS:
            sums, waiting = _summed([sums, *waiting]), []
    sums = _summed([sums, *waiting])
    if sums.empty:
        raise ValueError(
            "The effects hold no rows of the measure gene_cosine: perturb with affected_genes=True."
        )
    if len(kinds) > 1:
        raise ValueError(
            f"The effects are of several kinds of perturbation ({', '.join(sorted(kinds))}), which "
            "no network holds together: select the rows of one."
        )
    return sums


def _summed(tables: list[pd.DataFrame]) -> pd.DataFrame:
    whole = pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)
    summed = whole.groupby(["gene", "state"], as_index=False)[["total", "cells"]].sum()
    return summed.astype({"cells": np.int64})


def _pieces(source: Any) -> Iterator[pd.DataFrame]:
    wanted = ["gene", "kind", "measure", "state", "value"]
    if isinstance(source, pd.DataFrame):
        yield source[[name for name in wanted if name in source]]
    elif Path(os.fspath(source)).suffix == ".csv":
        pieces = pd.read_csv(
            source,
            usecols=lambda name: name in wanted,
            dtype={"gene": str, "state": str},
            keep_default_na=False,
            chunksize=_ROWS,
        )
        for piece in pieces:
            yield piece.assign(value=pd.to_numeric(piece["value"], errors="coerce"))
    else:
        import pyarrow.parquet as pq

        with pq.ParquetFile(source) as file:
            present = [name for name in wanted if name in file.schema_arrow.names]
            for batch in file.iter_batches(batch_size=_ROWS, columns=present):
                yield batch.to_pandas()
