"""Keeping the lower part of a backbone as it was pretrained."""

from typing import Any


def freeze_backbone(backbone: Any, layers: int) -> None:
    """Freeze the embeddings and the first encoder blocks of a backbone.

    The published package's `freeze_layers` freezes blocks alone; here the embeddings below them are
    frozen too, so that nothing is computed backwards through the frozen blocks.

    Args:
        backbone: a `GeneformerBackbone`; it is changed in place.
        layers: how many blocks, from the input up; with 0 nothing is frozen, embeddings included.

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
    backbone.get_layer("embeddings").trainable = layers == 0
    for index in range(backbone.num_layers):
        backbone.get_layer(f"encoder_block_{index}").trainable = index >= layers
