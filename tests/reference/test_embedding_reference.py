"""Cell embeddings against the published package's EmbExtractor."""

import numpy as np
import pandas as pd
import pytest

from keras_geneformer.analysis.cell_embedding import embed_cells
from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.tokenization.cells.dataset import CellDataset

pytestmark = pytest.mark.tensors

SPECIAL = {
    "tiny-v1": {"<pad>": 0, "<mask>": 1},
    "tiny-v2": {"<pad>": 0, "<mask>": 1, "<cls>": 2, "<eos>": 3},
}


def read_cells(path, name):
    table = pd.read_parquet(path).set_index("cell")
    cells = CellDataset(table["input_ids"].tolist(), table.drop(columns="input_ids"))
    cells.special_tokens = SPECIAL[name]
    return cells


@pytest.fixture(scope="module")
def models(reference):
    return {
        name: GeneformerMaskedLM.from_preset(reference / "checkpoints" / name) for name in SPECIAL
    }


@pytest.mark.parametrize(
    ("name", "mode", "published_layer", "layer"),
    [
        ("tiny-v1", "cell", -1, -2),
        ("tiny-v1", "cell", 0, -1),
        ("tiny-v2", "cell", -1, -2),
        ("tiny-v2", "cell", 0, -1),
        ("tiny-v2", "cls", -1, -2),
        ("tiny-v2", "cls", 0, -1),
    ],
)
def test_embeddings_are_the_published_ones(reference, models, name, mode, published_layer, layer):
    folder = reference / "emb_extractor"
    expected = pd.read_parquet(folder / f"{name}.{mode}.layer{published_layer}.parquet")
    expected = expected.set_index("cell").drop(columns="cell_type")
    cells = read_cells(folder / f"{name}.cells.parquet", name)
    pooling = {"cell": "mean", "cls": "cls"}[mode]
    embedding = embed_cells(models[name], cells, layer=layer, pooling=pooling)
    np.testing.assert_allclose(embedding, expected.loc[embedding.index], atol=2e-5, rtol=1e-4)


def test_a_classifier_embeds_as_published(reference):
    folder = reference / "emb_extractor"
    expected = pd.read_parquet(folder / "tiny-v1-cell.cell.layer-1.parquet").set_index("cell")
    cells = read_cells(folder / "tiny-v1.cells.parquet", "tiny-v1")
    model = GeneformerCellClassifier.from_preset(reference / "checkpoints" / "tiny-v1-cell")
    embedding = embed_cells(model, cells)
    expected = expected.drop(columns="cell_type").loc[embedding.index]
    np.testing.assert_allclose(embedding, expected, atol=2e-5, rtol=1e-4)
