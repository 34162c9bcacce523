"""Reads a `.zarr` store that anndata wrote (zarr formats 2 and 3, folder or zip)."""

from pathlib import Path
from typing import Any

from keras_geneformer.tokenization.readers.count_source import CountSource
from keras_geneformer.tokenization.readers.file_checks import damaged
from keras_geneformer.tokenization.readers.h5ad import encoded_source

_MARKS = (".zgroup", ".zattrs", "zarr.json")


def is_zarr_store(folder: Path) -> bool:
    """Whether a folder is a zarr store."""
    return any((folder / mark).is_file() for mark in _MARKS)


def zarr_source(path: Path, layer: str | None) -> CountSource:
    """The cells of a zarr store.

    A chunk that is missing from a sparse matrix is an error; from a dense one it cannot be told
    from a chunk of zeros, which zarr does not store.

    Args:
        path: the store's folder, or a `.zarr.zip`.
        layer: a layer's name; "raw" for `.raw`, unless a layer is so called. None: X.

    Raises:
        ValueError: it is no AnnData, damaged, or lacks the layer.
    """
    import zarr

    try:
        store = zarr.storage.ZipStore(str(path), mode="r") if path.is_file() else str(path)
        root: Any = zarr.open(store, mode="r")
    # What zarr raises for a damaged store has no common type.
    except Exception as error:
        raise damaged(path, f"it is unreadable as a zarr store ({error})") from error
    names = sorted(root) if isinstance(root, zarr.Group) else ["an array"]
    if "obs" not in names or "var" not in names:
        raise ValueError(
            f"{path} is a zarr store but no AnnData: it has {', '.join(names) or 'nothing'}; "
            "expected X, obs and var"
        )

    def close() -> None:
        root.store.close()

    try:
        return encoded_source(root, path, layer, close)
    except BaseException:
        close()
        raise
