import anndata
import numpy as np
import pandas as pd
import pytest

from keras_geneformer.analysis.embedding_files import EmbeddingWriter
from keras_geneformer.analysis.embedding_formats import check_output, written_settings

SETTINGS = {"layer": -2, "pooling": "mean"}
BATCHES = ([4, 0], [2, 5], [1, 3])


@pytest.fixture
def obs():
    return pd.DataFrame({"kind": list("aabbcc")}, [f"cell{number}" for number in range(6)])


@pytest.fixture
def vectors():
    return np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


def read(path):
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    if path.suffix == ".csv":
        return pd.read_csv(path, index_col=0)
    adata = anndata.read_h5ad(path) if path.suffix == ".h5ad" else anndata.read_zarr(path)
    assert adata.obs["kind"].tolist() == list("aabbcc")
    return pd.DataFrame(adata.obsm["X_geneformer"], adata.obs_names)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".h5ad", ".zarr"])
def test_rows_that_come_in_any_order_stand_in_that_of_obs(
    tmp_path, obs, vectors, suffix, monkeypatch
):
    monkeypatch.setattr("keras_geneformer.analysis.embedding_files._ROWS_A_BLOCK", 4)
    output = tmp_path / f"e{suffix}"
    for _ in range(2 if suffix == ".zarr" else 1):
        writer = EmbeddingWriter(output, SETTINGS, obs, 3, resume=False)
        for rows in BATCHES:
            writer.add(np.array(rows), vectors[rows])
        assert not output.exists() or suffix == ".zarr"
        assert writer.finish() == output
    table = read(output)
    assert table.index.tolist() == obs.index.tolist()
    np.testing.assert_allclose(table, vectors, rtol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == [output.name]
    again = EmbeddingWriter(output, SETTINGS, obs, 3)
    assert again.finished == (suffix != ".csv")
    assert written_settings(output) == (None if suffix == ".csv" else SETTINGS)


def test_a_run_goes_on_after_what_had_reached_the_disk(tmp_path, obs, vectors, monkeypatch):
    output = tmp_path / "e.parquet"
    monkeypatch.setattr("keras_geneformer.analysis.embedding_files._SECONDS_A_SAVE", 0.0)
    first = EmbeddingWriter(output, SETTINGS, obs, 3)
    first.add(np.array(BATCHES[0]), vectors[BATCHES[0]])
    monkeypatch.setattr("keras_geneformer.analysis.embedding_files._SECONDS_A_SAVE", 1e9)
    first.add(np.array(BATCHES[1]), vectors[BATCHES[1]])
    with pytest.raises(BlockingIOError, match=r"e\.parquet is being written by another process"):
        EmbeddingWriter(output, SETTINGS, obs, 3)
    first.close()

    message = r"pooling \(there \'mean\', here \'cls\'\)\. Give what it was begun with, choose"
    with pytest.raises(ValueError, match=message):
        EmbeddingWriter(output, SETTINGS | {"pooling": "cls"}, obs, 3)
    second = EmbeddingWriter(output, SETTINGS, obs, 3)
    assert second.batches == 1
    for rows in BATCHES[1:]:
        second.add(np.array(rows), vectors[rows])
    second.finish()
    np.testing.assert_array_equal(pd.read_parquet(output), vectors)
    other = EmbeddingWriter(output, SETTINGS | {"pooling": "cls"}, obs, 3)
    assert (other.finished, other.batches) == (False, 0)
    other.close()
    np.testing.assert_array_equal(pd.read_parquet(output), vectors)


def test_refuses(tmp_path, obs):
    with pytest.raises(ValueError, match=r"ends in none of \.parquet, \.csv, \.h5ad, \.zarr: the"):
        check_output(tmp_path / "e.txt")
    anndata.AnnData(obs=obs).write_h5ad(tmp_path / "e.h5ad")
    with pytest.raises(FileExistsError, match="exists and holds no embedding written by this"):
        check_output(tmp_path / "e.h5ad")
    (tmp_path / "e.zarr").mkdir()
    (tmp_path / "e.zarr" / "notes").write_text("keep")
    with pytest.raises(FileExistsError, match="exists and holds something else than"):
        check_output(tmp_path / "e.zarr")
    assert (tmp_path / "e.zarr" / "notes").read_text() == "keep"
