"""Geneformer as keras_hub classes: an adapter for those whose code is written for keras_hub.

`pip install 'keras_geneformer[hub]'`. Importing it registers the classes, so that
`keras_hub.models.Backbone.from_preset` finds them.
"""

import importlib.util

if importlib.util.find_spec("keras_hub") is None:
    raise ImportError(
        "keras_geneformer.keras_hub needs keras_hub, which is not installed. Install it with "
        "`pip install 'keras_geneformer[hub]'`; the models of keras_geneformer itself need none "
        "of it."
    )

from keras_geneformer.keras_hub.backbone import GeneformerBackbone
from keras_geneformer.keras_hub.masked_lm import GeneformerMaskedLM
from keras_geneformer.keras_hub.masked_lm_preprocessor import GeneformerMaskedLMPreprocessor

__all__ = ["GeneformerBackbone", "GeneformerMaskedLM", "GeneformerMaskedLMPreprocessor"]
