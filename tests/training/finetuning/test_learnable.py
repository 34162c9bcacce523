import keras
import numpy as np
import pytest

from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.testing import tiny_backbone
from keras_geneformer.training.finetuning.learnable import finish_learnable, prepare_learnable
from keras_geneformer.training.finetuning.settings import FinetuneSettings

pytestmark = pytest.mark.tensors


def classifier():
    return GeneformerCellClassifier(tiny_backbone(num_layers=2), classes=["B", "T"])


def values(model):
    return {variable.path: keras.ops.convert_to_numpy(variable) for variable in model.weights}


def test_adapters_on_a_quantized_backbone_end_as_an_ordinary_preset(tmp_path):
    model = classifier()
    exact = values(model)
    settings = FinetuneSettings(lora=4, quantize="int8", freeze_layers=1, lora_targets=("value",))
    prepare_learnable(model, settings)
    adapted = "encoder_block_1/attention/value"
    assert [variable.path for variable in model.trainable_variables] == [
        f"{adapted}/lora_kernel_a",
        f"{adapted}/lora_kernel_b",
        "pooler/kernel",
        "pooler/bias",
        "scores/kernel",
        "scores/bias",
    ]
    assert not model.backbone.get_layer("encoder_block_0").trainable
    assert not model.backbone.get_layer("embeddings").trainable
    assert model.backbone.get_layer("encoder_block_1").trainable
    value = model.backbone.get_layer("encoder_block_1").attention.value
    value.lora_kernel_b.assign(np.full((4, 32), 0.5))
    learned = keras.ops.convert_to_numpy(value.lora_kernel_a).sum(axis=1, keepdims=True) * 0.5
    message = (
        f"{adapted} has an adapter; a preset holds ordinary weights"
        r"\. Call keras_geneformer\.merge_lora\(model\) first, or save the adapters alone"
    )
    with pytest.raises(ValueError, match=message):
        model.save_to_preset(tmp_path / "early")
    assert not (tmp_path / "early").exists()

    finish_learnable(model, settings)
    merged = values(model)
    assert list(merged) == list(exact)
    for path, array in merged.items():
        expected = exact[path] + (learned if path == f"{adapted}/kernel" else 0.0)
        # int8: a half of a step of 1/127 of the greatest weight, about .08.
        np.testing.assert_allclose(array, expected, atol=4e-4, err_msg=path)
        assert array.dtype == np.float32
    model.save_to_preset(tmp_path / "late")
    again = values(GeneformerCellClassifier.from_preset(tmp_path / "late"))
    for path, array in merged.items():
        np.testing.assert_array_equal(again[path], array, err_msg=path)


def test_a_pruned_backbone_is_held_at_zero_until_the_end():
    model = classifier()
    settings = FinetuneSettings(prune=0.5, freeze_embeddings=True)
    prepare_learnable(model, settings)
    held = [variable for variable in model.weights if variable.constraint is not None]
    assert len(held) == 2 * 6
    assert all((keras.ops.convert_to_numpy(kernel) == 0).mean() == 0.5 for kernel in held)
    assert not model.backbone.get_layer("embeddings").trainable_weights
    finish_learnable(model, settings)
    assert all(variable.constraint is None for variable in model.weights)


def test_adapters_need_a_block_that_is_not_frozen():
    with pytest.raises(ValueError, match=r"^Received lora=4 and freeze_layers=2, which is all blo"):
        prepare_learnable(classifier(), FinetuneSettings(lora=4, freeze_layers=2))
