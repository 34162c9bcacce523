"""Which part of a backbone stays as it was pretrained, and until when."""

from typing import Any

from keras_geneformer.compression.lora import freeze, thaw


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
    _check(layers, backbone.num_layers)
    blocks = [backbone.get_layer(f"encoder_block_{index}") for index in range(backbone.num_layers)]
    below = layers > 0 if embeddings is None else embeddings
    for layer, frozen in [(backbone.get_layer("embeddings"), below)] + [
        (block, index < layers) for index, block in enumerate(blocks)
    ]:
        if frozen:
            freeze(layer)
        else:
            thaw(layer)


def frozen_part(epoch: float, num_layers: int, settings: Any) -> tuple[int, bool]:
    """What is frozen at some point of a fine-tuning.

    With `unfreeze`, the head learns alone at first, and each time so many epochs are over, one more
    block learns, from the top (gradual unfreezing: Howard and Ruder, "Universal language model
    fine-tuning for text classification", 2018), down to `freeze_layers`. The embeddings, where they
    learn at all, are last, after the lowest block.

    Args:
        epoch: passes over the training cells that are done, fractions included.
        num_layers: encoder blocks of the backbone.
        settings: `FinetuneSettings`, of which `freeze_layers`, `freeze_embeddings`, `lora` and
            `unfreeze` count. With `lora` the embeddings are frozen unless `freeze_embeddings` is
            False.

    Returns:
        The number of blocks that are frozen, from the input up, and whether the embeddings are.

    Raises:
        ValueError: the backbone has fewer blocks than `freeze_layers`.

    Example:
        >>> from types import SimpleNamespace
        >>> settings = SimpleNamespace(
        ...     freeze_layers=1, freeze_embeddings=None, lora=None, unfreeze=0.5)
        >>> [frozen_part(epoch, 6, settings)[0] for epoch in (0, 0.4, 0.5, 1, 9)]
        [6, 6, 5, 4, 1]
    """
    layers = settings.freeze_layers
    _check(layers, num_layers)
    embeddings = settings.freeze_embeddings
    if embeddings is None:
        embeddings = layers > 0 or settings.lora is not None
    if settings.unfreeze is None:
        return layers, embeddings
    # .3 epochs are 3 times .1, and not the 2.9999 of floating point.
    thawed = int(epoch / settings.unfreeze + 1e-6)
    return max(layers, num_layers - thawed), embeddings or thawed <= num_layers - layers


def freeze_at(backbone: Any, settings: Any, epoch: float = 0.0) -> bool:
    """Freeze what is to be frozen after so many epochs.

    Args:
        backbone: a `GeneformerBackbone`; it is changed in place.
        settings: `FinetuneSettings`.
        epoch: passes over the training cells that are done.

    Returns:
        Whether other weights learn than before. A compiled step is then to be compiled again, with
        an optimizer that goes on from the one before (`optimizer_state.carry_moments`).
    """
    part = frozen_part(epoch, backbone.num_layers, settings)
    blocks = [backbone.get_layer(f"encoder_block_{index}") for index in range(backbone.num_layers)]
    now = (
        sum(not block.trainable for block in blocks),
        not backbone.get_layer("embeddings").trainable,
    )
    if now == part:
        return False
    freeze_backbone(backbone, *part)
    return True


def _check(layers: int, num_layers: int) -> None:
    if not 0 <= layers <= num_layers:
        raise ValueError(
            f"Received freeze_layers={layers}; this backbone has {num_layers} encoder "
            f"blocks: expected 0 to {num_layers}."
        )
