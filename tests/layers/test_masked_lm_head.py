import keras
import numpy as np
import pytest

from keras_geneformer.layers.masked_lm_head import MaskedLMHead
from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.testing import tiny_backbone

pytestmark = pytest.mark.tensors


def head_and_table(**options):
    keras.utils.set_random_seed(4)
    embedding = keras.layers.ReversibleEmbedding(10, 4, embeddings_initializer="normal")
    embedding.build()
    head = MaskedLMHead(embedding, initializer_range=1.0, **options)
    head.build((None, None, 4))
    head.bias.assign(np.arange(10, dtype="float32"))
    return head, embedding.embeddings


def test_scores_of_the_asked_positions():
    head, table = head_and_table(activation="relu")
    states = np.random.default_rng(1).normal(size=(2, 5, 4)).astype("float32")
    positions = np.array([[3, 0, 3], [4, 1, 2]], "int32")
    received = head(states, positions)
    kernel, bias = (keras.ops.convert_to_numpy(v) for v in (head.dense.kernel, head.dense.bias))
    x = np.maximum(states[np.arange(2)[:, None], positions] @ kernel + bias, 0)
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-12)
    expected = x @ keras.ops.convert_to_numpy(table).T + np.arange(10)
    assert tuple(received.shape) == head.compute_output_shape(states.shape, positions.shape)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(received), expected, atol=3e-5)


def test_scores_are_float32_under_mixed_precision():
    head, _ = head_and_table(dtype="mixed_bfloat16")
    states = keras.ops.ones((2, 5, 4), dtype="bfloat16")
    scores = head(states, np.array([[0], [1]], "int32"))
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"


def test_the_table_learns_from_both_sides():
    keras.utils.set_random_seed(4)
    model = GeneformerMaskedLM(tiny_backbone(num_layers=1, dropout=0.0, initializer_range=0.2))
    table = model.backbone.get_layer("embeddings").token_embedding.embeddings
    assert sum(weight is table for weight in model.trainable_weights) == 1
    before = keras.ops.convert_to_numpy(table).copy()
    # A loss over the scores of token 3 alone: its row learns as output, those of the cell as input.
    model.compile(
        optimizer=keras.optimizers.SGD(1.0), loss=lambda _true, scores: scores[..., 3] ** 2
    )
    cell = np.array([[5, 7, 2]], "int32")
    inputs = {
        "token_ids": cell,
        "padding_mask": np.ones_like(cell),
        "mask_positions": np.array([[1]], "int32"),
    }
    model.train_on_batch(inputs, np.zeros((1, 1), "float32"))
    change = np.abs(keras.ops.convert_to_numpy(table) - before).max(-1)
    assert np.flatnonzero(change > 1e-8).tolist() == [2, 3, 5, 7]
