"""Keeping the lower part of a backbone as it was pretrained."""

from typing import Any

from keras_geneformer.compression.lora import thaw


def freeze_backbone(backbone: Any, layers: int, embeddings: bool | None = None) -> None:
    """Freeze the first encoder blocks of a backbone, its embeddings, or both; thaw the rest.

    What is frozen computes as at inference, without dropout. The published package's
    `freeze_layers` freezes blocks alone; here the embeddings below them are frozen too, unless
    told otherwise, so that nothing is computed backwards through the frozen blocks. Of a block with
    adapters (`compression.lora`) the adapters alone are thawed.

    Args:
        backbone: a `GeneformerBackbone`; it is changed in place.
        layers: how many blocks, from the input up; all with `backbone.num_layers`.
        embeddings: whether the embeddings are frozen. Default: where any block is.

    Raises:
        ValueError: the backbone has fewer blocks.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> backbone = tiny_backbone()
        >>> freeze_backbone(backbone, 1)
        >>> backbone.get_layer("encoder_block_0").trainable
        False
    """
    if not 0 <= layers <= backbone.num_layers:
        raise ValueError(
            f"Received freeze_layers={layers}; this backbone has {backbone.num_layers} encoder "
            f"blocks: expected 0 to {backbone.num_layers}."
        )
    backbone.get_layer("embeddings").trainable = False
    for index in range(layers):
        backbone.get_layer(f"encoder_block_{index}").trainable = False
    thaw_backbone(backbone, layers, embeddings)


def thaw_backbone(backbone: Any, layers: int, embeddings: bool | None = None) -> None:
    """Let the blocks above the first learn, and with them, it may be, the embeddings.

    Gradual unfreezing (Howard and Ruder, "Universal language model fine-tuning for text
    classification", 2018) calls this again and again with fewer `layers`. A step compiled before
    goes on without the blocks thawed here.

    Args:
        backbone: a `GeneformerBackbone`; it is changed in place.
        layers: how many blocks, from the input up, stay as they are.
        embeddings: whether the embeddings stay as they are. Default: where any block does.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> backbone = tiny_backbone()
        >>> freeze_backbone(backbone, 3)
        >>> thaw_backbone(backbone, 2)
        >>> [layer.name for layer in backbone.layers if layer.trainable_weights]
        ['encoder_block_2']
    """
    if not (layers > 0 if embeddings is None else embeddings):
        thaw(backbone.get_layer("embeddings"))
    for index in range(layers, backbone.num_layers):
        thaw(backbone.get_layer(f"encoder_block_{index}"))
