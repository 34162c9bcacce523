"""Which example data there are, where each can be had, and what stands in for it offline."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp


@dataclass(frozen=True)
class ExampleSource:
    """One example data set: its file, its address, and how both are brought to one shape."""

    about: str
    """What it is, and who published it."""
    file: str
    """The name of its `.h5ad` in a folder of data."""
    stand_in: dict[str, dict[str, str]]
    """For each column of obs that notebooks use, which blood cell type stands for which value."""
    url: str | None = None
    sha256: str | None = None
    prepare: Callable[[Any], Any] = field(default=lambda adata: adata)
    """What makes of the download an AnnData with counts in X and the columns of `stand_in`."""


def _pancreas(adata: Any) -> Any:
    """Counts from scIB's layer, rounded: they were computed back there from normalised values."""
    counts = sp.csr_matrix(adata.layers["counts"], dtype=np.float32)
    np.rint(counts.data, out=counts.data)
    counts.eliminate_zeros()
    return _counts_with(adata, counts, {"cell_type": "celltype", "tech": "tech"})


def _kang(adata: Any) -> Any:
    columns = {"condition": "label", "cell_type": "cell_type", "donor": "replicate"}
    return _counts_with(adata, sp.csr_matrix(adata.X, dtype=np.float32), columns)


def _pbmc3k(adata: Any) -> Any:
    adata.var["ensembl_id"] = adata.var["gene_ids"].astype(str)
    adata.var["symbol"] = adata.var_names.astype(str)
    adata.var_names_make_unique()
    return adata


def _counts_with(adata: Any, counts: Any, columns: dict[str, str]) -> Any:
    import anndata

    obs = adata.obs[list(columns.values())].rename(
        columns={theirs: ours for ours, theirs in columns.items()}
    )
    return anndata.AnnData(X=counts, obs=obs, var=adata.var[[]].copy())


SOURCES: dict[str, ExampleSource] = {
    "pbmc3k": ExampleSource(
        about="2,700 blood cells of one donor (10x Genomics)",
        file="pbmc3k.h5ad",
        url="https://exampledata.scverse.org/scanpy/pbmc3k_raw.h5ad",
        sha256="89a96f1beaa2dd83a687666d3f19a4513ac27a2a2d12581fcd77afed7ea653a1",
        prepare=_pbmc3k,
        stand_in={},
    ),
    "pancreas": ExampleSource(
        about="human pancreas by several technologies (Luecken et al. 2022; doi 10.1038/"
        "s41592-021-01336-8)",
        file="pancreas_4tech.h5ad",
        url="https://api.figshare.com/v2/file/download/24539828",
        sha256="97e6dfd65553e4d10aa3ef5d904362970a75c677c31d70fabc9234191a09db8c",
        prepare=_pancreas,
        stand_in={
            "cell_type": {
                "CD14+ Monocyte": "alpha",
                "CD19+ B": "beta",
                "Dendritic": "ductal",
                "CD56+ NK": "acinar",
            }
        },
    ),
    "kang": ExampleSource(
        about="blood cells untreated (ctrl) and treated with interferon beta (stim) (Kang et al. "
        "2018; doi 10.1038/nbt.4042)",
        file="pbmc_kang_ifnb_1000.h5ad",
        url="https://api.figshare.com/v2/file/download/34464122",
        sha256="e6a5adac64dcdeb36eaba27db49b63e0c64bb0ed4a64c6705971506b41c39830",
        prepare=_kang,
        stand_in={"condition": {"CD14+ Monocyte": "ctrl", "Dendritic": "stim"}},
    ),
    "heart": ExampleSource(
        about="stem cells becoming heart muscle cells, days 2 and 5 (scGPS; Friedman et al. 2018, "
        "doi 10.1016/j.stem.2018.09.009)",
        file="heart_ipsc_cm_day2_day5.h5ad",
        stand_in={"day": {"CD14+ Monocyte": "day2", "Dendritic": "day5"}},
    ),
    "brain_ad": ExampleSource(
        about="48 cells of brains with and without Alzheimer's disease (Grubman et al. 2019; doi "
        "10.1038/s41593-019-0539-4)",
        file="brain_ad_48x1000.h5ad",
        stand_in={"condition": {"CD14+ Monocyte": "control", "Dendritic": "AD"}},
    ),
}
