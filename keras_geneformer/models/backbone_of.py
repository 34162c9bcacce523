"""Whatever holds a backbone, its backbone."""

import os
from typing import Any

from keras_geneformer.compression.lora import refuse_adapters
from keras_geneformer.compression.quantized_layers import refuse_quantized
from keras_geneformer.models.backbone import GeneformerBackbone


def backbone_of(model_or_preset: Any) -> GeneformerBackbone:
    """The backbone of a model, or of a preset.

    Args:
        model_or_preset: a `GeneformerBackbone`, a model that stands on one, or the name or
            directory of a preset, which is loaded.

    Returns:
        The backbone itself, not a copy.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(model_or_preset, (str, os.PathLike)):
        return GeneformerBackbone.from_preset(model_or_preset)
    backbone = getattr(model_or_preset, "backbone", model_or_preset)
    if not isinstance(backbone, GeneformerBackbone):
        raise ValueError(
            f"Received a {type(model_or_preset).__name__} as the model; expected a "
            "GeneformerBackbone, a Geneformer model that has one, or a preset's name or directory."
        )
    return backbone


def copy_backbone(backbone: GeneformerBackbone) -> GeneformerBackbone:
    """A backbone of the same configuration and weights that can be trained without the first.

    Raises:
        ValueError: the backbone is quantized or has adapters.
    """
    refuse_quantized(backbone, "trained")
    refuse_adapters(backbone, "copied to be trained")
    copy = type(backbone).from_config(backbone.get_config())
    copy.set_weights(backbone.get_weights())
    return copy


def model_in(model: Any, dtype: str | None) -> Any:
    """A model that computes in float32 or bfloat16, whatever it was loaded to compute in.

    Args:
        model: a backbone, or a classifier on one.
        dtype: `"float32"`; `"bfloat16"`, computing in it on float32 weights (Keras's
            `mixed_bfloat16`); None for what it is.

    Returns:
        The model itself where it computes so, else a copy.

    Raises:
        ValueError: another dtype, or a model that is quantized or has adapters.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> model_in(tiny_backbone(), "bfloat16").compute_dtype
        'bfloat16'
    """
    policies = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
    if dtype is None:
        return model
    if dtype not in policies:
        raise ValueError(f"Received dtype={dtype!r}; expected 'float32' or 'bfloat16'.")
    if backbone_of(model).compute_dtype == dtype:
        return model
    refuse_quantized(model, f"made to compute in {dtype}")
    refuse_adapters(model, f"made to compute in {dtype}")
    config = model.get_config()
    part = config["backbone"]["config"] if "backbone" in config else config
    part["dtype"] = policies[dtype]
    copy = type(model).from_config(config)
    copy.set_weights(model.get_weights())
    return copy
