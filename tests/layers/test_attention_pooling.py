import keras
import numpy as np
import pytest

from keras_geneformer.layers.attention_pooling import AttentionPooling

pytestmark = pytest.mark.tensors

TOKENS = np.array([[2, 7, 5, 3, 0], [9, 1, 6, 8, 7], [2, 3, 0, 0, 0], [8, 4, 0, 0, 0]], "int32")
REAL = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]], "int32")
GENES = [[1, 2], [0, 2, 3, 4], [], [0]]


@pytest.fixture(scope="module")
def states():
    states = np.random.default_rng(0).normal(size=(4, 5, 3)).astype("float32")
    states[REAL == 0] = np.inf
    return states


@pytest.fixture(scope="module")
def layer():
    keras.utils.set_random_seed(4)
    layer = AttentionPooling(special_token_ids=(0, 1, 2, 3), initializer_range=1.0)
    layer.build((None, 5, 3))
    layer.bias.assign([0.3, -0.2, 0.1])
    return layer


def pooled(layer, states, tokens=TOKENS, real=REAL):
    return keras.ops.convert_to_numpy(layer(states, tokens, real))


def test_genes_alone_are_weighed_as_the_formula_says(layer, states):
    kernel, bias, query = (np.asarray(weight) for weight in layer.get_weights())
    expected = np.zeros((4, 3))
    attention = np.zeros((4, 5))
    for cell, genes in enumerate(GENES):
        if genes:
            logits = np.tanh(states[cell, genes] @ kernel + bias) @ query
            weights = np.exp(logits) / np.exp(logits).sum()
            attention[cell, genes] = weights
            expected[cell] = weights @ states[cell, genes]
    np.testing.assert_allclose(pooled(layer, states), expected, atol=1e-5)
    received = keras.ops.convert_to_numpy(layer.attention(states, TOKENS, REAL))
    np.testing.assert_allclose(received, attention, atol=1e-6)
    assert np.ptp(attention[1, GENES[1]]) > 0.05


def test_padding_and_the_order_of_cells_change_nothing(layer, states):
    alone = pooled(layer, states)
    longer = [
        np.pad(array, [(0, 0), (0, 3), (0, 0)][: array.ndim], constant_values=fill)
        for array, fill in ((states, np.nan), (TOKENS, 0), (REAL, 0))
    ]
    np.testing.assert_allclose(pooled(layer, *longer), alone, atol=1e-6)
    order = [2, 0, 3, 1]
    turned = pooled(layer, states[order], TOKENS[order], REAL[order])
    np.testing.assert_allclose(turned, alone[order], atol=1e-6)


def test_rebuilt_from_its_configuration(layer):
    again = AttentionPooling.from_config(layer.get_config())
    assert again.special_token_ids == (0, 1, 2, 3)
    assert again.initializer_range == 1.0
