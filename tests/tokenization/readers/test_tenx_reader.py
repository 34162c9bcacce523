import logging

import h5py
import numpy as np
import pytest
from count_files import texts, write_tenx_h5, write_tenx_v2_h5

from keras_geneformer import GeneVocabulary
from keras_geneformer.testing import synthetic_cells, tiny_vocabulary
from keras_geneformer.tokenization.gene_identity import map_genes
from keras_geneformer.tokenization.readers.feature_tables import gene_table
from keras_geneformer.tokenization.readers.sources import opened


def message_of(path, layer=None):
    with pytest.raises(ValueError) as caught, opened(path, layer) as source:  # noqa: PT011
        source.read(0, len(source))
    return str(caught.value)


def test_tables(tmp_path):
    adata = synthetic_cells(10)
    for path in (
        write_tenx_h5(adata, tmp_path / "3.h5"),
        write_tenx_v2_h5(adata, tmp_path / "2.h5"),
    ):
        with opened(path) as source:
            assert source.obs.index.tolist() == adata.obs_names.tolist()
            assert source.var.index.tolist() == adata.var["ensembl_id"].tolist()
            for ours, theirs in (("gene_ids", "ensembl_id"), ("symbol", "symbol")):
                assert source.var[ours].tolist() == adata.var[theirs].tolist()
            genes = map_genes(source.var, tiny_vocabulary())
            assert (genes.key, genes.known) == ("ensembl_id", 120)


def test_other_features_are_left_out(tmp_path, caplog):
    adata = synthetic_cells(10)
    kinds = np.array(["Gene Expression"] * 120, dtype=object)
    kinds[5:8], kinds[50] = "Antibody Capture", "CRISPR Guide Capture"
    path = write_tenx_h5(adata, tmp_path / "x.h5", kinds)
    with caplog.at_level(logging.INFO), opened(path) as source:
        kept = kinds == "Gene Expression"
        np.testing.assert_array_equal(source.read(2, 9).toarray(), adata.X.toarray()[2:9, kept])
        assert source.var["symbol"].tolist() == adata.var["symbol"][kept].tolist()
    assert caplog.messages == [
        f"{path}: features that are no genes are left out: 3 of type 'Antibody Capture', "
        "1 of type 'CRISPR Guide Capture'"
    ]
    write_tenx_h5(adata, path, ["Peaks"] * 120)
    expected = f"{path} has no feature of type 'Gene Expression', but 120 of type 'Peaks'"
    assert message_of(path) == expected


def test_ids_with_their_genome(tmp_path):
    adata = synthetic_cells(4)
    adata.var["ensembl_id"] = "GRCh38_" + adata.var["ensembl_id"].astype(str)
    with opened(write_tenx_h5(adata, tmp_path / "x.h5")) as source:
        assert map_genes(source.var, tiny_vocabulary()).known == 120
    adata.var["ensembl_id"] += "_PAR_Y"
    with opened(write_tenx_h5(adata, tmp_path / "x.h5")) as source:
        assert "ensembl_id" not in source.var
    assert gene_table(["hg_ENSG1", "ENSG2", "ENSG3_PAR_Y"])["ensembl_id"].tolist() == [
        "ENSG1",
        "ENSG2",
        "ENSG3_PAR_Y",
    ]


def test_symbols_as_ids(tmp_path):
    adata = synthetic_cells(4)
    adata.var["ensembl_id"] = adata.var["symbol"]
    with opened(write_tenx_h5(adata, tmp_path / "x.h5")) as source:
        assert "ensembl_id" not in source.var
        assert map_genes(source.var, tiny_vocabulary()).known == 120


def test_genomes(tmp_path):
    adata = synthetic_cells(4)
    path = write_tenx_v2_h5(adata, tmp_path / "x.h5", ["hg19", "mm10"])
    with opened(path, "mm10") as source:
        np.testing.assert_array_equal(source.read(0, 4).toarray(), adata.X.toarray())
    expected = f"{path} has a matrix for each of the genomes hg19, mm10; give layer= one of them"
    assert message_of(path) == expected
    assert message_of(path, "raw") == f"{path} has no layer 'raw'; it has hg19, mm10"
    write_tenx_h5(adata, path)
    assert message_of(path, "raw") == f"{path} has no layer 'raw'; it has no layers"


def test_damaged_files(tmp_path):
    adata = synthetic_cells(20)
    stored = adata.X.nnz
    indices = adata.X.indices.copy()
    indices[7] = 120
    path = tmp_path / "x.h5"
    for name, value, what in [
        (
            "barcodes",
            texts(["a"] * 19),
            "/matrix has shape (120, 20), 120 features and 19 barcodes",
        ),
        ("shape", np.array([20, 120]), "/matrix has shape (20, 120), 120 features and 20 barcodes"),
        ("shape", None, "/matrix has no shape"),
        ("features/id", None, "/matrix has no features/id"),
        ("data", np.ones(3), f"/matrix has 3 values and {stored} indices"),
        ("indptr", np.arange(9), "/matrix/indptr has 9 entries, not 21"),
        ("indices", indices, "/matrix/indices reach from 0 to 120, expected 0 to 119"),
    ]:
        with h5py.File(write_tenx_h5(adata, path), "r+") as file:
            del file["matrix"][name]
            if value is not None:
                file["matrix"][name] = value
        assert message_of(path) == f"{path} is damaged: {what}. Copy or download it again"


def test_medians_can_be_fitted(tmp_path):
    adata = synthetic_cells(40)
    path = write_tenx_h5(adata, tmp_path / "x.h5")
    ours, theirs = GeneVocabulary.fit([path]), GeneVocabulary.fit(adata)
    np.testing.assert_array_equal(ours.genes, theirs.genes)
    np.testing.assert_allclose(ours.medians, theirs.medians)
