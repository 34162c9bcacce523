import numpy as np
import pandas as pd
import pytest

from keras_geneformer.analysis.gene_embedding import embed_genes
from keras_geneformer.data.inference import compile_forward
from keras_geneformer.testing import synthetic_dataset, tiny_backbone, tiny_vocabulary

pytestmark = pytest.mark.tensors

DIMENSIONS = list(range(32))


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone(cls=True, num_layers=1)


@pytest.fixture(scope="module")
def cells():
    return synthetic_dataset(6, cls=True)


@pytest.fixture(scope="module")
def every(backbone, cells):
    return embed_genes(backbone, cells, layer=-1, statistic=None)


def test_every_cell_has_its_genes_by_rank(backbone, cells, every):
    assert list(dict.fromkeys(every["cell"])) == cells.obs.index.tolist()
    fourth = every[every["cell"] == cells.obs.index[4]]
    assert fourth["token"].tolist() == cells[4][1:-1].tolist()
    assert fourth["gene"].tolist() == tiny_vocabulary(cls=True).genes_of(cells[4][1:-1]).tolist()
    ids = cells[4][None]
    forward = compile_forward(backbone)
    states = forward({"token_ids": ids, "padding_mask": np.ones_like(ids)})[0]
    np.testing.assert_allclose(fourth[DIMENSIONS], states[1:-1], atol=2e-5)


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_statistics_are_over_the_cells_that_have_the_gene(backbone, cells, every, statistic):
    types = every["cell"].map(cells.obs["cell_type"]).rename("cell_type")
    groups = every[DIMENSIONS].groupby([types, every["gene"]])
    table = embed_genes(backbone, cells, layer=-1, statistic=statistic, by="cell_type")
    expected = groups.agg(statistic)
    assert set(table.index) == set(expected.index)
    assert table["cells"].to_dict() == groups.size().to_dict()
    np.testing.assert_allclose(table[DIMENSIONS], expected.loc[table.index], atol=1e-6)


def test_named_genes_published_rows_and_files(backbone, cells, every, tmp_path):
    table = embed_genes(backbone, cells, layer=-1, genes=["GENE3", "GENE5"])
    assert table.index.tolist() == tiny_vocabulary(cls=True).genes[[3, 5]].tolist()
    mean = every[every["gene"] == table.index[1]][DIMENSIONS].mean()
    np.testing.assert_allclose(table.iloc[1][DIMENSIONS].astype(float), mean, atol=1e-6)

    path = embed_genes(backbone, cells, layer=-1, published=True, output=tmp_path / "genes.csv")
    rows = pd.read_csv(path)
    assert rows["gene"].tolist()[:2] == ["<cls>", "<eos>"]
    assert rows["cells"].tolist()[:2] == [6, 6]
    path = embed_genes(
        backbone, cells, layer=-1, statistic=None, batch_size=2, output=tmp_path / "all.parquet"
    )
    written = pd.read_parquet(path)
    assert written["token"].tolist() == every["token"].tolist()
    np.testing.assert_allclose(written.iloc[:, 3:], every[DIMENSIONS], atol=2e-5)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["all.parquet", "genes.csv"]


def test_refuses(backbone, cells, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="Received statistic='sum'; expected one of mean, median,"):
        embed_genes(backbone, cells, statistic="sum")
    with pytest.raises(ValueError, match="Received by='donor' and statistic=None; every cell has"):
        embed_genes(backbone, cells, statistic=None, by="donor")
    with pytest.raises(
        ValueError, match=r"^Received by='cells', which is what a column of the res"
    ):
        embed_genes(backbone, cells, by="cells")
    with pytest.raises(ValueError, match="1 of 1 genes are not in the vocabulary: TP53"):
        embed_genes(backbone, cells, genes=["TP53"])
    with pytest.raises(ValueError, match=r"expected a file that ends in \.parquet \(a row of each"):
        embed_genes(backbone, cells, statistic=None, output=tmp_path / "x.csv")
    usage = type("usage", (), {"free": 10})()
    monkeypatch.setattr("shutil.disk_usage", lambda place: usage)
    with pytest.raises(OSError, match=r"Medians of these genes need 0\.0 GB of temporary files"):
        embed_genes(backbone, cells, statistic="median")
