import keras
import numpy as np
import pytest
from keras import ops

from keras_geneformer.layers.attention import SelfAttention
from keras_geneformer.layers.encoder_block import EncoderBlock

pytestmark = pytest.mark.tensors

REAL = np.array([[1] * 9, [1] * 5 + [0] * 4, [1, 1, 0, 1, 0, 0, 1, 0, 1]], "int32")


@pytest.fixture(scope="module")
def states():
    return np.random.default_rng(3).normal(size=(3, 9, 8)).astype("float32")


@pytest.fixture(
    scope="module",
    params=[
        SelfAttention(num_heads=2, dropout=0.5, initializer_range=0.4),
        EncoderBlock(2, 16, dropout=0.5, attention_dropout=0.5, initializer_range=0.4),
    ],
    ids=["attention", "block"],
)
def layer(request):
    keras.utils.set_random_seed(1)
    request.param.build((None, None, 8))
    return request.param


def outputs(layer, states, **options):
    return keras.ops.convert_to_numpy(layer(states, REAL, **options)).astype("float32")


def test_what_stands_at_padding_changes_nothing(layer, states):
    real = REAL.astype(bool)
    garbage = np.where(real[..., None], states, 1e5).astype("float32")
    np.testing.assert_allclose(
        outputs(layer, garbage)[real], outputs(layer, states)[real], atol=1e-6
    )


def test_the_other_real_tokens_do_change_it(layer, states):
    changed = states.copy()
    changed[:, 0] *= -1
    assert np.abs(outputs(layer, changed) - outputs(layer, states))[:, 1].max() > 1e-3


def test_dropout_only_while_training(layer, states):
    inferred = outputs(layer, states)
    np.testing.assert_array_equal(inferred, outputs(layer, states, training=False))
    trained = outputs(layer, states, training=True)
    assert np.abs(trained - inferred).max() > 1e-2
    assert np.abs(trained - outputs(layer, states, training=True)).max() > 1e-2


def test_mixed_precision_computes_close_to_float32(layer, states):
    mixed = type(layer).from_config(layer.get_config() | {"dtype": "mixed_bfloat16"})
    mixed.build(states.shape)
    mixed.set_weights(layer.get_weights())
    assert keras.backend.standardize_dtype(mixed(states, REAL).dtype) == "bfloat16"
    # How bfloat16 is multiplied depends on the processor: the mean error is held, to four of its
    # roundings at 1, and the largest of all values loosely.
    error = outputs(mixed, states) - outputs(layer, states)
    assert np.sqrt(np.mean(error**2)) < 2**-6
    assert np.abs(error).max() < 0.1


def test_heads_must_divide_the_width():
    message = (
        "^Received a hidden width of 8 and 3 attention heads; the heads must divide the width.$"
    )
    with pytest.raises(ValueError, match=message):
        SelfAttention(num_heads=3).build((None, None, 8))


@pytest.mark.parametrize("packed", [False, True])
def test_a_block_at_few_positions_gives_what_stands_there(states, packed):
    block = EncoderBlock(2, 16, initializer_range=0.4)
    batch, length = states.shape[:2]
    numbers = np.tile(1 + (np.arange(length) >= 2), (batch, 1)).astype("int32")
    looks = {"cell_numbers": numbers} if packed else {"padding_mask": np.ones_like(numbers)}
    positions = np.tile(np.array([[length - 1, 0]], "int32"), (batch, 1))
    everywhere = ops.convert_to_numpy(block(states, **looks))
    found = ops.convert_to_numpy(block(states, **looks, positions=positions))
    np.testing.assert_allclose(found, everywhere[:, [-1, 0]], atol=1e-6)
