"""Sources of counts, read some rows at a time: an AnnData in memory, or a file.

A reader for another format is one more function that gives a `CountSource`, named in `formats`.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import scipy.sparse as sp

from keras_geneformer.tokenization.readers.count_source import (
    CountSource,
    missing_layer,
    nothing_to_close,
)
from keras_geneformer.tokenization.readers.formats import KNOWN_FORMATS, open_source, sources_at
from keras_geneformer.tokenization.readers.stored_matrix import matrix_rows

if TYPE_CHECKING:
    import anndata


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
    stored = matrix if isinstance(matrix, h5py.Dataset) else getattr(matrix, "group", None)
    if stored is not None:
        # Backed: rows come from the file, where AnnData would read a CSC matrix whole each time.
        path = Path(adata.filename or "adata")
        rows = matrix_rows(stored, adata.n_obs, len(var), path, "var")
        return CountSource("adata", adata.obs, var, rows.read, rows.close, rows.sequential)
    if sp.issparse(matrix):
        matrix = sp.csr_matrix(matrix)

    def read(start: int, stop: int) -> sp.csr_matrix:
        return sp.csr_matrix(matrix[start:stop])

    return CountSource("adata", adata.obs, var, read, nothing_to_close)


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
    """A file of counts, read in place and left as it is.

    The format is told from the content: `.h5ad` (CSR, CSC or dense), `.zarr` stores of anndata,
    `.loom`, the `.h5` of Cell Ranger 2 and later, and folders with `matrix.mtx`, `barcodes.tsv` and
    `features.tsv` or `genes.tsv`, each plain or gzip (or the matrix itself, such as
    "GSM1_matrix.mtx.gz" beside "GSM1_barcodes.tsv.gz"). Rows of most are read directly. CSC and
    matrix.mtx, and dense matrices stored in very tall blocks, go once to a temporary copy of 12
    bytes an entry in the system's temporary folder, which the environment variable TMPDIR
    chooses; such a source is `sequential`.

    Args:
        path: the file, store or folder.
        layer: a layer's name (for a file of Cell Ranger 2: a genome's); "raw" for `.raw`, unless
            a layer is so called. Default: X.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is empty, truncated or damaged, of no known format, or lacks the
            layer.
    """
    return open_source(Path(path), layer)


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
        paths: files, `.zarr` stores, folders with `matrix.mtx`, other folders (the files of known
            formats, stores and matrix folders that lie in them) and patterns such as
            "atlas/*.h5ad"; "~" is the home folder.

    Raises:
        FileNotFoundError: a file is missing, or a folder or a pattern gives none.
        ValueError: nothing was given.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found: dict[str, Path] = {}
    for path in (Path(os.path.expanduser(path)) for path in given):
        matches = [path] if path.exists() else _matches(path)
        sources = [source for match in matches for source in sources_at(match)]
        if not sources:
            raise FileNotFoundError(
                f"{path}: no such file, or nothing in that place that is {KNOWN_FORMATS}"
            )
        for source in sources:
            found.setdefault(os.path.abspath(source), source)
    if not found:
        raise ValueError("no files were given")
    return sorted(found.values())


def _matches(pattern: Path) -> list[Path]:
    """What a pattern gives; as in a shell, "*" is no hidden file."""
    found = Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))
    return [path for path in found if pattern.name[:1] == "." or path.name[:1] != "."]
