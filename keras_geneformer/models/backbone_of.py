"""Whatever holds a backbone, its backbone."""

import os
from typing import Any

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
    """A backbone of the same configuration and weights that can be trained without the first."""
    copy = type(backbone).from_config(backbone.get_config())
    copy.set_weights(backbone.get_weights())
    return copy
