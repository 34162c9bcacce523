from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_geneformer.compression.lora import add_lora
from keras_geneformer.testing import tiny_backbone
from keras_geneformer.training.finetuning.freezing import freeze_at, freeze_backbone, frozen_part

pytestmark = pytest.mark.tensors


def learning(backbone):
    return [layer.name for layer in backbone.layers if layer.trainable_weights]


def settings(**options):
    given = {"freeze_layers": 0, "freeze_embeddings": None, "lora": None, "unfreeze": None}
    return SimpleNamespace(**(given | options))


def test_freezes_from_the_input_up_and_thaws():
    backbone = tiny_backbone()
    freeze_backbone(backbone, 2)
    assert learning(backbone) == ["encoder_block_2"]
    freeze_backbone(backbone, 3)
    assert learning(backbone) == []
    freeze_backbone(backbone, 0, embeddings=True)
    assert learning(backbone) == [f"encoder_block_{index}" for index in range(3)]
    freeze_backbone(backbone, 2, embeddings=False)
    assert learning(backbone) == ["embeddings", "encoder_block_2"]
    freeze_backbone(backbone, 0)
    assert len(learning(backbone)) == 4
    assert len(backbone.trainable_weights) == len(backbone.weights)


def test_refuses_more_blocks_than_there_are():
    message = "Received freeze_layers=4; this backbone has 3 encoder blocks: expected 0 to 3"
    with pytest.raises(ValueError, match=message):
        freeze_backbone(tiny_backbone(), 4)


def test_what_is_frozen_computes_without_dropout():
    backbone = tiny_backbone(num_layers=2, dropout=0.5)
    cells = {"token_ids": np.array([[5, 7, 2]]), "padding_mask": np.ones((1, 3), "int32")}
    below = backbone.hidden_state_model(1)

    def states(training):
        return keras.ops.convert_to_numpy(below(cells, training=training))

    as_at_inference = states(False)
    freeze_backbone(backbone, 1)
    np.testing.assert_array_equal(states(True), as_at_inference)
    add_lora(backbone.get_layer("encoder_block_0"), 2)
    assert (states(True) != as_at_inference).any()


def test_blocks_thaw_one_by_one_from_the_top_and_the_embeddings_last():
    gradual = settings(unfreeze=0.1)
    parts = [frozen_part(epoch, 3, gradual) for epoch in (0, 0.05, 0.1, 0.2, 0.3, 0.4, 9)]
    assert parts == [(3, True), (3, True), (2, True), (1, True), (0, True), (0, False), (0, False)]
    above_one = settings(unfreeze=1, freeze_layers=1)
    assert [frozen_part(epoch, 3, above_one) for epoch in (0, 1, 2, 9)] == [
        (3, True),
        (2, True),
        (1, True),
        (1, True),
    ]
    kept = settings(unfreeze=1, freeze_embeddings=True)
    assert frozen_part(9, 3, kept) == (0, True)
    assert frozen_part(0, 3, settings(lora=4)) == (0, True)
    assert frozen_part(0, 3, settings(lora=4, freeze_embeddings=False)) == (0, False)

    backbone = tiny_backbone()
    assert freeze_at(backbone, gradual, 0.0)
    assert not freeze_at(backbone, gradual, 0.05)
    assert freeze_at(backbone, gradual, 0.1)
    assert learning(backbone) == ["encoder_block_2"]
