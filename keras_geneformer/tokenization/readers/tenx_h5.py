"""Reads the `.h5` of 10x Genomics' Cell Ranger: genes by cells, the entries of a cell together."""

import logging
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from keras_geneformer.tokenization.readers.count_source import CountSource, missing_layer
from keras_geneformer.tokenization.readers.feature_tables import gene_table
from keras_geneformer.tokenization.readers.file_checks import column_of, damaged, unbroken
from keras_geneformer.tokenization.readers.stored_matrix import csr_rows, is_array

logger = logging.getLogger(__name__)

GENE_EXPRESSION = "Gene Expression"


def genomes(file: h5py.File) -> list[str]:
    """The groups of a file of Cell Ranger 2, which has one for each genome; [] for other files."""
    parts = {"barcodes", "data", "genes", "indices", "indptr", "shape"}
    return [key for key, group in file.items() if not is_array(group) and parts <= set(group)]


def tenx_source(file: h5py.File, path: Path, layer: str | None) -> CountSource:
    """The cells of an open `.h5` of Cell Ranger 2 or later, or CellBender.

    Features of another type than Gene Expression (antibodies, guides) are left out; the log says
    how many.

    Args:
        file: the open file; the source's `close` closes it.
        path: its path.
        layer: for a file of Cell Ranger 2 with several genomes, the genome. None: the only one.

    Raises:
        ValueError: the file is damaged, has several genomes, or no genes.
    """
    group = _group(file, path, layer)
    features = group.get("features")
    ids, names = ("features/id", "features/name") if features else ("genes", "gene_names")
    barcodes, gene_ids = _texts(group, "barcodes", path), _texts(group, ids, path)
    symbols = _texts(group, names, path) if names in group else gene_ids
    if not is_array(group.get("shape")) or group["shape"].shape != (2,):
        raise damaged(path, f"{group.name} has no shape")
    shape = tuple(int(size) for size in unbroken(path, "shape is", lambda: group["shape"][:]))
    if shape != (len(gene_ids), len(barcodes)):
        raise damaged(
            path,
            f"{group.name} has shape {shape}, {len(gene_ids)} features and {len(barcodes)} "
            "barcodes",
        )
    rows = csr_rows(group, (len(barcodes), len(gene_ids)), path)
    var, read = gene_table(gene_ids, symbols), rows.read
    if "features/feature_type" in group:
        kinds = _texts(group, "features/feature_type", path)
        chosen = chosen_features(kinds, str(path))
        if len(chosen) < len(kinds):
            var = var.iloc[chosen]

            def read(start: int, stop: int) -> sp.csr_matrix:
                return rows.read(start, stop)[:, chosen]

    obs = pd.DataFrame(index=pd.Index(barcodes, dtype=object))
    return CountSource(str(path), obs, var, read, file.close)


def chosen_features(kinds: np.ndarray, name: str) -> np.ndarray:
    """The numbers of the features that are genes; of others the log says how many.

    Args:
        kinds: the type of each feature, as Cell Ranger names them.
        name: the file, for messages.

    Raises:
        ValueError: none is a gene.
    """
    chosen = np.flatnonzero(np.asarray(kinds) == GENE_EXPRESSION)
    others = pd.Series(kinds)[np.asarray(kinds) != GENE_EXPRESSION].value_counts()
    found = ", ".join(f"{count} of type {kind!r}" for kind, count in others.items())
    if not len(chosen):
        raise ValueError(
            f"{name} has no feature of type {GENE_EXPRESSION!r}, but {found or 'none at all'}"
        )
    if found:
        logger.info("%s: features that are no genes are left out: %s", name, found)
    return chosen


def _group(file: h5py.File, path: Path, layer: str | None) -> h5py.Group:
    if "matrix" in file:
        if layer is not None:
            raise ValueError(missing_layer(str(path), layer, []))
        return file["matrix"]
    found = genomes(file)
    if layer is None and len(found) > 1:
        raise ValueError(
            f"{path} has a matrix for each of the genomes {', '.join(found)}; give layer= one of "
            "them"
        )
    if layer is not None and layer not in found:
        raise ValueError(missing_layer(str(path), layer, found))
    return file[layer or found[0]]


def _texts(group: h5py.Group, name: str, path: Path) -> np.ndarray:
    if not is_array(group.get(name)):
        raise damaged(path, f"{group.name} has no {name}")
    values = unbroken(path, f"{group.name}/{name} is", lambda: column_of(group[name]))
    return values.astype(str).astype(object)
