import keras
import numpy as np
import pytest

from keras_geneformer.layers.pooling import CellPooling

pytestmark = pytest.mark.tensors

TOKENS = np.array([[2, 7, 5, 3, 0], [9, 1, 6, 8, 7], [2, 3, 0, 0, 0], [8, 4, 0, 0, 0]], "int32")
REAL = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]], "int32")


@pytest.fixture(scope="module")
def states():
    states = np.random.default_rng(0).normal(size=(4, 5, 3)).astype("float32")
    states[REAL == 0] = np.inf
    return states


def pooled(layer, states):
    return keras.ops.convert_to_numpy(layer(states, TOKENS, REAL))


def test_mean_counts_genes_alone(states):
    received = pooled(CellPooling("mean", special_token_ids=(0, 1, 2, 3)), states)
    expected = [
        states[0, 1:3].mean(0),
        states[1, [0, 2, 3, 4]].mean(0),
        np.zeros(3),  # a cell of specials alone
        states[3, 0],  # token 4 is a gene, but padding
    ]
    np.testing.assert_allclose(received, expected, atol=1e-6)


def test_specials_are_the_vocabularys(states):
    received = pooled(CellPooling("mean", special_token_ids=(0, 1)), states)
    np.testing.assert_allclose(received[0], states[0, :4].mean(0), atol=1e-6)


def test_first_takes_the_first_token(states):
    np.testing.assert_array_equal(pooled(CellPooling("first"), states), states[:, 0])


def test_other_poolings_are_refused():
    with pytest.raises(ValueError, match=r"^Received pooling='max'; expected 'first' or 'mean'\.$"):
        CellPooling("max")


def test_rebuilt_from_its_configuration():
    layer = CellPooling("mean", special_token_ids=np.arange(4))
    assert CellPooling.from_config(layer.get_config()).special_token_ids == (0, 1, 2, 3)
