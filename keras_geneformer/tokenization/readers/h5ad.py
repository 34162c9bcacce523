"""Reads an `.h5ad` file a range of rows at a time, and says what is wrong with one."""

from pathlib import Path
from typing import Any

import h5py
import pandas as pd

from keras_geneformer.tokenization.readers.count_source import CountSource, missing_layer
from keras_geneformer.tokenization.readers.file_checks import damaged
from keras_geneformer.tokenization.readers.stored_matrix import is_array, matrix_rows


def h5ad_source(file: h5py.File, path: Path, layer: str | None) -> CountSource:
    """The cells of an open `.h5ad`.

    Args:
        file: the open file; the source's `close` closes it.
        path: its path.
        layer: a layer's name; "raw" for `.raw`, unless a layer is so called. None: X.

    Raises:
        ValueError: the file is damaged, is no `.h5ad`, or lacks the layer.
    """
    if "obs" not in file or "var" not in file:
        raise ValueError(
            f"{path} is HDF5 but no .h5ad, .loom or 10x .h5: it has "
            f"{', '.join(file) or 'nothing'}; expected X, obs and var, or a matrix with row_attrs "
            "or barcodes"
        )
    return encoded_source(file, path, layer, file.close)


def encoded_source(root: Any, path: Path, layer: str | None, close: Any) -> CountSource:
    """The cells of an AnnData as it is encoded in HDF5 or zarr.

    Args:
        root: the group with X, obs and var.
        path: the file.
        layer: as for `h5ad_source`.
        close: releases the file.

    Raises:
        ValueError: a part is damaged, or the layer missing.
    """
    place, var_place = _locate(root, path, layer)
    obs, var = _frame(root, "obs", path), _frame(root, var_place, path)
    matrix = root.get(place)
    if matrix is None:
        raise damaged(path, f"it has no {place}")
    rows = matrix_rows(matrix, len(obs), len(var), path, var_place)

    def close_both() -> None:
        rows.close()
        close()

    return CountSource(str(path), obs, var, rows.read, close_both, rows.sequential)


def _locate(root: Any, path: Path, layer: str | None) -> tuple[str, str]:
    """Where the matrix and its var stand."""
    layers = sorted(root["layers"]) if "layers" in root else []
    # A raw that is None is an array in newer files.
    raw = ["raw"] if "raw" in root and not is_array(root["raw"]) else []
    if layer is None and "X" in root:
        return "X", "var"
    if layer in layers:
        return f"layers/{layer}", "var"
    if layer == "raw" and raw:
        return "raw/X", "raw/var"
    raise ValueError(missing_layer(str(path), layer, layers + raw))


def _frame(root: Any, name: str, path: Path) -> pd.DataFrame:
    from anndata.io import read_elem

    if is_array(root.get(name)):
        raise ValueError(
            f"{path} was written by anndata before 0.7: read it with anndata.read_h5ad and write "
            "it again"
        )
    try:
        frame = read_elem(root[name])
    # What anndata raises for a part that is damaged has no common type.
    except Exception as error:
        raise damaged(path, f"{name} is unreadable ({error})") from error
    if not isinstance(frame, pd.DataFrame):
        raise damaged(path, f"{name} is a {type(frame).__name__}, expected a table")
    return frame
