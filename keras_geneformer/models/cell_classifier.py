"""Which class does a cell belong to?"""

import keras

from keras_geneformer.layers.embeddings import normal
from keras_geneformer.layers.encoder_block import EncoderBlock
from keras_geneformer.layers.pooling import CellPooling
from keras_geneformer.models.backbone import token_inputs
from keras_geneformer.models.preset_model import TaskModel

TASKS = ("single-label", "multi-label", "regression")


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
        task: what the scores are: of classes of which a cell has one (`"single-label"`) or any
            number (`"multi-label"`), or numbers (`"regression"`: a dose, a pseudotime), one for
            each of `classes`.
        offsets, scales: for regression, what a score is multiplied by and what is added to it to be
            in the units of the data; 0 and 1 where None.

    Inputs: a dict of `token_ids` and `padding_mask`, int32 of shape `(batch, length)`.
    Output: float32 scores, before any softmax, of shape `(batch, num_classes)`.

    Attributes:
        calibration: a `Calibration` from fine-tuning, or None; presets keep it.

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
        task="single-label",
        offsets=None,
        scales=None,
        name=None,
        trainable=True,
    ):
        num_classes, classes = class_names(num_classes, classes)
        if task not in TASKS:
            raise ValueError(
                f"Received task={task!r}; expected one of {', '.join(map(repr, TASKS))}."
            )
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
        self.task = task
        self.offsets = [0.0] * num_classes if offsets is None else [float(x) for x in offsets]
        self.scales = [1.0] * num_classes if scales is None else [float(x) for x in scales]
        self.calibration = None

    def network(self, above=0):
        """This model where only its scores are wanted: the last block encodes what is pooled alone.

        Args:
            above: encoder blocks that are left out, from the input up; their output is an input.

        Returns:
            A `keras.Model` that shares its weights with this one. Its inputs are those of this
            model, and with `above` also `hidden_states`, of shape `(batch, length, hidden_dim)`.

        Example:
            >>> import numpy as np
            >>> from keras_geneformer.testing import tiny_backbone
            >>> classifier = GeneformerCellClassifier(tiny_backbone(), classes=["B", "T"])
            >>> cells = {"token_ids": np.array([[5, 7]]), "padding_mask": np.array([[1, 1]]),
            ...          "hidden_states": np.ones((1, 2, 32), "float32")}
            >>> tuple(classifier.network(above=3)(cells).shape)
            (1, 2)
        """
        outputs, inputs = self._pooled(above)
        scores = self.get_layer("scores")(self.get_layer("head_dropout")(outputs))
        return keras.Model(inputs, scores, name="network")

    def feature_model(self):
        """What the last layer sees of a cell, of shape `(batch, hidden_dim)`, as a model."""
        outputs, inputs = self._pooled(0)
        return keras.Model(inputs, outputs, name="features")

    def _pooled(self, above):
        """The pooler's output, and the inputs it comes from."""
        backbone = self.backbone
        inputs = token_inputs()
        if above:
            inputs["hidden_states"] = keras.Input(
                (None, backbone.hidden_dim), dtype="float32", name="hidden_states"
            )
            x = inputs["hidden_states"]
        else:
            x = backbone.get_layer("embeddings")(inputs["token_ids"])
        names = [f"encoder_block_{index}" for index in range(above, backbone.num_layers)]
        blocks = [backbone.get_layer(name) for name in names]
        blocks += [self.get_layer(f"head_block_{index}") for index in range(self.head_layers)]
        alone = {}
        if self.pooling != "mean" and blocks:
            alone = {"positions": keras.ops.zeros_like(inputs["token_ids"][:, :1])}
        for block in blocks:
            looks = alone if block is blocks[-1] else {}
            x = block(x, padding_mask=inputs["padding_mask"], **looks)
        x = self.get_layer("pooling")(x, inputs["token_ids"], inputs["padding_mask"])
        return self.get_layer("pooler")(x), inputs

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
            "task": self.task,
            "offsets": self.offsets,
            "scales": self.scales,
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
    """Encoder blocks of the shape of the backbone's widest, to stand on top of it."""
    return [
        EncoderBlock(
            num_heads=max(backbone.block_heads),
            intermediate_dim=max(backbone.block_intermediate_dims),
            activation=backbone.activation,
            dropout=backbone.dropout,
            attention_dropout=backbone.attention_dropout,
            layer_norm_epsilon=backbone.layer_norm_epsilon,
            initializer_range=backbone.initializer_range,
            head_dim=backbone.head_dim,
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
