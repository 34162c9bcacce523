"""Whatever model there is: as it was given, or as a preset holds it."""

import os
from typing import Any

from keras_geneformer.models.presets import load_whole, preset_vocabulary


def model_of(model_or_preset: Any, vocabulary: Any = None) -> tuple[Any, Any]:
    """A model with whatever head it has, and its vocabulary.

    Args:
        model_or_preset: a backbone or a model on one, or the name or directory of a preset, or of
            a published checkpoint.
        vocabulary: the `GeneVocabulary`, where it is known.

    Returns:
        The model, and the vocabulary that was given, else the preset's, else None.

    Raises:
        FileNotFoundError: there is no such preset.

    Example:
        >>> model, vocabulary = model_of("geneformer_mini")
        >>> type(model).__name__, vocabulary.size == model.backbone.vocabulary_size
        ('GeneformerMaskedLM', True)
    """
    if not isinstance(model_or_preset, (str, os.PathLike)):
        return model_or_preset, vocabulary
    model = load_whole(model_or_preset)
    return model, preset_vocabulary(model_or_preset) if vocabulary is None else vocabulary
