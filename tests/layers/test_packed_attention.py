"""Attention in rows of several cells: each cell as if it were alone, whatever stands beside it."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_geneformer.layers.attention_kernels import attend

pytestmark = pytest.mark.tensors

LENGTH = 21


@st.composite
def rows(draw):
    """Queries, keys and values of shape (2, 21, 2, 4), and cell numbers with padding at the end."""
    numbers = np.zeros((2, LENGTH), "int32")
    for row in numbers:
        sizes = draw(st.lists(st.integers(1, 9), min_size=1, max_size=6))
        cells = np.repeat(np.arange(1, len(sizes) + 1), sizes)[:LENGTH]
        row[: len(cells)] = cells
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    return rng.normal(0, 2, (3, 2, LENGTH, 2, 4)).astype("float32"), numbers


def received(arrays, numbers, dropout=0.0):
    query, key, value = (keras.ops.convert_to_tensor(array) for array in arrays)
    seed = keras.random.SeedGenerator(3)
    numbers = keras.ops.convert_to_tensor(numbers)
    attended = attend(query, key, value, None, dropout, seed, cell_numbers=(numbers, numbers))
    return keras.ops.convert_to_numpy(attended)


@settings(max_examples=20, deadline=None)
@given(rows())
def test_a_cell_attends_to_itself_alone(drawn):
    (query, key, value), numbers = drawn
    scores = np.einsum("bqhd,bkhd->bhqk", query.astype("float64"), key) / 2.0
    own = numbers[:, None, :, None] == numbers[:, None, None, :]
    weights = np.where(own, np.exp(scores - np.where(own, scores, -np.inf).max(-1)[..., None]), 0.0)
    weights /= weights.sum(-1, keepdims=True)
    expected = np.einsum("bhqk,bkhd->bqhd", weights, value)
    np.testing.assert_allclose(received((query, key, value), numbers), expected, atol=2e-5)


def test_with_dropout_no_weight_falls_on_another_cell():
    numbers = np.zeros((4, 32), "int32")
    numbers[:, :12], numbers[:, 12:25] = 1, 2
    zeros = np.zeros((4, 32, 2, 32), "float32")
    # With equal scores, and the identity as values, what comes out are the weights.
    identity = np.broadcast_to(np.eye(32, dtype="float32")[:, None], zeros.shape)
    keras.utils.set_random_seed(4)
    weights = received((zeros, zeros, identity), numbers, dropout=0.25)
    for start, stop in [(0, 12), (12, 25), (25, 32)]:
        block = weights[:, start:stop].copy()
        kept = block[..., start:stop]
        np.testing.assert_allclose(kept[kept != 0], 1 / (stop - start) / 0.75, rtol=1e-5)
        assert (kept == 0).mean() == pytest.approx(0.25, abs=0.08)
        block[..., start:stop] = 0.0
        assert not block.any()
