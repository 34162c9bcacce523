import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from keras_geneformer import GeneVocabulary, RankValueTokenizer
from keras_geneformer.testing import synthetic_cells, tiny_vocabulary

SPECIAL = ("<pad>", "<mask>", "<cls>", "<eos>")


def cells_with(detected, prefix="ENSMUSG", cells=12):
    """Cells of which so many have each gene; the gene of number i has id `prefix` and i."""
    counts = np.array([[2.0 * (cell < many) for many in detected] for cell in range(cells)])
    counts = np.column_stack([counts, np.ones(cells)])
    ids = [f"{prefix}{number:011d}" for number in range(len(detected) + 1)]
    var = pd.DataFrame({"symbol": [f"Gene{i}" for i in range(len(ids))]}, index=ids)
    return anndata.AnnData(sp.csr_matrix(counts, dtype=np.float32), var=var)


def numbers(vocabulary):
    return [int(gene[-11:]) for gene in vocabulary.genes]


def test_biotypes_from_a_column_or_a_table(tmp_path):
    adata = synthetic_cells(40)
    adata.var["kind"] = pd.Categorical(np.resize(["protein_coding", "miRNA", "lncRNA"], 120))
    kept = adata.var["ensembl_id"][adata.var["kind"] != "lncRNA"].tolist()
    wanted = ("protein_coding", "miRNA")
    fitted = GeneVocabulary.fit(adata, biotypes=wanted, biotype_key="kind")
    assert fitted.genes.tolist() == sorted(kept)
    table = adata.var.rename(columns={"kind": "gene_type"})[["ensembl_id", "gene_type"]]
    table["ensembl_id"] += ".4"
    for name, tab in (("genes.csv", ","), ("genes.tsv.gz", "\t")):
        table.to_csv(tmp_path / name, index=False, sep=tab)
        other = GeneVocabulary.fit(adata, biotypes=wanted, biotype_table=tmp_path / name)
        assert other.checksum == fitted.checksum
    other = GeneVocabulary.fit(adata, biotypes="lncRNA", biotype_table=table)
    assert not set(other.genes) & set(kept)


def test_the_published_gene_table(shared):
    adata = synthetic_cells(20)
    table = pd.read_csv(shared / "data" / "gene_lists" / "geneformer_gene_info_table.csv")
    known = table.drop_duplicates("ensembl_id").iloc[:120]
    adata.var["ensembl_id"] = known["ensembl_id"].to_numpy()
    path = shared / "data" / "gene_lists" / "geneformer_gene_info_table.csv"
    fitted = GeneVocabulary.fit(adata, biotypes=("protein_coding",), biotype_table=path)
    assert set(fitted.genes) <= set(known["ensembl_id"][known["gene_type"] == "protein_coding"])
    assert 0 < len(fitted) < 120


def test_genes_of_few_cells_are_left_out_and_the_most_frequent_kept():
    adata = cells_with([3, 9, 5, 9, 0, 1, 9])
    assert numbers(GeneVocabulary.fit(adata, gene_key=None)) == [0, 1, 2, 3, 5, 6, 7]
    assert numbers(GeneVocabulary.fit(adata, min_cells=5)) == [1, 2, 3, 6, 7]
    assert numbers(GeneVocabulary.fit(adata, max_genes=3)) == [1, 3, 7]
    fitted = GeneVocabulary.fit(adata, max_genes=3, special_tokens=SPECIAL, max_length=64)
    assert fitted.tokens.tolist() == [4, 5, 6]
    assert (fitted.cls_token_id, fitted.eos_token_id, fitted.max_length) == (2, 3, 64)


def test_a_mouse_corpus_from_counts_to_tokens():
    adata = cells_with([3, 9, 5, 9])
    vocabulary = GeneVocabulary.fit(adata, name="mouse")
    cells = RankValueTokenizer(vocabulary)(adata)
    assert sorted(vocabulary.genes_of(cells[0]).tolist()) == adata.var_names.tolist()
    assert vocabulary.tokens_of(["gene1", "ENSMUSG00000000001.7"]).tolist() == [3, 3]


def test_extending_keeps_old_tokens_and_medians():
    old = tiny_vocabulary(cls=True)
    adata = synthetic_cells(50)
    adata.var["ensembl_id"] = [
        *adata.var["ensembl_id"][:60].str.lower(),
        *(f"ENSMUSG{number:011d}" for number in range(59, -1, -1)),
    ]
    adata.var["symbol"] = [*adata.var["symbol"][:60], "GENE0", *(f"Mouse{i}" for i in range(59))]
    new = GeneVocabulary.fit(adata, extend=old, name="both")
    assert len(new) == 180
    np.testing.assert_array_equal(new.genes[:120], old.genes)
    np.testing.assert_array_equal(new.tokens, np.arange(4, 184))
    np.testing.assert_array_equal(new.medians[:120], old.medians)
    assert new.genes[120:].tolist() == [f"ENSMUSG{number:011d}" for number in range(60)]
    assert (new.special_tokens, new.max_length, new.version) == (old.special_tokens, 128, "both")
    assert new.tokens_of(["gene0", "mouse58"]).tolist() == [old.tokens_of(["gene0"])[0], 124]
    alone = GeneVocabulary.fit(adata)
    shared_gene = alone.positions_of(new.genes[120:])
    np.testing.assert_array_equal(new.medians[120:], alone.medians[shared_gene])
    capped = GeneVocabulary.fit(adata, extend=old, max_genes=125, max_length=256)
    assert (len(capped), capped.max_length) == (125, 256)


