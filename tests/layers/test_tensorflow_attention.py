"""Attention in recomputed blocks under TensorFlow, against plain attention that drops alike."""

import keras
import numpy as np
import pytest

if keras.config.backend() != "tensorflow":
    pytest.skip("for the TensorFlow backend only", allow_module_level=True)

import tensorflow as tf

from keras_geneformer.layers import tensorflow_attention
from keras_geneformer.layers.tensorflow_attention import BLOCKS, _kept, attend_in_blocks

pytestmark = pytest.mark.tensors


@pytest.fixture(autouse=True)
def several_blocks(monkeypatch):
    monkeypatch.setattr(tensorflow_attention, "LEAST_QUERIES", 1)


SEED = tf.constant([3, 5])


def tensors(length=37):
    """Query, key, value, and the bias that hides the last ten keys of the second cell."""
    rng = np.random.default_rng(0)
    states = [tf.constant(rng.normal(size=(2, 2, length, 8)), tf.float32) for _ in range(3)]
    bias = np.zeros((2, 1, 1, length), "float32")
    bias[1, ..., -10:] = -1e30
    return states, tf.constant(bias)


def plain(query, key, value, bias, rate):
    """The definition, dropping the weights that the blocks drop."""
    length = query.shape[2]
    step = -(-length // BLOCKS)
    kept = [
        _kept(
            tf.ones_like(query[:, :, start : start + step] @ tf.transpose(key, (0, 1, 3, 2))),
            rate,
            SEED + tf.constant([0, block]),
        )
        for block, start in enumerate(range(0, length, step))
    ]
    scores = tf.matmul(query, key, transpose_b=True) * query.shape[-1] ** -0.5
    return tf.matmul(tf.nn.softmax(scores + bias) * tf.concat(kept, 2) / (1 - rate), value)


@pytest.mark.parametrize("rate", [0.0, 0.2])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_output_and_gradients_equal_plain_attention(rate, jit_compile):
    states, bias = tensors()
    upstream = tf.constant(np.random.default_rng(1).normal(size=states[0].shape), tf.float32)

    def with_gradients(attention):
        with tf.GradientTape() as tape:
            tape.watch(states)
            output = attention()
        return output, *tape.gradient(output, states, upstream)

    blocks = tf.function(
        lambda: with_gradients(lambda: attend_in_blocks(*states, bias, rate, SEED)),
        jit_compile=jit_compile,
    )
    if rate:
        expected = with_gradients(lambda: plain(*states, bias, rate))
    else:
        expected = with_gradients(
            lambda: tf.matmul(
                tf.nn.softmax(tf.matmul(states[0], states[1], transpose_b=True) * 8**-0.5 + bias),
                states[2],
            )
        )
    for received, value in zip(blocks(), expected, strict=True):
        np.testing.assert_allclose(received, value, atol=2e-6)


def test_dropout_meets_its_rate():
    kept = _kept(tf.ones([1000, 1001]), 0.1, SEED).numpy()
    assert set(np.unique(kept)) == {0.0, 1.0}
    assert abs((kept == 0).mean() - 0.1) < 0.002
    np.testing.assert_array_equal(kept, _kept(tf.ones([1000, 1001]), 0.1, SEED))
    assert (kept != _kept(tf.ones([1000, 1001]), 0.1, SEED + 1).numpy()).any()


def test_few_weights_are_dropped_at_their_rate():
    draw = tf.function(lambda seed: _kept(tf.ones([3]), 0.3, seed))
    kept = np.array([draw(tf.constant([1, seed])) for seed in range(1000)])
    assert (np.abs(1 - kept.mean(0) - 0.3) < 0.06).all()


def test_gradients_of_rows_of_several_cells_with_dropout():
    states, _ = tensors()
    numbers = tf.constant([[1] * 17 + [2] * 12 + [0] * 8, [1] * 3 + [2] * 34])
    unseen = numbers[:, None, :, None] != numbers[:, None, None, :]
    found = []
    for attention in (
        lambda: attend_in_blocks(*states, None, 0.2, SEED, (numbers, numbers)),
        lambda: plain(*states, tf.cast(unseen, tf.float32) * -1e30, 0.2),
    ):
        with tf.GradientTape() as tape:
            tape.watch(states)
            output = attention()
        found.append((output, *tape.gradient(output, states, tf.sin(states[0]))))
    for received, value in zip(*found, strict=True):
        np.testing.assert_allclose(received, value, atol=2e-6)


@pytest.mark.parametrize(("length", "least"), [(1, 1), (7, 1), (8, 1), (9, 1), (9, 256)])
def test_lengths_around_the_number_of_blocks(monkeypatch, length, least):
    monkeypatch.setattr(tensorflow_attention, "LEAST_QUERIES", least)
    states, _ = tensors(length)
    scores = tf.matmul(states[0], states[1], transpose_b=True) * 8**-0.5
    np.testing.assert_allclose(
        attend_in_blocks(*states), tf.matmul(tf.nn.softmax(scores), states[2]), atol=1e-6
    )
