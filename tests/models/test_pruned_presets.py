"""Backbones whose blocks differ in heads and widths are ordinary models."""

import keras
import numpy as np
import pytest

from keras_geneformer import (
    GeneformerBackbone,
    GeneformerCellClassifier,
    add_lora,
    attention_by_gene,
    attention_weights,
    merge_lora,
    perturb,
)
from keras_geneformer.models.backbone_of import copy_backbone
from keras_geneformer.testing import synthetic_dataset, tiny_backbone

pytestmark = pytest.mark.tensors

UNEVEN = {"num_heads": [3, 1, 2], "head_dim": 8, "intermediate_dim": [20, 64, 5]}
CELLS = {
    "token_ids": np.array([[5, 7, 2, 9], [6, 8, 0, 0]]),
    "padding_mask": np.array([[1, 1, 1, 1], [1, 1, 0, 0]]),
}


@pytest.fixture(scope="module")
def uneven():
    return tiny_backbone(**UNEVEN, initializer_range=0.2)


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_saved_and_read_again_it_gives_the_same_bits(uneven, tmp_path):
    uneven.save_to_preset(tmp_path / "uneven")
    again = GeneformerBackbone.from_preset(tmp_path / "uneven")
    assert again.get_config() == uneven.get_config()
    assert (again.num_heads, again.intermediate_dim) == ((3, 1, 2), (20, 64, 5))
    np.testing.assert_array_equal(numpy(again(CELLS)), numpy(uneven(CELLS)))
    uneven.save(tmp_path / "uneven.keras")
    again = keras.saving.load_model(tmp_path / "uneven.keras")
    np.testing.assert_array_equal(numpy(again(CELLS)), numpy(uneven(CELLS)))


def test_derived_models_give_what_the_whole_gives(uneven):
    whole = numpy(uneven(CELLS))
    positions = np.array([[2, 0], [1, 0]])
    read = numpy(uneven.read_out_model()({**CELLS, "mask_positions": positions}))
    np.testing.assert_allclose(
        read, np.take_along_axis(whole, positions[:, :, None], 1), rtol=1e-5, atol=1e-5
    )
    packed = uneven.packed_model()(
        {
            "token_ids": np.array([[5, 7, 2, 9, 6, 8]]),
            "cell_numbers": np.array([[1, 1, 1, 1, 2, 2]]),
            "positions": np.array([[0, 1, 2, 3, 0, 1]]),
        }
    )
    expected = np.concatenate([whole[0], whole[1, :2]])
    np.testing.assert_allclose(numpy(packed)[0], expected, rtol=1e-5, atol=1e-5)


def test_blocks_on_top_of_it_have_the_shape_of_the_widest(uneven):
    classifier = GeneformerCellClassifier(uneven, num_classes=2, head_layers=1)
    head = classifier.get_layer("head_block_0")
    assert (head.num_heads, head.head_dim, head.intermediate_dim) == (3, 8, 64)


def test_it_takes_adapters_and_has_its_shape_when_they_are_merged(uneven):
    backbone = copy_backbone(uneven)
    add_lora(backbone, rank=2)
    query = backbone.get_layer("encoder_block_1").attention.query
    query.lora_kernel_b.assign(np.ones((2, 8)))
    adapted = numpy(backbone(CELLS))
    merge_lora(backbone)
    np.testing.assert_allclose(numpy(backbone(CELLS)), adapted, rtol=1e-4, atol=1e-4)
    assert numpy(query.kernel).shape == (32, 8)


def test_attention_is_told_of_the_heads_there_are(uneven):
    cells = synthetic_dataset(4)
    table = attention_by_gene(uneven, cells, genes=["GENE1"])
    assert list(zip(table["layer"], table["head"])) == [
        *((1, 1), (1, 2), (1, 3)),
        *((2, 1), (3, 1), (3, 2)),
    ]
    weights = attention_weights(uneven, cells[0][:6])
    assert np.isnan(weights).any(axis=(2, 3)).tolist() == [
        [False, False, False],
        [False, True, True],
        [False, False, True],
    ]
    np.testing.assert_allclose(weights[1, 0].sum(axis=-1), 1, atol=1e-5)


def test_perturbing_takes_it(uneven):
    found = perturb(uneven, synthetic_dataset(2), kind="delete", genes=["GENE1"])
    assert len(found)
    assert np.isfinite(found["value"]).all()
