"""Golden token ids through every reader: pbmc_kang_ifnb_1000 in each format."""

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from count_files import (
    with_matrix,
    write_h5ad,
    write_loom,
    write_mtx,
    write_tenx_h5,
    write_tenx_v2_h5,
    write_zarr,
)
from test_tokenizer_reference import check, cleaned, expected, vocabulary_of

from keras_geneformer import RankValueTokenizer

FILE = "pbmc_kang_ifnb_1000"
FORMATS = {
    "x.loom": write_loom,
    "2.zarr": write_zarr,
    "csc3.zarr": lambda adata, path: write_zarr(with_matrix(adata, sp.csc_matrix), path, 3),
    "mtx": write_mtx,
    "mtx_gz": lambda adata, path: write_mtx(adata, path, zipped=True),
    "v3.h5": write_tenx_h5,
    "v2.h5": write_tenx_v2_h5,
    "csc.h5ad": lambda adata, path: write_h5ad(with_matrix(adata, sp.csc_matrix), path),
    "dense.h5ad": lambda adata, path: write_h5ad(
        with_matrix(adata, sp.csr_matrix.toarray), path, compression="gzip"
    ),
}


@pytest.fixture(scope="module")
def files(counts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    adata = cleaned(counts, FILE)
    return {name: write(adata, folder / name) for name, write in FORMATS.items()}


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_every_reader_gives_the_golden_ids(files, counts, reference, dictionaries, version):
    adata = cleaned(counts, FILE)
    # Formats without obs have no stated totals: these are the sums over the genes in the file.
    totals = pd.Series(np.asarray(adata.X.sum(axis=1)).ravel(), index=adata.obs_names)
    summed = adata.copy()
    summed.obs["n_counts"] = totals
    tokenizer = RankValueTokenizer(vocabulary_of(dictionaries, version))
    table = expected(reference, f"{FILE}.{version}")
    stated, sums = tokenizer(adata), tokenizer(summed)
    check(stated, table, adata, tokenizer.vocabulary)
    for name, path in files.items():
        cells = tokenizer.tokenize_files(path)
        wanted = stated if "n_counts" in cells.obs else sums
        np.testing.assert_array_equal(cells.token_ids, wanted.token_ids, err_msg=name)
        np.testing.assert_array_equal(cells.offsets, wanted.offsets, err_msg=name)
        check(cells, table, adata, tokenizer.vocabulary)


@pytest.mark.parametrize("name", ["x.loom", "mtx_gz", "v3.h5"])
def test_symbols_as_ids(counts, reference, dictionaries, tmp_path, name):
    """Files that have symbols where ids should be, with the duplicates and aliases among them."""
    adata = anndata.read_h5ad(counts / f"{FILE}.h5ad")
    adata.var["ensembl_id"] = adata.var["symbol"].astype(object)
    vocabulary = vocabulary_of(dictionaries, "V2")
    cells = RankValueTokenizer(vocabulary).tokenize_files(FORMATS[name](adata, tmp_path / name))
    check(cells, expected(reference, f"{FILE}.V2.symbols_as_ids"), adata, vocabulary)
