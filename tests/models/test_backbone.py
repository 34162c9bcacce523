import json
import re

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_geneformer.compression.lora import add_lora, merge_lora
from keras_geneformer.models.backbone import GeneformerBackbone
from keras_geneformer.models.backbone_of import backbone_of, copy_backbone, model_in
from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.testing import tiny_backbone, tiny_vocabulary

pytestmark = pytest.mark.tensors

LENGTH = 12


@pytest.fixture(scope="module")
def backbone():
    keras.utils.set_random_seed(7)
    return tiny_backbone(num_layers=2, initializer_range=0.3)


def cells(lengths, seed=0, length=LENGTH):
    """Cells of random genes; what stands behind them is garbage."""
    rng = np.random.default_rng(seed)
    token_ids = rng.integers(0, 122, (len(lengths), length)).astype("int32")
    padding_mask = (np.arange(length) < np.array(lengths)[:, None]).astype("int32")
    return {"token_ids": token_ids, "padding_mask": padding_mask}


def states(model, inputs):
    return keras.ops.convert_to_numpy(model(inputs)).astype("float32")


@settings(max_examples=12, deadline=None)
@given(
    lengths=st.lists(st.integers(1, LENGTH), min_size=4, max_size=4),
    order=st.permutations(range(4)),
    seed=st.integers(0, 1000),
)
def test_padding_and_batch_order_change_nothing(backbone, lengths, order, seed):
    inputs = cells(lengths, seed)
    expected = states(backbone, inputs)
    # More padding, of other garbage, and another order.
    real = inputs["padding_mask"].astype(bool)
    more = cells(lengths, seed + 1, length=19)
    more["token_ids"][:, :LENGTH][real] = inputs["token_ids"][real]
    received = states(backbone, {key: value[order] for key, value in more.items()})
    for row, cell in enumerate(order):
        length = lengths[cell]
        np.testing.assert_allclose(received[row, :length], expected[cell, :length], atol=1e-5)


def test_hidden_states_are_those_of_the_blocks_up_to_there(backbone):
    inputs = cells([12, 5, 1, 8])
    expected = backbone.get_layer("embeddings")(inputs["token_ids"])
    for layer in range(3):
        if layer:
            block = backbone.get_layer(f"encoder_block_{layer - 1}")
            expected = block(expected, inputs["padding_mask"])
        model = backbone.hidden_state_model(layer)
        np.testing.assert_array_equal(states(model, inputs), keras.ops.convert_to_numpy(expected))
        # No block above runs: it is no part of the model.
        names = {part.name for part in model.layers if part.weights}
        assert names == {"embeddings", *(f"encoder_block_{index}" for index in range(layer))}
        same = backbone.hidden_state_model(layer - 3)
        assert same.name == model.name
        assert all(one is other for one, other in zip(same.weights, model.weights, strict=True))
    assert backbone.hidden_state_model().name == "hidden_state_1"


@pytest.mark.parametrize("layer", [3, -4, 1.5])
def test_no_such_layer(backbone, layer):
    message = (
        f"Received layer={layer}; this model has 2 encoder blocks: expected 0 to 2, or -3 to -1."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        backbone.hidden_state_model(layer)


def test_configuration_round_trip(backbone):
    config = json.loads(json.dumps(backbone.get_config()))
    again = GeneformerBackbone.from_config(config)
    assert again.get_config() == backbone.get_config()
    assert [weight.path for weight in again.weights] == [weight.path for weight in backbone.weights]
    assert again.vocabulary_checksum == tiny_vocabulary().checksum


def test_keras_file_round_trip(tmp_path):
    backbone = tiny_backbone(cls=True, num_layers=1, activation="gelu", attention_dropout=0.3)
    backbone.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is GeneformerBackbone
    assert again.vocabulary_checksum == tiny_vocabulary(cls=True).checksum
    assert again.special_token_ids == (0, 1, 2, 3)
    assert (again.activation, again.attention_dropout, again.dropout) == ("gelu", 0.3, 0.02)
    inputs = cells([12, 5, 1, 8])
    np.testing.assert_array_equal(states(again, inputs), states(backbone, inputs))


def test_mixed_precision(backbone):
    mixed = GeneformerBackbone.from_config(backbone.get_config() | {"dtype": "mixed_bfloat16"})
    mixed.set_weights(backbone.get_weights())
    assert all(keras.backend.standardize_dtype(w.dtype) == "float32" for w in mixed.weights)
    inputs = cells([12, 5, 1, 8])
    assert keras.backend.standardize_dtype(mixed(inputs).dtype) == "bfloat16"
    real = inputs["padding_mask"].astype(bool)
    difference = np.abs(states(mixed, inputs) - states(backbone, inputs))[real]
    assert difference.mean() < 0.02
    assert difference.max() < 0.2


def test_a_copy_has_weights_of_its_own(backbone):
    copy = copy_backbone(backbone)
    for one, other in zip(copy.weights, backbone.weights, strict=True):
        assert one is not other
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other)
        )


def test_backbone_of(backbone):
    assert backbone_of(backbone) is backbone
    assert backbone_of(GeneformerMaskedLM(backbone)) is backbone
    message = (
        "^Received a Sequential as the model; expected a GeneformerBackbone, a Geneformer model "
        r"that has one, or a preset's name or directory\.$"
    )
    with pytest.raises(ValueError, match=message):
        backbone_of(keras.Sequential())


def test_a_model_with_adapters_is_copied_when_they_are_merged():
    backbone = tiny_backbone(num_layers=1)
    add_lora(backbone, rank=2)
    message = r"has adapters \(encoder_block_0/attention/query\) and cannot be {}\. Call keras_gene"
    with pytest.raises(ValueError, match=message.format("copied to be trained")):
        copy_backbone(backbone)
    with pytest.raises(ValueError, match=message.format("made to compute in bfloat16")):
        model_in(backbone, "bfloat16")
    merge_lora(backbone)
    assert copy_backbone(backbone).count_params() == backbone.count_params()