def test_extending_by_nothing_changes_nothing():
    old = tiny_vocabulary()
    assert GeneVocabulary.fit(synthetic_cells(30), extend=old).checksum == old.checksum


def test_requests_that_leave_nothing_or_contradict():
    adata = synthetic_cells(30)
    adata.var["kind"] = "lncRNA"
    with pytest.raises(
        ValueError,
        match=r"^adata has no var column 'gene_type'; it has ensembl_id, symbol, kind \(or give a "
        r"table, gene to biotype\)$",
    ):
        GeneVocabulary.fit(adata, biotypes=["miRNA"], biotype_key="gene_type")
    with pytest.raises(
        ValueError,
        match=r"^none of the 120 detected genes has one of the biotypes miRNA, snRNA; known are "
        r"lncRNA$",
    ):
        GeneVocabulary.fit(adata, biotypes=["snRNA", "miRNA"], biotype_key="kind")
    with pytest.raises(ValueError, match=r"^biotypes need either biotype_key \(a var column\) or"):
        GeneVocabulary.fit(adata, biotypes=["miRNA"])
    with pytest.raises(ValueError, match=r"^biotypes to keep are not given; expected e\.g\. "):
        GeneVocabulary.fit(adata, biotype_key="kind")
    with pytest.raises(
        ValueError, match=r"^no gene is detected in 31 of the 30 cells \(min_cells\)$"
    ):
        GeneVocabulary.fit(adata, min_cells=31)
    with pytest.raises(ValueError, match=r"^min_cells is 0; expected 1 or more$"):
        GeneVocabulary.fit(adata, min_cells=0)
    with pytest.raises(ValueError, match=r"^max_genes is 0; expected 1 or more$"):
        GeneVocabulary.fit(adata, max_genes=0)
    with pytest.raises(ValueError, match=r"^workers is 0; expected 1 or more$"):
        GeneVocabulary.fit(adata, workers=0)


def test_extensions_that_cannot_be():
    old, adata = tiny_vocabulary(), synthetic_cells(30)
    with pytest.raises(
        ValueError,
        match=r"^max_genes is 119, and the vocabulary to extend has 120 genes, which all stay; "
        r"expected at least as many$",
    ):
        GeneVocabulary.fit(adata, extend=old, max_genes=119)
    with pytest.raises(
        ValueError,
        match=r"^special_tokens are <pad>, <mask>, <cls>, <eos>, and the vocabulary to extend has "
        r"<pad>, <mask>, which stay with their ids; leave special_tokens out$",
    ):
        GeneVocabulary.fit(adata, extend=old, special_tokens=SPECIAL)


def test_tables_that_are_none(tmp_path):
    adata = synthetic_cells(10)
    table = pd.DataFrame({"id": ["a"], "gene_type": ["miRNA"]})
    with pytest.raises(
        ValueError,
        match=r"^the table has no column with gene ids: expected 'ensembl_id' or 'gene' or "
        r"'gene_id' or 'Gene stable ID'; it has id, gene_type$",
    ):
        GeneVocabulary.fit(adata, biotypes=["miRNA"], biotype_table=table)
    with pytest.raises(FileNotFoundError, match=r"none\.csv: no such file$"):
        GeneVocabulary.fit(adata, biotypes=["miRNA"], biotype_table=tmp_path / "none.csv")
    (tmp_path / "a.parquet").write_text("text")
    with pytest.raises(ValueError, match=r"a\.parquet is no table of genes: .*Expected \.csv, "):
        GeneVocabulary.fit(adata, biotypes=["miRNA"], biotype_table=tmp_path / "a.parquet")


def test_special_tokens_in_another_order_or_twice():
    adata = synthetic_cells(10)
    with pytest.raises(ValueError, match=r"which stay with their ids; leave special_tokens out$"):
        GeneVocabulary.fit(adata, extend=tiny_vocabulary(), special_tokens=["<mask>", "<pad>"])
    with pytest.raises(
        ValueError,
        match=r"^special_tokens are <pad>, <pad>, <mask>; expected each once, as its place is its "
        r"id$",
    ):
        GeneVocabulary.fit(adata, special_tokens=["<pad>", "<pad>", "<mask>"])
