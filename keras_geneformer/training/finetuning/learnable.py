"""Which weights learn: what fine-tuning does to a model before the first step and at the end."""

from typing import Any

from keras_geneformer.compression.lora import add_lora, merge_lora
from keras_geneformer.compression.pruning import keep_zeros, prune_smallest, release_zeros
from keras_geneformer.compression.quantized_backbone import quantize_dense
from keras_geneformer.training.finetuning.freezing import freeze_backbone, frozen_part
from keras_geneformer.training.finetuning.settings import FinetuneSettings


def prepare_learnable(model: Any, settings: FinetuneSettings) -> None:
    """Quantize, add adapters, freeze and prune, in this order, as the settings say.

    Args:
        model: has a `backbone`, which is changed in place; the head learns in any case.
        settings: `quantize`, `lora`, `lora_targets`, `lora_alpha`, `freeze_layers`,
            `freeze_embeddings`, `unfreeze` and `prune` (where it has no schedule). Adapters stand
            in the blocks that are not frozen; all blocks are quantized, and pruned.

    Raises:
        ValueError: the backbone has fewer blocks than are to be frozen, no such layers as
            `lora_targets`, or a rank is too high for it.

    Example:
        >>> from keras_geneformer import GeneformerCellClassifier
        >>> from keras_geneformer.testing import tiny_backbone
        >>> model = GeneformerCellClassifier(tiny_backbone(), classes=["B", "T"])
        >>> settings = FinetuneSettings(lora=4, quantize="int8", freeze_layers=2)
        >>> prepare_learnable(model, settings)
        >>> len(model.backbone.trainable_variables)
        4
        >>> finish_learnable(model, settings)
        >>> model.backbone.get_layer("encoder_block_0").intermediate.kernel.dtype
        'float32'
    """
    backbone = model.backbone
    part = frozen_part(0.0, backbone.num_layers, settings)
    if settings.quantize is not None:
        quantize_dense(backbone, settings.quantize)
    if settings.lora is not None:
        if settings.freeze_layers == backbone.num_layers:
            raise ValueError(
                f"Received lora={settings.lora} and freeze_layers={settings.freeze_layers}, which "
                "is all blocks: adapters stand in blocks that are not frozen. Freeze fewer."
            )
        for index in range(settings.freeze_layers, backbone.num_layers):
            block = backbone.get_layer(f"encoder_block_{index}")
            add_lora(block, settings.lora, settings.lora_targets, settings.lora_alpha)
    freeze_backbone(backbone, *part)
    if settings.prune is not None and settings.prune_schedule is None:
        keep_zeros(backbone, prune_smallest(backbone, settings.prune))


def finish_learnable(model: Any, settings: FinetuneSettings) -> None:
    """Make an ordinary model of it again: adapters merged, quantized kernels float.

    Args:
        model: as `prepare_learnable` left it, trained.
        settings: the same. With `merge=False` adapters and quantized kernels stay.
    """
    if settings.prune is not None:
        release_zeros(model.backbone)
    if settings.lora is not None and settings.merge:
        merge_lora(model.backbone)
