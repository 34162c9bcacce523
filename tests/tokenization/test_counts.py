import logging
import re

import anndata
import numpy as np
import pytest
import scipy.sparse as sp

from keras_geneformer import RankValueTokenizer
from keras_geneformer.testing import synthetic_cells, tiny_vocabulary
from keras_geneformer.tokenization.counts import check_not_logarithms
from keras_geneformer.tokenization.readers.sources import anndata_source

REMEDY = 'Use raw counts: they often stand in a layer (layer="counts") or in .raw (layer="raw")'


def tokenized(adata, **options):
    return RankValueTokenizer(tiny_vocabulary())(adata, **options)


def per_ten_thousand(matrix):
    counts = matrix.toarray().astype(np.float64)
    return sp.csr_matrix(counts / counts.sum(axis=1, keepdims=True) * 10_000)


@pytest.mark.parametrize("name", ["pbmc3k", "heart_ipsc_cm_day2_day5", "pbmc68k_reduced"])
@pytest.mark.parametrize("transform", [np.log1p, lambda x: np.log2(1 + 100 * x)])
def test_transformed_real_data_are_refused(counts, name, transform):
    adata = anndata.read_h5ad(counts / f"{name}.h5ad")[:400].copy()
    check_not_logarithms(anndata_source(adata))
    adata.X = per_ten_thousand(adata.X)
    adata.X.data = transform(adata.X.data)
    with pytest.raises(ValueError, match=r"^adata looks log-normalised or otherwise transformed: "):
        check_not_logarithms(anndata_source(adata))


@pytest.mark.parametrize("tech", ["celseq", "celseq2", "fluidigmc1", "smartseq2"])
def test_published_counts_that_are_no_integers_pass(counts, tech):
    adata = anndata.read_h5ad(counts / "pancreas_4tech.h5ad")
    adata = adata[adata.obs["tech"] == tech].copy()
    check_not_logarithms(anndata_source(adata, "published"))


def with_logarithms(cells, rows):
    adata = synthetic_cells(cells)
    logs = np.log1p(per_ten_thousand(adata.X).toarray())
    values = adata.X.toarray() * 50
    values[rows] = logs[rows]
    adata.X = sp.csr_matrix(values)
    return adata


def test_logarithms_in_some_cells_are_refused():
    half = with_logarithms(1000, slice(1, None, 2))
    message = "adata looks log-normalised or otherwise transformed in 251 of the 512 cells looked "
    message += "at, first in 'cell1': most values of theirs are no integers and none is above 20. "
    message += f"{REMEDY}. If these are counts all the same, pass check_counts=False"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_not_logarithms(anndata_source(half))
    with pytest.raises(ValueError, match=r"in 3 of the 30 cells looked at, first in 'cell7': "):
        check_not_logarithms(anndata_source(with_logarithms(30, [7, 8, 20])))
    check_not_logarithms(anndata_source(with_logarithms(30, [7, 8])))


def test_binarised_data(caplog):
    adata = synthetic_cells(30)
    adata.X = adata.X.astype(bool)
    message = f"adata is binarised (true or false), so it does not hold counts. {REMEDY}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        tokenized(adata)
    adata.X = adata.X.astype(np.float32)
    tokenized(adata)
    assert "adata: every value in the 30 cells looked at is 1: binarised data" in caplog.text
    caplog.clear()
    tokenized(adata[:19].copy())
    assert "every value" not in caplog.text


def test_the_message_gives_the_remedy():
    adata = synthetic_cells(30)
    adata.X = per_ten_thousand(adata.X)
    adata.X.data = np.log1p(adata.X.data)
    share = (np.abs(adata.X.data - np.rint(adata.X.data)) > 0.05).mean()
    message = (
        f"adata looks log-normalised or otherwise transformed: {share:.0%} of the values looked "
        f"at are no integers and the largest is {adata.X.data.max():.2f}. {REMEDY}. If these are "
        "counts all the same, pass check_counts=False"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        tokenized(adata)
    assert len(tokenized(adata, check_counts=False)) == 30


@pytest.mark.parametrize("factor", [1, 500])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_square_roots_are_refused(factor, dtype):
    adata = synthetic_cells(30)
    adata.X = sp.csr_matrix(np.sqrt(adata.X.toarray() * factor).astype(dtype))
    share = (np.abs(adata.X.data - np.rint(adata.X.data)) > 0.05).mean()
    message = (
        f"adata holds square roots of counts: {share:.0%} of the values looked at are no integers, "
        f"but all their squares are. {REMEDY}. If these are counts all the same, pass "
        "check_counts=False"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        tokenized(adata)
    adata.X.data[0] += 0.1
    if factor > 1:
        tokenized(adata)


def test_float_counts_are_accepted_and_said(caplog):
    caplog.set_level(logging.INFO)
    adata = synthetic_cells(30)
    tokenized(adata)
    assert "no integers" not in caplog.text
    adata.X = adata.X * 7.3
    tokenized(adata)
    share = (np.rint(adata.X.data) != adata.X.data).mean()
    message = f"adata: {share:.0%} of the counts are no integers; taken as estimated or scaled"
    assert f"{message} counts" in caplog.messages


def test_counts_per_ten_thousand_pass():
    adata = synthetic_cells(30)
    expected = tokenized(adata)
    adata.X = per_ten_thousand(adata.X)
    # Rounding may part what counts tie, so the sets are compared and not the order.
    for n_counts_key in ("n_counts", None):
        cells = tokenized(adata, n_counts_key=n_counts_key)
        assert cells.lengths.tolist() == expected.lengths.tolist()
        assert [set(a) == set(b) for a, b in zip(cells, expected)] == [True] * 30


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (-1.5, "negative values: -1.5"),
        (np.nan, "values that are no numbers: nan"),
        (np.inf, "values that are no numbers: inf"),
        (-np.inf, "values that are no numbers: -inf"),
    ],
)
@pytest.mark.parametrize("check_counts", [True, False])
def test_values_that_are_no_counts(value, kind, check_counts):
    adata = synthetic_cells(30)
    adata.X[17, 3] = value
    message = f"adata has {kind} in cell 'cell17', so it does not hold counts (scaled or corrected "
    message += f"data?). {REMEDY}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        tokenized(adata, check_counts=check_counts)
