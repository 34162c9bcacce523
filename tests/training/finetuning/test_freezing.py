import pytest

from keras_geneformer.testing import tiny_backbone
from keras_geneformer.training.finetuning.freezing import freeze_backbone

pytestmark = pytest.mark.tensors


def test_freezes_from_the_input_up_and_thaws():
    backbone = tiny_backbone()
    freeze_backbone(backbone, 2)
    layers = [layer.name for layer in backbone.layers if layer.trainable_weights]
    assert layers == ["encoder_block_2"]
    freeze_backbone(backbone, 0)
    assert len([layer for layer in backbone.layers if layer.trainable_weights]) == 4


def test_refuses_more_blocks_than_there_are():
    message = "Received freeze_layers=4; this backbone has 3 encoder blocks: expected 0 to 3"
    with pytest.raises(ValueError, match=message):
        freeze_backbone(tiny_backbone(), 4)
