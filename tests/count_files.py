"""Writes an AnnData in every format that is read, by hand where its own writer is no dependency."""

import gzip
import shutil
import warnings

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse as sp


def with_matrix(adata, kind):
    changed = adata.copy()
    changed.X = kind(changed.X)
    return changed


def write_h5ad(adata, path, **options):
    adata.write_h5ad(path, **options)
    return path


def write_zarr(adata, path, zarr_format=2, **options):
    before = anndata.settings.zarr_write_format
    anndata.settings.zarr_write_format = zarr_format
    try:
        # About the defaults of other releases.
        with warnings.catch_warnings(action="ignore"):
            adata.write_zarr(path, **options)
    finally:
        anndata.settings.zarr_write_format = before
    return path


def write_zarr_zip(adata, path):
    write_zarr(adata, path.with_suffix(""))
    shutil.make_archive(str(path.with_suffix("")), "zip", path.with_suffix(""))
    shutil.rmtree(path.with_suffix(""))
    return path


def write_loom(adata, path, chunks=(64, 64), layers=(), **names):
    names = {"cells": "CellID", "ids": "Accession", "symbols": "Gene"} | names
    with h5py.File(path, "w") as file:
        matrix = np.asarray(adata.X.toarray().T)
        fitting = chunks and tuple(map(min, chunks, matrix.shape))
        options = {"chunks": fitting, "compression": fitting and "gzip"}
        file.create_dataset("matrix", data=matrix, **options)
        for group in ("layers", "row_graphs", "col_graphs", "row_attrs", "col_attrs"):
            file.create_group(group)
        for name in layers:
            file.create_dataset(f"layers/{name}", data=adata.layers[name].toarray().T, **options)
        file["row_attrs"][names["ids"]] = texts(adata.var["ensembl_id"])
        file["row_attrs"][names["symbols"]] = texts(adata.var["symbol"])
        file["col_attrs"][names["cells"]] = texts(adata.obs_names)
        file["col_attrs/n_counts"] = adata.obs["n_counts"].to_numpy()
    return path


def texts(values):
    return np.asarray(values, dtype=object).astype(str).astype("S")


def write_tenx_h5(adata, path, kinds=None):
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        _tenx_matrix(group, adata)
        group["features/id"] = texts(adata.var["ensembl_id"])
        group["features/name"] = texts(adata.var["symbol"])
        group["features/feature_type"] = texts(
            ["Gene Expression"] * adata.n_vars if kinds is None else kinds
        )
        group["features/genome"] = texts(["GRCh38"] * adata.n_vars)
    return path


def write_tenx_v2_h5(adata, path, genomes=("GRCh38",)):
    with h5py.File(path, "w") as file:
        for genome in genomes:
            group = file.create_group(genome)
            _tenx_matrix(group, adata)
            group["genes"] = texts(adata.var["ensembl_id"])
            group["gene_names"] = texts(adata.var["symbol"])
    return path


def _tenx_matrix(group, adata):
    cells = sp.csr_matrix(adata.X)
    group["barcodes"] = texts(adata.obs_names)
    group.create_dataset("data", data=cells.data.astype(np.int32), chunks=True, compression="gzip")
    group.create_dataset("indices", data=cells.indices.astype(np.int64), chunks=True)
    group["indptr"] = cells.indptr.astype(np.int64)
    group["shape"] = np.array(adata.shape[::-1], dtype=np.int32)


def write_mtx(adata, folder, prefix="", features="features.tsv", zipped=False, order=None):
    """Entries by cell, as Cell Ranger writes them, or in the given order."""
    folder.mkdir(exist_ok=True)
    entries = sp.csr_matrix(adata.X).astype(np.int64).T.tocoo()
    if order is not None:
        chosen = order(entries.nnz)
        places = (entries.row[chosen], entries.col[chosen])
        entries = sp.coo_matrix((entries.data[chosen], places), shape=entries.shape)
    matrix = folder / f"{prefix}matrix.mtx"
    scipy.io.mmwrite(matrix, entries, field="integer", symmetry="general")
    columns = {"id": adata.var["ensembl_id"].to_numpy(), "name": adata.var["symbol"].to_numpy()}
    if features == "features.tsv":
        columns["type"] = "Gene Expression"
    table = pd.DataFrame(columns)
    table.to_csv(folder / f"{prefix}{features}", sep="\t", header=False, index=False)
    barcodes = folder / f"{prefix}barcodes.tsv"
    barcodes.write_text("".join(f"{name}\n" for name in adata.obs_names))
    if zipped:
        for path in (matrix, folder / f"{prefix}{features}", barcodes):
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), 1))
            path.unlink()
    return matrix.with_name(matrix.name + ".gz" if zipped else matrix.name) if prefix else folder


FORMATS = {
    "csr.h5ad": write_h5ad,
    "gzip.h5ad": lambda adata, path: write_h5ad(adata, path, compression="gzip"),
    "int.h5ad": lambda adata, path: write_h5ad(
        with_matrix(adata, lambda matrix: matrix.astype(np.int32)), path
    ),
    "csc.h5ad": lambda adata, path: write_h5ad(with_matrix(adata, sp.csc_matrix), path),
    "dense.h5ad": lambda adata, path: write_h5ad(with_matrix(adata, sp.csr_matrix.toarray), path),
    "dense_gzip.h5ad": lambda adata, path: write_h5ad(
        with_matrix(adata, sp.csr_matrix.toarray), path, compression="gzip"
    ),
    "csr.zarr": write_zarr,
    "csr3.zarr": lambda adata, path: write_zarr(adata, path, 3),
    "csc.zarr": lambda adata, path: write_zarr(with_matrix(adata, sp.csc_matrix), path),
    "csc3.zarr": lambda adata, path: write_zarr(with_matrix(adata, sp.csc_matrix), path, 3),
    "dense.zarr": lambda adata, path: write_zarr(with_matrix(adata, sp.csr_matrix.toarray), path),
    "dense3.zarr": lambda adata, path: write_zarr(
        with_matrix(adata, sp.csr_matrix.toarray), path, 3, chunks=(37, 50)
    ),
    "packed.zarr.zip": write_zarr_zip,
    "chunked.loom": write_loom,
    "contiguous.loom": lambda adata, path: write_loom(adata, path, chunks=None),
    "v3.h5": write_tenx_h5,
    "v2.h5": write_tenx_v2_h5,
    "mtx": write_mtx,
    "mtx_gz": lambda adata, path: write_mtx(adata, path, zipped=True),
    "mtx_v2": lambda adata, path: write_mtx(adata, path, features="genes.tsv"),
    "mtx_geo": lambda adata, path: write_mtx(adata, path, prefix="GSM1_", zipped=True),
}
"""How to write each kind of file: called with an AnnData and a path of the given name."""
