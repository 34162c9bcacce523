import numpy as np
import pandas as pd
import pytest

from keras_geneformer.analysis.cell_embedding import embed_cells
from keras_geneformer.analysis.embedding_files import EmbeddingWriter
from keras_geneformer.data.inference import compile_forward
from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.testing import (
    synthetic_cells,
    synthetic_dataset,
    tiny_backbone,
    tiny_vocabulary,
)
from keras_geneformer.tokenization.cells.dataset import CellDataset

pytestmark = pytest.mark.tensors


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone(cls=True, num_layers=2)


@pytest.fixture(scope="module")
def cells():
    return synthetic_dataset(7, cls=True)


def by_hand(backbone, ids):
    """Hidden states after the first block of one cell, unpadded."""
    forward = compile_forward(backbone.hidden_state_model(1))
    return forward({"token_ids": ids[None], "padding_mask": np.ones_like(ids)[None]})[0]


def test_the_mean_is_over_genes_alone(backbone, cells):
    embedding = embed_cells(backbone, cells)
    assert embedding.index.equals(cells.obs.index)
    assert (embedding.to_numpy().dtype, embedding.shape) == (np.float32, (7, 32))
    states = by_hand(backbone, cells[5])
    np.testing.assert_allclose(embedding.iloc[5], states[1:-1].mean(axis=0), atol=2e-5)
    first = embed_cells(backbone, cells, pooling="cls")
    np.testing.assert_allclose(first.iloc[5], states[0], atol=2e-5)


def test_batches_and_heads_change_nothing(backbone, cells):
    embedding = embed_cells(backbone, cells)
    for model in (GeneformerMaskedLM(backbone), GeneformerCellClassifier(backbone, 2)):
        other = embed_cells(model, cells, batch_size=3)
        np.testing.assert_allclose(other, embedding, atol=2e-5)


def test_an_anndata_is_tokenized_and_gets_its_embedding(backbone):
    vocabulary = tiny_vocabulary(cls=True)
    adata = synthetic_cells(6)
    counts = adata.X.toarray()
    counts[2] = 0
    adata.X = counts
    adata.obs["n_counts"] = counts.sum(axis=1)
    with pytest.warns(UserWarning, match=r"1 of 6 cells were dropped by the tokenizer: their rows"):
        embedding = embed_cells(backbone, adata, vocabulary=vocabulary, key_added="X_test")
    assert embedding.index.equals(adata.obs_names)
    assert np.flatnonzero(np.isnan(embedding).any(axis=1)).tolist() == [2]
    np.testing.assert_array_equal(adata.obsm["X_test"], embedding.to_numpy())
    assert adata.obs["X_test_embedded"].tolist() == [True, True, False, True, True, True]
    whole = embed_cells(backbone, synthetic_dataset(6, cls=True))
    np.testing.assert_allclose(embedding.iloc[4], whole.iloc[4], atol=2e-5)


def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(
    backbone, cells, tmp_path, monkeypatch
):
    output = tmp_path / "e.parquet"
    monkeypatch.setattr("keras_geneformer.analysis.embedding_files._SECONDS_A_SAVE", 0.0)
    taken = []
    add = EmbeddingWriter.add

    def killed(writer, rows, vectors):
        if len(taken) == 2:
            raise KeyboardInterrupt
        taken.append(rows)
        add(writer, rows, vectors)

    monkeypatch.setattr(EmbeddingWriter, "add", killed)
    with pytest.raises(KeyboardInterrupt):
        embed_cells(backbone, cells, batch_size=2, output=output)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.parquet.parts"]
    with pytest.raises(
        ValueError, match=r"is of a run with other settings: pooling \(there 'mean'"
    ):
        embed_cells(backbone, cells, batch_size=2, pooling="first", output=output)

    again = []
    monkeypatch.setattr(
        EmbeddingWriter, "add", lambda *batch: again.append(batch[1]) or add(*batch)
    )
    assert embed_cells(backbone, cells, batch_size=2, output=output) == output
    assert sorted(np.concatenate(taken + again)) == list(range(7))
    expected = embed_cells(backbone, cells, batch_size=2)
    table = pd.read_parquet(output)
    np.testing.assert_array_equal(table, expected)
    assert table.index.tolist() == cells.obs.index.tolist()
    embed_cells(backbone, cells, batch_size=2, output=output)
    assert len(again) == 2


def test_refuses(backbone, cells):
    with pytest.raises(
        ValueError, match="Received an AnnData and an output: the embedding goes in"
    ):
        embed_cells(backbone, synthetic_cells(2), output="x.h5ad")
    message = "To embed an AnnData it must be tokenized: pass vocabulary="
    with pytest.raises(ValueError, match=message):
        embed_cells(backbone, synthetic_cells(2))
    adata = synthetic_cells(2)
    adata.obs_names = ["a", "a"]
    with pytest.raises(ValueError, match="The AnnData's cell names are not unique, so that"):
        embed_cells(backbone, adata, vocabulary=tiny_vocabulary(cls=True))
    message = r"Received pooling='max'; expected one of mean, cls, first, attention, trained_atte"
    with pytest.raises(ValueError, match=message):
        embed_cells(backbone, cells, pooling="max")
    with pytest.raises(ValueError, match=r'Received pooling="cls", but not every cell begins with'):
        embed_cells(backbone, CellDataset([[5, 6]]), pooling="cls")
    with pytest.raises(ValueError, match=r"Received layer=9; this model has 2 encoder blocks"):
        embed_cells(backbone, cells, layer=9)
    with pytest.raises(ValueError, match=r"1 cells have no gene \(the first is '1'\): there is"):
        embed_cells(backbone, CellDataset([[5, 6], [2, 3]]))
    with pytest.raises(ValueError, match=r"Received a list of cells; expected a CellDataset or an"):
        embed_cells(backbone, [[5, 6]])
    with pytest.raises(ValueError, match=r"Received a dict as the model; expected a Geneformer"):
        embed_cells({}, cells)
    with pytest.raises(ValueError, match="The cells were tokenized with another vocabulary"):
        embed_cells(tiny_backbone(num_layers=1), cells)
