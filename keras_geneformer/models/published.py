"""Building a model from a published PyTorch checkpoint."""

import keras

from keras_geneformer.conversion.assignment import assign_checkpoint
from keras_geneformer.conversion.checkpoint_files import read_checkpoint
from keras_geneformer.conversion.published_config import (
    backbone_arguments,
    checkpoint_kind,
    class_names_of,
    number_of_classes,
    read_published_config,
)
from keras_geneformer.conversion.table import checkpoint_table
from keras_geneformer.models.backbone import GeneformerBackbone
from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.models.gene_classifier import GeneformerGeneClassifier
from keras_geneformer.models.masked_lm import GeneformerMaskedLM


def load_published(directory, dtype=None):
    """Load a published checkpoint as the model its config.json names.

    Args:
        directory: folder with config.json and model.safetensors or pytorch_model.bin.
        dtype: a Keras dtype or policy; float32 where None.

    Returns:
        A `GeneformerMaskedLM`, `GeneformerCellClassifier` or `GeneformerGeneClassifier`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the checkpoint is not a Geneformer's, or its tensors do not fit its config.json.
    """
    config = read_published_config(directory)
    kind = checkpoint_kind(config)
    tensors = read_checkpoint(directory)
    backbone = GeneformerBackbone(**backbone_arguments(config), dtype=dtype)
    if kind == "masked_lm":
        model: keras.Model = GeneformerMaskedLM(backbone)
    else:
        head = GeneformerCellClassifier if kind == "cell_classifier" else GeneformerGeneClassifier
        model = head(
            backbone,
            num_classes=number_of_classes(config),
            classes=class_names_of(config),
            head_dropout=config.get("classifier_dropout"),
        )
    assign_checkpoint(tensors, model.weights, checkpoint_table(backbone.num_layers, kind))
    return model
