import numpy as np
import pytest

from keras_geneformer.analysis.cell_embedding import embed_cells
from keras_geneformer.data.inference import compile_forward
from keras_geneformer.models.multitask_classifier import GeneformerMultiTaskClassifier
from keras_geneformer.testing import synthetic_dataset, tiny_backbone

pytestmark = pytest.mark.tensors


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone(cls=True, num_layers=1)


@pytest.fixture(scope="module")
def cells():
    return synthetic_dataset(4, cls=True)


def states_of(backbone, ids, layer):
    forward = compile_forward(backbone.hidden_state_model(layer))
    return forward({"token_ids": ids[None], "padding_mask": np.ones_like(ids)[None]})[0]


def test_genes_weigh_what_the_genes_of_the_cell_attend_to_them(backbone, cells):
    embedding = embed_cells(backbone, cells, layer=1, pooling="attention")
    ids = cells[2]
    before, after = (states_of(backbone, ids, layer).astype(np.float64) for layer in (0, 1))
    attention = backbone.get_layer("encoder_block_0").attention
    received = np.zeros(len(ids))
    projected = []
    for dense in (attention.query, attention.key):
        kernel, bias = (np.asarray(weights, np.float64) for weights in dense.get_weights())
        projected.append((before @ kernel + bias).reshape(len(ids), 4, 8))
    query, key = projected
    for head in range(4):
        scores = query[:, head] @ key[:, head].T / np.sqrt(8)
        weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        received += weights[1:-1].sum(axis=0)
    genes = received[1:-1] / received[1:-1].sum()
    assert genes.max() > 1.0001 * genes.min()
    np.testing.assert_allclose(embedding.iloc[2], genes @ after[1:-1], atol=2e-5)


def test_what_a_classifier_has_learnt_to_attend_to(backbone, cells):
    tasks = {"type": ["a", "b"], "sex": ["f", "m"]}
    model = GeneformerMultiTaskClassifier(backbone, tasks=tasks)
    pooling = model.get_layer("task_1_pooling")
    pooling.set_weights([weights * 50 for weights in pooling.get_weights()])
    options = {"pooling": "trained_attention", "layer": -1}
    embedding = embed_cells(model, cells, task="sex", **options)
    ids = cells[2][None]
    expected = pooling(states_of(backbone, ids[0], 1)[None], ids, np.ones_like(ids))
    expected = np.asarray(expected.detach().cpu() if hasattr(expected, "detach") else expected)
    np.testing.assert_allclose(embedding.iloc[2], expected[0], atol=2e-5)
    mean = embed_cells(model, cells, layer=-1)
    assert np.abs(embedding - mean).to_numpy().max() > 1e-3

    with pytest.raises(ValueError, match=r"of its tasks type, sex: say whose with task='type'\."):
        embed_cells(model, cells, **options)
    with pytest.raises(ValueError, match=r"Received task='age'; expected one of type, sex\."):
        embed_cells(model, cells, task="age", **options)
    with pytest.raises(ValueError, match=r"after the last block: pass layer=-1\."):
        embed_cells(model, cells, task="sex", pooling="trained_attention")
    with pytest.raises(
        ValueError, match='Received pooling="trained_attention" and a model without'
    ):
        embed_cells(backbone, cells, **options)
    with pytest.raises(ValueError, match='Received layer=0 with pooling="attention", but no atten'):
        embed_cells(backbone, cells, layer=0, pooling="attention")


def test_bfloat16_is_near_and_comes_as_float32(backbone, cells):
    exact = embed_cells(backbone, cells, layer=-1).to_numpy()
    near = embed_cells(backbone, cells, layer=-1, dtype="bfloat16").to_numpy()
    assert near.dtype == np.float32
    assert 1e-5 < np.abs(near - exact).max() < 0.1
    with pytest.raises(
        ValueError, match=r"Received dtype='int8'; expected 'float32' or 'bfloat16'"
    ):
        embed_cells(backbone, cells, dtype="int8")
