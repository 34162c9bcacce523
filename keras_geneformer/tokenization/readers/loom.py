"""Reads a `.loom` file (linnarssonlab.org/loompy/format): HDF5 with a matrix of genes by cells."""

import logging
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from keras_geneformer.tokenization.readers.count_source import CountSource, missing_layer
from keras_geneformer.tokenization.readers.dense_rows import dense_rows
from keras_geneformer.tokenization.readers.feature_tables import are_ensembl_ids
from keras_geneformer.tokenization.readers.file_checks import column_of, damaged, unbroken
from keras_geneformer.tokenization.readers.stored_matrix import is_array

logger = logging.getLogger(__name__)

_CELL_NAMES = ("CellID", "obs_names", "cell_id", "barcode", "barcodes", "index")
_GENE_NAMES = ("Accession", "ensembl_id", "gene_ids", "var_names", "Gene", "gene_name", "index")


def loom_source(file: h5py.File, path: Path, layer: str | None) -> CountSource:
    """The cells of an open `.loom`.

    Row attributes are the columns of var, column attributes those of obs; those of more than one
    dimension are left out. Genes are named by the first of the attributes Accession, ensembl_id,
    gene_ids, var_names and Gene that is there; cells by CellID or obs_names.

    Args:
        file: the open file; the source's `close` closes it.
        path: its path.
        layer: the name of one of its layers. None: the main matrix.

    Raises:
        ValueError: the file is damaged, or lacks the layer.
    """
    layers = sorted(file["layers"]) if "layers" in file else []
    if layer is not None and layer not in layers:
        raise ValueError(missing_layer(str(path), layer, layers))
    matrix = file["matrix" if layer is None else f"layers/{layer}"]
    if not is_array(matrix) or matrix.ndim != 2:
        raise damaged(path, f"{matrix.name} is no 2-D array")
    genes, cells = matrix.shape
    var = _attributes(file, "row_attrs", genes, _GENE_NAMES, path)
    obs = _attributes(file, "col_attrs", cells, _CELL_NAMES, path)
    for ours, theirs in (("gene_ids", "Accession"), ("symbol", "Gene")):
        if ours not in var and theirs in var:
            var[ours] = var[theirs]
    if (
        "ensembl_id" not in var
        and "gene_ids" in var
        and are_ensembl_ids(var["gene_ids"].to_numpy())
    ):
        var["ensembl_id"] = var["gene_ids"]
    rows = dense_rows(matrix, path, cells_first=False)

    def close() -> None:
        rows.close()
        file.close()

    return CountSource(str(path), obs, var, rows.read, close, rows.sequential)


def _attributes(
    file: h5py.File, name: str, length: int, index: tuple[str, ...], path: Path
) -> pd.DataFrame:
    group = file.get(name)
    if group is None or is_array(group):
        raise damaged(path, f"it has no group {name}")
    columns = {}
    for key, values in group.items():
        if not is_array(values) or values.ndim != 1:
            logger.info("%s: %s/%s is no 1-D array and is left out", path, name, key)
            continue
        if values.shape[0] != length:
            what = f"{name}/{key} has {values.shape[0]} entries, and the matrix {length} of them"
            raise damaged(path, what)
        columns[key] = unbroken(path, f"{name}/{key} is", partial(column_of, values))
    names = next((columns[key] for key in index if key in columns), np.arange(length))
    return pd.DataFrame(columns, index=pd.Index(names.astype(str), dtype=object))
