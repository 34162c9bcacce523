"""Which class does a cell belong to?"""

import keras

from keras_geneformer.layers.embeddings import normal
from keras_geneformer.layers.encoder_block import EncoderBlock
from keras_geneformer.layers.pooling import CellPooling
from keras_geneformer.models.backbone import token_inputs
from keras_geneformer.models.preset_model import TaskModel


@keras.saving.register_keras_serializable(package="keras_geneformer")
class GeneformerCellClassifier(TaskModel):
    """Geneformer with a classification head over one vector a cell.

    The head is BERT's: pooling, a dense layer with tanh, dropout, a dense layer.

    Args:
        backbone: a `GeneformerBackbone`.
        num_classes: number of classes; may be left out where `classes` is given.
        classes: the names of the classes, in the order of the scores; None where they have none.
        pooling: `"first"`, the first token, as the published classifier does (in a V1 cell, that is
            the highest-ranked gene); `"mean"` over the gene tokens; `"cls"`, the first token of a
            vocabulary that has `<cls>`, and an error with one that has not.
        head_layers: task-specific encoder blocks between backbone and pooling, as in the paper's
            fine-tuning; they start from random weights.
        head_dropout: rate before the last layer, while training; the backbone's where None.

    Inputs: a dict of `token_ids` and `padding_mask`, int32 of shape `(batch, length)`.
    Output: float32 scores, before any softmax, of shape `(batch, num_classes)`.

    Example:
        >>> import numpy as np
        >>> from keras_geneformer import GeneformerBackbone
        >>> classifier = GeneformerCellClassifier(GeneformerBackbone(
        ...     vocabulary_size=30, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16,
        ...     max_sequence_length=16), classes=["B cell", "T cell"])
        >>> tuple(classifier(
        ...     {"token_ids": np.array([[5, 2]]), "padding_mask": np.array([[1, 1]])}).shape)
        (1, 2)
    """

    def __init__(
        self,
        backbone,
        num_classes=None,
        classes=None,
        pooling="first",
        head_layers=0,
        head_dropout=None,
        name=None,
        trainable=True,
    ):
        num_classes, classes = class_names(num_classes, classes)
        if pooling not in ("first", "mean", "cls"):
            raise ValueError(f"Received pooling={pooling!r}; expected 'first', 'mean' or 'cls'.")
        if pooling == "cls" and len(backbone.special_token_ids) < 3:
            raise ValueError(
                "Received pooling='cls', but the vocabulary of this backbone has no <cls> token "
                f"(special token ids: {list(backbone.special_token_ids)}). Use 'first' or 'mean'."
            )
        head_dropout = backbone.dropout if head_dropout is None else head_dropout

        # Layers
        policy = backbone.dtype_policy
        blocks = head_blocks(backbone, head_layers)
        pool = CellPooling(
            "mean" if pooling == "mean" else "first",
            backbone.special_token_ids,
            dtype=policy,
            name="pooling",
        )
        pooler = keras.layers.Dense(
            backbone.hidden_dim,
            activation="tanh",
            kernel_initializer=normal(backbone.initializer_range),
            dtype=policy,
            name="pooler",
        )
        dropout = keras.layers.Dropout(head_dropout, dtype=policy, name="head_dropout")
        scores = score_layer(backbone, num_classes)

        # Functional model
        inputs = token_inputs()
        x = backbone(inputs)
        for block in blocks:
            x = block(x, inputs["padding_mask"])
        x = pool(x, inputs["token_ids"], inputs["padding_mask"])
        outputs = scores(dropout(pooler(x)))
        super().__init__(inputs=inputs, outputs=outputs, name=name, trainable=trainable)

        # Config
        self.backbone = backbone
        self.num_classes = num_classes
        self.classes = classes
        self.pooling = pooling
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
            "pooling": self.pooling,
            "head_layers": self.head_layers,
            "head_dropout": self.head_dropout,
        }


def class_names(num_classes, classes):
    """Make number and names of classes agree: `(num_classes, classes)`, names a list or None."""
    if classes is not None:
        classes = [str(name) for name in classes]
        if len(set(classes)) != len(classes):
            raise ValueError(f"Received classes={classes}; expected every name once.")
        if num_classes not in (None, len(classes)):
            raise ValueError(
                f"Received num_classes={num_classes} and {len(classes)} names in classes; expected "
                "as many names as classes, or classes alone."
            )
        num_classes = len(classes)
    if num_classes is None or num_classes < 1:
        raise ValueError(
            f"Received num_classes={num_classes}; expected the number of classes, or their names "
            "in classes."
        )
    # NumPy integers do not go into a preset's JSON.
    return int(num_classes), classes


def head_blocks(backbone, head_layers):
    """Encoder blocks of the backbone's shape, to stand on top of it."""
    return [
        EncoderBlock(
            num_heads=backbone.num_heads,
            intermediate_dim=backbone.intermediate_dim,
            activation=backbone.activation,
            dropout=backbone.dropout,
            attention_dropout=backbone.attention_dropout,
            layer_norm_epsilon=backbone.layer_norm_epsilon,
            initializer_range=backbone.initializer_range,
            dtype=backbone.dtype_policy,
            name=f"head_block_{index}",
        )
        for index in range(head_layers)
    ]


def score_layer(backbone, num_classes):
    """The last layer of a classifier, in float32 whatever the backbone computes in."""
    return keras.layers.Dense(
        num_classes,
        kernel_initializer=normal(backbone.initializer_range),
        dtype="float32",
        name="scores",
    )
