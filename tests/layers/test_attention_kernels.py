import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_geneformer.layers.attention_kernels import attend

pytestmark = pytest.mark.tensors


def tensors(*arrays):
    return [keras.ops.convert_to_tensor(array) for array in arrays]


def plain_attention(query, key, value, real):
    """Scaled dot-product attention as the formula reads, in float64."""
    scores = np.einsum("bqhd,bkhd->bhqk", query, key) / np.sqrt(query.shape[-1])
    scores = np.where(real[:, None, None, :], scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("bhqk,bkhd->bqhd", weights, value)


@st.composite
def queries_keys_values(draw):
    """Arrays of shape (2, length, 2, 4) and a mask with holes; padded keys hold huge values."""
    length = draw(st.sampled_from([3, 8, 21]))
    real = np.array([draw(st.lists(st.booleans(), min_size=length, max_size=length))] * 2)
    real[:, draw(st.integers(0, length - 1))] = True
    real[1] = np.roll(real[1], 1)
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    query, key, value = rng.normal(0, 2, (3, 2, length, 2, 4)).astype("float32")
    key[~real] *= 1e8
    value[~real] *= 1e8
    return query, key, value, real


@settings(max_examples=20, deadline=None)
@given(queries_keys_values())
def test_attention_follows_the_formula(arrays):
    query, key, value, real = arrays
    received = keras.ops.convert_to_numpy(attend(*tensors(query, key, value, real.astype("int32"))))
    expected = plain_attention(
        *(array.astype("float64") for array in (query, key * real[..., None, None], value)), real
    )
    np.testing.assert_allclose(received, expected, atol=2e-5)


def test_no_mask_means_all_real():
    query, key, value = np.random.default_rng(0).normal(size=(3, 2, 8, 2, 4)).astype("float32")
    received = attend(*tensors(query, key, value))
    expected = plain_attention(query, key, value, np.ones((2, 8), bool))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(received), expected, atol=2e-5)


def test_dropout_falls_on_the_weights_at_its_rate():
    keras.utils.set_random_seed(5)
    length, rate = 32, 0.25
    zeros = np.zeros((4, length, 2, length), "float32")
    # With equal scores, and the identity as values, what comes out are the weights.
    identity = np.broadcast_to(np.eye(length, dtype="float32")[:, None], zeros.shape)
    mask = np.ones((4, length), "int32")
    seed = keras.random.SeedGenerator(1)

    def weights():
        dropped = attend(*tensors(zeros, zeros, identity, mask), rate, seed)
        return keras.ops.convert_to_numpy(dropped)

    first, second = weights(), weights()
    kept = first[first != 0]
    np.testing.assert_allclose(kept, 1 / length / (1 - rate), rtol=1e-5)
    assert (first == 0).mean() == pytest.approx(rate, abs=0.025)
    # Each draw is another one, and each weight is drawn for itself.
    assert ((first == 0) & (second == 0)).mean() == pytest.approx(rate**2, abs=0.025)
    assert (first == 0).mean(axis=(0, 1, 2)).min() > 0
