"""Rows of several cells: the hidden states and gradients of each are those of the cell alone."""

import warnings

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.testing import tiny_backbone

pytestmark = pytest.mark.tensors

LENGTH, ROW = 12, 32


@pytest.fixture(scope="module")
def backbone():
    keras.utils.set_random_seed(7)
    return tiny_backbone(num_layers=2, initializer_range=0.3, dropout=0.0)


def alone(lengths, seed):
    """One cell a row; what stands behind each is garbage."""
    rng = np.random.default_rng(seed)
    token_ids = rng.integers(0, 122, (len(lengths), LENGTH)).astype("int32")
    padding_mask = (np.arange(LENGTH) < np.array(lengths)[:, None]).astype("int32")
    return {"token_ids": token_ids, "padding_mask": padding_mask}


def packed(cells, order, seed):
    """The cells in two rows, in this order, among garbage; and the place of each."""
    rng = np.random.default_rng(seed)
    rows = {
        "token_ids": rng.integers(0, 122, (2, ROW)).astype("int32"),
        "cell_numbers": np.zeros((2, ROW), "int32"),
        "positions": np.zeros((2, ROW), "int32"),
    }
    places, ends = {}, [0, 0]
    for number, cell in enumerate(order):
        row, length = number % 2, int(cells["padding_mask"][cell].sum())
        place = slice(ends[row], ends[row] + length)
        rows["token_ids"][row, place] = cells["token_ids"][cell, :length]
        rows["cell_numbers"][row, place] = number + 1
        rows["positions"][row, place] = np.arange(length)
        places[cell] = (row, place)
        ends[row] += length
    return rows, places


def states(model, inputs, **options):
    return ops.convert_to_numpy(model(inputs, **options))


def gradients(model, inputs, wanted):
    """Gradients of a weighted sum of the hidden states to every weight of the model."""
    values = [variable.value for variable in model.trainable_variables]
    frozen = [variable.value for variable in model.non_trainable_variables]

    def total(hidden):
        return ops.sum(hidden * ops.convert_to_tensor(wanted))

    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = total(model(inputs))
        found = tape.gradient(loss, values)
        assert sum(isinstance(gradient, tf.IndexedSlices) for gradient in found) == 1
        found = [tf.convert_to_tensor(gradient) for gradient in found]
    elif keras.config.backend() == "jax":
        import jax

        def loss(values):
            return total(model.stateless_call(values, frozen, inputs)[0])

        found = jax.jit(jax.grad(loss))(values)
    else:
        model.zero_grad()
        total(model(inputs)).backward()
        found = [variable.value.grad for variable in model.trainable_variables]
    paths = [variable.path for variable in model.trainable_variables]
    return dict(zip(paths, map(ops.convert_to_numpy, found), strict=True))


@settings(max_examples=12, deadline=None)
@given(
    lengths=st.lists(st.integers(1, LENGTH), min_size=5, max_size=5).filter(
        lambda lengths: sum(lengths) - min(lengths) <= ROW
    ),
    order=st.permutations(range(5)),
    seed=st.integers(0, 1000),
)
def test_hidden_states_are_those_of_the_cell_alone(backbone, lengths, order, seed):
    cells = alone(lengths, seed)
    expected = states(backbone, cells)
    rows, places = packed(cells, order, seed + 1)
    received = states(backbone.packed_model(), rows)
    assert np.isfinite(received).all()
    for cell, (row, place) in places.items():
        np.testing.assert_allclose(
            received[row, place], expected[cell, : lengths[cell]], atol=1e-5, rtol=1e-5
        )


def test_gradients_are_those_of_the_cells_alone(backbone):
    lengths = [12, 5, 1, 8, 3]
    cells = alone(lengths, 3)
    rows, places = packed(cells, [3, 0, 2, 4, 1], 4)
    rng = np.random.default_rng(5)
    wanted = rng.normal(size=(5, LENGTH, 32)).astype("float32")
    wanted *= cells["padding_mask"][..., None]
    placed = np.zeros((2, ROW, 32), "float32")
    for cell, (row, place) in places.items():
        placed[row, place] = wanted[cell, : lengths[cell]]
    expected = gradients(backbone, cells, wanted)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*IndexedSlices")
        received = gradients(backbone.packed_model(), rows, placed)
    assert received.keys() == expected.keys()
    # The biases of keys have no gradient but rounding errors.
    noise = 1e-6 * max(np.abs(gradient).max() for gradient in expected.values())
    for path, gradient in expected.items():
        atol = max(noise, 1e-5 * np.abs(gradient).max())
        np.testing.assert_allclose(received[path], gradient, atol=atol, rtol=1e-5)


def test_with_dropout_a_row_is_another_one_each_time():
    backbone = tiny_backbone(num_layers=1, dropout=0.3)
    rows, _ = packed(alone([12, 5, 1, 8], 3), range(4), 4)
    model = backbone.packed_model()
    first, second = (states(model, rows, training=True) for _ in range(2))
    assert np.isfinite(first).all()
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(states(model, rows), states(model, rows))


def test_the_packed_model_adds_nothing_to_the_backbone(tmp_path):
    backbone = tiny_backbone(num_layers=1, dropout=0.0)
    masked_lm = GeneformerMaskedLM(backbone)
    before = [variable.path for variable in masked_lm.variables]
    layers, config = [layer.name for layer in backbone.layers], backbone.get_config()
    rows, _ = packed(alone([12, 5, 1, 8], 3), range(4), 4)
    model = backbone.packed_model()
    assert backbone.packed_model() is model
    assert {id(one) for one in model.variables} == {id(one) for one in backbone.variables}
    assert [variable.path for variable in masked_lm.variables] == before
    assert [layer.name for layer in backbone.layers] == layers
    assert backbone.get_config() == config
    masked_lm.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert len(again.variables) == len(before)
    np.testing.assert_array_equal(states(again.backbone.packed_model(), rows), states(model, rows))
