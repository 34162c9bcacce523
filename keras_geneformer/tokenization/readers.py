"""Sources of counts, read some rows at a time: an AnnData in memory, or an `.h5ad` file.

A reader for another format is one more function that gives a `CountSource`.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import scipy.sparse as sp

from keras_geneformer.tokenization.h5ad import missing_layer, open_h5ad

if TYPE_CHECKING:
    import anndata


@dataclass(frozen=True)
class CountSource:
    """Cells by genes, whose rows can be read a range at a time.

    Attributes:
        name: for messages: the file, or "adata".
        obs: what is known of each cell, one row a cell.
        var: what is known of each gene, one row a column of the matrix.
        read: gives rows `start` to `stop` as a CSR matrix of shape (stop - start, genes).
        close: releases the file.
    """

    name: str
    obs: pd.DataFrame
    var: pd.DataFrame
    read: Callable[[int, int], sp.csr_matrix]
    close: Callable[[], None]

    def __len__(self) -> int:
        return len(self.obs)

    def chunks(self, cells: int) -> Iterator[tuple[int, sp.csr_matrix]]:
        """The whole matrix, `cells` rows at a time, each with the number of its first row."""
        for start in range(0, len(self), cells):
            yield start, self.read(start, min(start + cells, len(self)))


def anndata_source(adata: "anndata.AnnData", layer: str | None = None) -> CountSource:
    """An AnnData, in memory or backed.

    Args:
        adata: CSR, CSC or dense.
        layer: a layer's name; "raw" for `adata.raw`, unless a layer is so called. Default: X.

    Raises:
        TypeError: it is no AnnData.
        ValueError: there is no such layer, no `raw`, or no X.
    """
    require_anndata(adata)
    var = adata.var
    if layer is None:
        matrix = adata.X
    elif layer in adata.layers:
        matrix = adata.layers[layer]
    elif layer == "raw" and adata.raw is not None:
        matrix, var = adata.raw.X, adata.raw.var
    else:
        raise ValueError(missing_layer("adata", layer, _layers(adata)))
    if matrix is None:
        raise ValueError(missing_layer("adata", None, _layers(adata)))
    if sp.issparse(matrix):
        matrix = sp.csr_matrix(matrix)

    def read(start: int, stop: int) -> sp.csr_matrix:
        return sp.csr_matrix(matrix[start:stop])

    return CountSource("adata", adata.obs, var, read, lambda: None)


def require_anndata(adata: object) -> None:
    """Refuse anything but an AnnData.

    Raises:
        TypeError: says what was given.
    """
    if not hasattr(adata, "obs_names") or not hasattr(adata, "layers"):
        raise TypeError(
            f"got a {type(adata).__name__}; expected an AnnData (for files: tokenize_files)"
        )


def _layers(adata: "anndata.AnnData") -> list[str]:
    return [*adata.layers, "raw"] if adata.raw is not None else list(adata.layers)


def file_source(path: str | os.PathLike[str], layer: str | None = None) -> CountSource:
    """A file of counts, read in place.

    Args:
        path: an `.h5ad` file (CSR, CSC or dense; a CSC matrix is held in memory).
        layer: a layer's name; "raw" for `.raw`, unless a layer is so called. Default: X.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is empty, truncated or damaged, is no `.h5ad`, or lacks the layer.
    """
    content = open_h5ad(Path(path), layer)
    return CountSource(str(path), content.obs, content.var, content.read, content.close)


@contextmanager
def opened(source: Any, layer: str | None = None) -> Iterator[CountSource]:
    """An AnnData or a path as a `CountSource`, closed at the end."""
    if isinstance(source, str | os.PathLike):
        counts = file_source(source, layer)
    else:
        counts = anndata_source(source, layer)
    try:
        yield counts
    finally:
        counts.close()


def expand_paths(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The files that are meant, in sorted order, each once.

    Args:
        paths: files, folders (their `.h5ad` files) and patterns such as "atlas/*.h5ad".

    Raises:
        FileNotFoundError: a file is missing, or a folder or a pattern gives none.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found: set[Path] = set()
    for path in map(Path, given):
        if path.is_dir():
            matches = sorted(path.glob("*.h5ad"))
        elif path.exists():
            matches = [path]
        else:
            matches = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        if not matches:
            raise FileNotFoundError(f"{path}: no such file, or no .h5ad file in that place")
        found.update(matches)
    if not found:
        raise ValueError("no files were given")
    return sorted(found)
