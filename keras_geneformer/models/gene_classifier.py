"""Which class does a gene belong to, in the context of a cell?"""

import keras

from keras_geneformer.models.backbone import token_inputs
from keras_geneformer.models.cell_classifier import class_names, head_blocks, score_layer
from keras_geneformer.models.preset_model import TaskModel


@keras.saving.register_keras_serializable(package="keras_geneformer")
class GeneformerGeneClassifier(TaskModel):
    """Geneformer with a classification head over every token of a cell.

    The head is BERT's for token classification: dropout and a dense layer.

    Args:
        backbone: a `GeneformerBackbone`.
        num_classes: number of classes; may be left out where `classes` is given.
        classes: the names of the classes, in the order of the scores; None where they have none.
        head_layers: task-specific encoder blocks on top of the backbone.
        head_dropout: rate before the last layer, while training; the backbone's where None.

    Inputs: a dict of `token_ids` and `padding_mask`, int32 of shape `(batch, length)`.
    Output: float32 scores, before any softmax, of shape `(batch, length, num_classes)`.

    Example:
        >>> import numpy as np
        >>> from keras_geneformer import GeneformerBackbone
        >>> classifier = GeneformerGeneClassifier(GeneformerBackbone(
        ...     vocabulary_size=30, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16,
        ...     max_sequence_length=16), classes=["insensitive", "sensitive"])
        >>> tuple(classifier(
        ...     {"token_ids": np.array([[5, 2]]), "padding_mask": np.array([[1, 1]])}).shape)
        (1, 2, 2)
    """

    def __init__(
        self,
        backbone,
        num_classes=None,
        classes=None,
        head_layers=0,
        head_dropout=None,
        name=None,
        trainable=True,
    ):
        num_classes, classes = class_names(num_classes, classes)
        head_dropout = backbone.dropout if head_dropout is None else head_dropout

        # Layers
        blocks = head_blocks(backbone, head_layers)
        dropout = keras.layers.Dropout(
            head_dropout, dtype=backbone.dtype_policy, name="head_dropout"
        )
        scores = score_layer(backbone, num_classes)

        # Functional model
        inputs = token_inputs()
        x = backbone(inputs)
        for block in blocks:
            x = block(x, inputs["padding_mask"])
        super().__init__(inputs=inputs, outputs=scores(dropout(x)), name=name, trainable=trainable)

        # Config
        self.backbone = backbone
        self.num_classes = num_classes
        self.classes = classes
        self.head_layers = head_layers
        self.head_dropout = head_dropout

    def get_config(self):
        """Constructor arguments."""
        return {
            "name": self.name,
            "trainable": self.trainable,
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "num_classes": self.num_classes,
            "classes": self.classes and list(self.classes),
            "head_layers": self.head_layers,
            "head_dropout": self.head_dropout,
        }
