"""Embeddings as .parquet, .csv, .h5ad and .zarr, written block by block."""

import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.tokenization.publishing import check_destination

SUFFIXES = (".parquet", ".csv", ".h5ad", ".zarr")

MARK = "keras_geneformer"
"""Key of the metadata of a parquet file, and in `uns` of an AnnData, that says it is ours."""

Blocks = Iterator[tuple[slice, np.ndarray]]


def write_embedding(
    path: Path, obs: pd.DataFrame, blocks: Blocks, dim: int, key: str, about: dict[str, Any]
) -> None:
    """Writes an embedding as the suffix says.

    A table has a row a cell and the columns "0", "1", ...; .h5ad and .zarr hold an AnnData without
    counts: obs, and the vectors in `obsm`.

    Args:
        path: a file, or for .zarr a directory, that nobody reads yet.
        obs: of the cells.
        blocks: rows and their float32 vectors, in the order of obs.
        dim: length of a vector.
        key: the key in `obsm`.
        about: plain values that go with it, not into csv.
    """
    note = json.dumps(about)
    if path.suffix == ".parquet":
        _write_parquet(path, _tables(obs, blocks, dim), note)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            for number, block in enumerate(_tables(obs, blocks, dim)):
                block.to_csv(file, header=number == 0)
    elif path.suffix == ".h5ad":
        _write_h5ad(path, obs, blocks, dim, key, note)
    else:
        _write_zarr(path, obs, blocks, dim, key, note)


def _tables(obs: pd.DataFrame, blocks: Blocks, dim: int) -> Iterator[pd.DataFrame]:
    columns = [str(number) for number in range(dim)]
    for rows, values in blocks:
        yield pd.DataFrame(values, index=obs.index[rows], columns=columns)


def _write_parquet(path: Path, tables: Iterator[pd.DataFrame], note: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = pa.Table.from_pandas(next(tables))
    schema = first.schema.with_metadata({**(first.schema.metadata or {}), MARK: note})
    with pq.ParquetWriter(path, schema) as writer:
        writer.write_table(first.cast(schema))
        for block in tables:
            writer.write_table(pa.Table.from_pandas(block, schema=schema))


def _write_h5ad(
    path: Path, obs: pd.DataFrame, blocks: Blocks, dim: int, key: str, note: str
) -> None:
    import anndata
    import h5py

    anndata.AnnData(obs=obs, uns={MARK: note}).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        shape = (len(obs), dim)
        chunks = (min(1024, len(obs)), dim)
        _fill(file["obsm"].create_dataset(key, shape, "float32", chunks=chunks), blocks)


def _write_zarr(
    path: Path, obs: pd.DataFrame, blocks: Blocks, dim: int, key: str, note: str
) -> None:
    import anndata
    import zarr

    with warnings.catch_warnings():
        # anndata's news about its default format, which zarr 2 and 3 both read.
        warnings.filterwarnings("ignore", "Writing zarr v2 data", UserWarning)
        anndata.AnnData(obs=obs, uns={MARK: note}).write_zarr(path)
    group = zarr.open_group(str(path), mode="r+", use_consolidated=False)["obsm"]
    # zarr 2 has the second name alone.
    make = getattr(group, "create_array", None) or group.create_dataset
    chunks = (min(1024, len(obs)), dim)
    _fill(make(key, shape=(len(obs), dim), dtype="float32", chunks=chunks), blocks)
    zarr.consolidate_metadata(str(path))


def _fill(array: Any, blocks: Blocks) -> None:
    array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    for rows, values in blocks:
        array[rows] = values


def check_output(output: str | os.PathLike[str]) -> Path:
    """Refuses an output that cannot be written, or is somebody else's.

    Raises:
        ValueError: the suffix says nothing that is written here.
        FileExistsError: there is something else than an embedding.
    """
    path = Path(output)
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"Received output={str(path)!r}, which ends in none of {', '.join(SUFFIXES)}: the "
            "suffix says what is written."
        )
    if path.suffix == ".zarr":
        check_destination(path, is_embedding)
    elif path.is_dir() or (path.suffix == ".h5ad" and path.exists() and not is_embedding(path)):
        raise FileExistsError(
            f"{path} exists and holds no embedding written by this package; it is left as it is. "
            "Choose another name"
        )
    return path


def is_embedding(path: Path) -> bool:
    """Whether an .h5ad or .zarr holds an embedding that was written here."""
    return _note(path) is not None


def written_settings(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What the embedding in a file was made with; None where it does not say (csv does not).

    Args:
        path: .parquet, .h5ad or .zarr.
    """
    note = _note(Path(path))
    try:
        return None if note is None else json.loads(note).get("settings")
    except ValueError:
        return None


def _note(path: Path) -> str | None:
    if not path.exists():
        return None
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            note = (pq.read_schema(path).metadata or {}).get(MARK.encode())
        elif path.suffix == ".h5ad":
            import h5py

            with h5py.File(path) as file:
                note = file["uns"][MARK][()]
        elif path.suffix == ".zarr":
            import zarr
            from anndata.io import read_elem

            note = str(read_elem(zarr.open_group(str(path), mode="r")["uns"][MARK]))
        else:
            note = None
    except (OSError, KeyError, ValueError):
        return None
    return note.decode() if isinstance(note, bytes) else note
