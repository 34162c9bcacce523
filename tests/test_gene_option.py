import pytest

from keras_geneformer.cli.gene_option import named_genes


def test_genes_come_by_name_or_from_a_file(tmp_path):
    assert named_genes("all") == "all"
    assert named_genes("GATA4, TBX5,GATA4,") == ["GATA4", "TBX5"]
    (tmp_path / "genes.csv").write_text("gene_name,ensembl_id\nGATA4,ENSG1\nTBX5,ENSG2\n")
    assert named_genes(str(tmp_path / "genes.csv")) == ["ENSG1", "ENSG2"]
    (tmp_path / "genes.tsv").write_text("symbol\tkind\nGATA4\ttf\nTBX5\ttf\n")
    assert named_genes(str(tmp_path / "genes.tsv")) == ["GATA4", "TBX5"]
    (tmp_path / "genes.txt").write_text("# hearts\nGATA4\n\nTBX5\n")
    assert named_genes(str(tmp_path / "genes.txt")) == ["GATA4", "TBX5"]


def test_refuses(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no genes at none.csv; expected names with"):
        named_genes("none.csv")
    (tmp_path / "genes.csv").write_text("name,kind\nGATA4,tf\n")
    with pytest.raises(ValueError, match=r"genes.csv has columns name, kind; expected ensembl_id"):
        named_genes(str(tmp_path / "genes.csv"))
    (tmp_path / "genes.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"genes.txt names no genes"):
        named_genes(str(tmp_path / "genes.txt"))
    with pytest.raises(ValueError, match=r"--genes ',' names no genes"):
        named_genes(",")
