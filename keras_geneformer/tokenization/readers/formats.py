"""The formats of files of counts, told apart by what is in them."""

from collections.abc import Iterator
from pathlib import Path

import h5py

from keras_geneformer.tokenization.readers.count_source import CountSource
from keras_geneformer.tokenization.readers.file_checks import open_hdf5
from keras_geneformer.tokenization.readers.h5ad import h5ad_source
from keras_geneformer.tokenization.readers.loom import loom_source
from keras_geneformer.tokenization.readers.mtx import MATRIX_NAMES, matrix_file, mtx_source
from keras_geneformer.tokenization.readers.tenx_h5 import genomes, tenx_source
from keras_geneformer.tokenization.readers.zarr_store import is_zarr_store, zarr_source

MTX_SUFFIXES = (".mtx", ".mtx.gz")
ZARR_ZIP_SUFFIX = ".zarr.zip"
KNOWN_SUFFIXES = (".h5ad", ".h5", ".loom", *MTX_SUFFIXES, ZARR_ZIP_SUFFIX)
"""What the names of files of counts end with; stores and folders are known by their content."""

KNOWN_FORMATS = ".h5ad, .loom, .zarr, 10x .h5 or matrix.mtx"
"""The formats, for messages."""


def open_source(path: Path, layer: str | None) -> CountSource:
    """The counts in a file, a zarr store or a folder with `matrix.mtx`, whatever its name.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        ValueError: it is of no known format, damaged, or lacks the layer.
    """
    if path.is_dir():
        if is_zarr_store(path):
            return zarr_source(path, layer)
        if matrix_file(path) is not None:
            return mtx_source(path, layer)
        raise ValueError(
            f"{path} is a directory without counts: it is no .zarr store and has no "
            f"{' or '.join(MATRIX_NAMES)}; expected {KNOWN_FORMATS}"
        )
    if path.name.endswith(MTX_SUFFIXES):
        return mtx_source(path, layer)
    if path.name.endswith(ZARR_ZIP_SUFFIX) and path.is_file():
        return zarr_source(path, layer)
    file = open_hdf5(path, f"a file of counts ({KNOWN_FORMATS})")
    try:
        return _hdf5_source(file, path, layer)
    except BaseException:
        file.close()
        raise


def _hdf5_source(file: h5py.File, path: Path, layer: str | None) -> CountSource:
    if "matrix" in file and "row_attrs" in file:
        return loom_source(file, path, layer)
    if isinstance(file.get("matrix"), h5py.Group) or genomes(file):
        return tenx_source(file, path, layer)
    return h5ad_source(file, path, layer)


def is_source(path: Path) -> bool:
    """Whether something in a folder is to be read with the folder; hidden files are not."""
    if path.name.startswith("."):
        return False
    if path.is_dir():
        return is_folder_source(path)
    return path.name.endswith(KNOWN_SUFFIXES)


def is_folder_source(path: Path) -> bool:
    """Whether a folder itself is a source: a zarr store, or one with `matrix.mtx`."""
    return is_zarr_store(path) or any((path / name).is_file() for name in MATRIX_NAMES)


def sources_at(path: Path) -> Iterator[Path]:
    """What is meant by a path that exists: itself, or the sources that lie in the folder."""
    if not path.is_dir() or is_folder_source(path):
        yield path
    else:
        yield from filter(is_source, path.iterdir())
