"""Which weights of a model learn: what fine-tuning does to it before the first step and at the end."""

from typing import Any

from keras_geneformer.compression.lora import add_lora, adapted_layers, merge_lora
from keras_geneformer.training.finetuning.freezing import freeze_backbone
from keras_geneformer.training.finetuning.settings import FinetuneSettings


def prepare_learnable(model: Any, settings: FinetuneSettings) -> None:
    """Quantize, add adapters, freeze and prune, in this order, as the settings say.

    Args:
        model: has a `backbone`, which is changed in place; the head learns in any case.
        settings: `quantize`, `lora`, `lora_targets`, `lora_alpha`, `freeze_layers`,
            `freeze_embeddings` and `prune`. With `lora`, adapters stand in the blocks that are not
            frozen, and the embeddings learn only where `freeze_embeddings` is False.

    Raises:
        ValueError: the backbone has fewer blocks than are to be frozen, or no such layers as
            `lora_targets`.
    """
    backbone = model.backbone
    frozen, embeddings = settings.freeze_layers, settings.freeze_embeddings
    if settings.lora is not None:
        embeddings = embeddings is not False
        for index in range(frozen, backbone.num_layers):
            block = backbone.get_layer(f"encoder_block_{index}")
            add_lora(block, settings.lora, settings.lora_targets, settings.lora_alpha)
    freeze_backbone(backbone, frozen, embeddings)


def finish_learnable(model: Any, settings: FinetuneSettings) -> None:
    """Make an ordinary model of it again: adapters merged, quantized kernels float.

    Args:
        model: as `prepare_learnable` left it, trained.
        settings: the same.
    """
    if settings.lora is not None and adapted_layers(model):
        merge_lora(model.backbone)
