import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from keras_geneformer import GeneVocabulary, RankValueTokenizer
from keras_geneformer.testing import synthetic_cells


def medians_by_hand(counts, n_counts):
    values = np.asarray(counts, dtype=np.float64) / np.asarray(n_counts)[:, None] * 10_000
    return np.array([np.median(column[column > 0]) for column in values.T])


def test_exact_medians_of_real_cells(counts):
    adata = anndata.read_h5ad(counts / "pbmc_kang_ifnb_1000.h5ad")
    fitted = GeneVocabulary.fit(counts / "pbmc_kang_ifnb_1000.h5ad", name="kang")
    ids = adata.var["ensembl_id"].astype(str).to_numpy()
    once = (np.unique(ids, return_counts=True)[1] == 1)[np.searchsorted(np.unique(ids), ids)]
    chosen = np.flatnonzero(once & (ids != "") & (ids != "nan"))[::40]
    expected = medians_by_hand(adata.X[:, chosen].toarray(), adata.obs["n_counts"])
    tokens = fitted.tokens_of(ids[chosen])
    np.testing.assert_allclose(fitted.medians[tokens - 2], expected, rtol=1e-14)
    assert (fitted.symbols_of(tokens) == adata.var["symbol"].astype(str).to_numpy()[chosen]).all()
    assert (fitted.version, fitted.max_length, fitted.size) == ("kang", 2048, len(fitted) + 2)


def test_order_of_files_cells_and_columns_is_no_matter(tmp_path):
    adata = synthetic_cells(300)
    base = GeneVocabulary.fit(adata)
    rng = np.random.default_rng(0)
    mixed = adata[rng.permutation(300)][:, rng.permutation(120)].copy()
    mixed[:100].write_h5ad(tmp_path / "b.h5ad")
    mixed[100:].write_h5ad(tmp_path / "a.h5ad")
    for other in (
        GeneVocabulary.fit(mixed),
        GeneVocabulary.fit([mixed[100:], mixed[:100]]),
        GeneVocabulary.fit(tmp_path),
    ):
        assert other.checksum == base.checksum
        assert other.aliases == base.aliases
        np.testing.assert_array_equal(other.symbols, base.symbols)


def test_repeated_versioned_and_undetected_genes():
    counts = np.array([[1, 2, 0, 5, 4], [3, 4, 0, 5, 8]], dtype=np.float32)
    ids = ["ENSMUSG00000051951.5", "ensmusg00000051951", "ENSMUSG00000000002", "", "Actb"]
    adata = anndata.AnnData(sp.csr_matrix(counts), var=pd.DataFrame(index=list("vwxyz")))
    adata.var["ensembl_id"] = ids
    adata.obs_names = ["c", "d"]
    fitted = GeneVocabulary.fit(adata, special_tokens=("<pad>", "<mask>", "<cls>", "<eos>"))
    assert fitted.genes.tolist() == ["Actb", "ENSMUSG00000051951"]
    assert fitted.tokens.tolist() == [4, 5]
    expected = medians_by_hand([[4, 3], [8, 7]], [12, 20])
    np.testing.assert_allclose(fitted.medians, expected)
    assert fitted.tokens_of(["actb", "ENSMUSG00000051951.9"]).tolist() == [4, 5]
    assert len(RankValueTokenizer(fitted)(adata)) == 2


def test_var_names_are_the_ids_where_there_is_no_column():
    adata = synthetic_cells(20)
    adata.var = pd.DataFrame(index=adata.var["symbol"].to_numpy())
    fitted = GeneVocabulary.fit(adata, max_length=64)
    assert fitted.genes[0] == "GENE0"
    assert fitted.max_length == 64
    with pytest.raises(ValueError, match=r"^adata has no var column 'x'; it has none"):
        GeneVocabulary.fit(adata, gene_key="x")


def test_filter_pass_is_honoured():
    adata = synthetic_cells(40)
    adata.obs["filter_pass"] = np.arange(40) < 25
    assert GeneVocabulary.fit(adata).checksum == GeneVocabulary.fit(adata[:25]).checksum


def test_already_normalised_counts_are_refused_or_taken_once():
    adata = synthetic_cells(60)
    counts = adata.X.toarray().astype(np.float64)
    expected = GeneVocabulary.fit(adata)
    adata.X = sp.csr_matrix(counts / counts.sum(axis=1, keepdims=True) * 10_000)
    with pytest.raises(
        ValueError, match=r"every cell sums to 10000 whatever its obs\['n_counts'\]"
    ):
        GeneVocabulary.fit(adata)
    fitted = GeneVocabulary.fit(adata, n_counts_key=None)
    np.testing.assert_allclose(fitted.medians, expected.medians, rtol=1e-12)


def test_nothing_to_fit():
    adata = synthetic_cells(5)
    adata.X = sp.csr_matrix(adata.X.shape, dtype=np.float32)
    with pytest.raises(
        ValueError, match="no gene is detected in any cell: there is nothing to fit"
    ):
        GeneVocabulary.fit(adata)
    with pytest.raises(TypeError, match="got int; expected AnnDatas or paths"):
        GeneVocabulary.fit(3)
