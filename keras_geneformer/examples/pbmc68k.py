"""700 real blood cells that come with scanpy: the demonstration's, and the notebooks' offline."""

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

LABEL_KEY = "bulk_labels"
_TOLERANCE = 0.002


def pbmc68k_counts() -> Any:
    """Integer counts of scanpy's bundled `pbmc68k_reduced`, recovered from its logarithms.

    The file (Zheng et al. 2017, 10x Genomics; 700 cells, 765 genes, kept by scanpy) has no counts.
    Its `.raw` holds log(1 + counts per 10,000), rounded to about three decimals. Within a cell,
    counts per 10,000 are the counts times 10,000 / n_counts, so all are multiples of that factor,
    which is the cell's smallest nonzero value (a count of 1); `obs["n_counts"]` says the same to
    within 0.1 %, and is exact. Both are checked here, cell by cell.

    Returns:
        An AnnData with counts (CSR float32, 700 x 765) in X, gene symbols as var_names, and the
        file's obs: `bulk_labels` (cell type), `n_counts` (over all genes, also those not in the
        file) and others.

    Raises:
        ImportError: scanpy is not installed.
        ValueError: the file is not what is described above.
    """
    import anndata

    with warnings.catch_warnings():
        # The file is of anndata's first format, which is converted as it is read.
        warnings.simplefilter("ignore")
        logged = anndata.read_h5ad(_bundled_file())
    per_10k = sp.csr_matrix(logged.raw.X, dtype=np.float64)
    per_10k.eliminate_zeros()
    np.expm1(per_10k.data, out=per_10k.data)
    n_counts = logged.obs["n_counts"].to_numpy(dtype=np.float64)
    counts = sp.diags(n_counts / 10_000) @ per_10k
    smallest = np.minimum.reduceat(per_10k.data, per_10k.indptr[:-1])
    rounded = np.rint(counts.data)
    if (
        np.abs(smallest * n_counts / 10_000 - 1).max() > _TOLERANCE
        or np.abs(counts.data - rounded).max() > 0.25
        or rounded.min() < 1
    ):
        raise ValueError(
            "scanpy's bundled pbmc68k_reduced is not log(1 + counts per 10,000) in this version of "
            "scanpy: its values are no multiples of 10,000 / n_counts. This needs scanpy 1.10 "
            "to 1.11"
        )
    counts = sp.csr_matrix(
        (rounded.astype(np.float32), counts.indices, counts.indptr), counts.shape
    )
    return anndata.AnnData(X=counts, obs=logged.obs.copy(), var=logged.raw.var[[]].copy())


def _bundled_file() -> Path:
    """The file in the installed scanpy, found without importing scanpy (which takes seconds)."""
    found = importlib.util.find_spec("scanpy")
    if found is None or found.origin is None:
        raise ImportError(
            "700 example cells come with scanpy, which is not installed: "
            "pip install 'keras_geneformer[demo]'"
        )
    path = Path(found.origin).parent / "datasets" / "10x_pbmc68k_reduced.h5ad"
    if not path.is_file():
        raise FileNotFoundError(
            f"the installed scanpy has no {path.name} in {path.parent}: "
            "this needs scanpy 1.10 to 1.11"
        )
    return path
