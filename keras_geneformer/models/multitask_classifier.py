"""Several questions about a cell at once: its type, its disease, its sex."""

import keras

from keras_geneformer.layers.attention_pooling import AttentionPooling
from keras_geneformer.layers.embeddings import normal
from keras_geneformer.layers.pooling import CellPooling
from keras_geneformer.layers.shared_attention_pooling import SharedAttentionPooling
from keras_geneformer.models.backbone import token_inputs
from keras_geneformer.models.cell_classifier import class_names, head_blocks
from keras_geneformer.models.preset_model import TaskModel

_SHARED_POOLING = "pooling"
POOLINGS = ("attention", "mean", "first", "cls", "shared_attention")


@keras.saving.register_keras_serializable(package="keras_geneformer")
class GeneformerMultiTaskClassifier(TaskModel):
    """Geneformer with a classification head for each of several tasks.

    All tasks share the backbone and the head's encoder blocks. A task's own are pooling (where it
    has weights: every task attends to its own genes), a dense layer with tanh, dropout, and a dense
    layer. The published multi-task model shares its pooling and has no layer with tanh
    (`pooling="shared_attention"` or `"first"`, `pooler=False`).

    Args:
        backbone: a `GeneformerBackbone`.
        tasks: for each task, by name, the names of its classes in the order of the scores.
        pooling: `"attention"`, an `AttentionPooling` a task; `"shared_attention"`, one
            `SharedAttentionPooling` for all; `"mean"`, `"first"` and `"cls"` as in
            `GeneformerCellClassifier`.
        head_layers: encoder blocks between backbone and pooling, which start from random weights.
        head_dropout: rate before the last layers, while training; the backbone's where None.
        pooler: whether the heads have the layer with tanh.
        published: with `"shared_attention"`, pool padding too, as the published package does.

    Inputs: a dict of `token_ids` and `padding_mask`, int32 of shape `(batch, length)`.
    Output: a dict from task to float32 scores, before any softmax, of shape `(batch, classes)`.

    Example:
        >>> import numpy as np
        >>> from keras_geneformer.testing import tiny_backbone
        >>> classifier = GeneformerMultiTaskClassifier(
        ...     tiny_backbone(), tasks={"cell_type": ["B", "T", "NK"], "disease": ["no", "yes"]})
        >>> scores = classifier(
        ...     {"token_ids": np.array([[5, 2]]), "padding_mask": np.array([[1, 1]])})
        >>> {task: tuple(of_task.shape) for task, of_task in scores.items()}
        {'cell_type': (1, 3), 'disease': (1, 2)}
    """

    def __init__(
        self,
        backbone,
        tasks=None,
        pooling="attention",
        head_layers=0,
        head_dropout=None,
        name=None,
        trainable=True,
        pooler=True,
        published=False,
    ):
        tasks = task_names(tasks)
        if pooling not in POOLINGS:
            raise ValueError(
                f"Received pooling={pooling!r}; expected one of {', '.join(map(repr, POOLINGS))}."
            )
        if pooling == "cls" and len(backbone.special_token_ids) < 3:
            raise ValueError(
                "Received pooling='cls', but the vocabulary of this backbone has no <cls> token "
                f"(special token ids: {list(backbone.special_token_ids)}). Use 'attention', "
                "'mean' or 'first'."
            )
        if published and pooling != "shared_attention":
            raise ValueError(
                f"Received published=True with pooling={pooling!r}; expected 'shared_attention', "
                "the published model's attention pooling. Other poolings never pool padding."
            )
        head_dropout = backbone.dropout if head_dropout is None else head_dropout

        # Layers
        blocks = head_blocks(backbone, head_layers)
        shared = None
        if pooling == "shared_attention":
            shared = SharedAttentionPooling(
                published, dtype=backbone.dtype_policy, name=_SHARED_POOLING
            )
        heads = [
            _head(backbone, number, len(classes), shared or pooling, head_dropout, pooler)
            for number, classes in enumerate(tasks.values())
        ]

        # Functional model
        inputs = token_inputs()
        x = backbone(inputs)
        for block in blocks:
            x = block(x, inputs["padding_mask"])
        super().__init__(
            inputs=inputs,
            outputs=dict(zip(tasks, (_scores(x, inputs, layers) for layers in heads))),
            name=name,
            trainable=trainable,
        )

        # Config
        self.backbone = backbone
        self.tasks = tasks
        self.pooling = pooling
        self.head_layers = head_layers
        self.head_dropout = head_dropout
        self.pooler = bool(pooler)
        self.published = bool(published)

    def network(self, above=0):
        """This model without the backbone's lowest blocks.

        Args:
            above: encoder blocks that are left out, from the input up; their output is an input.

        Returns:
            A `keras.Model` that shares its weights with this one, of the same outputs. With `above`
            `hidden_states`, of shape `(batch, length, hidden_dim)`, is an input too.
        """
        if not above:
            return self
        inputs = token_inputs()
        x = keras.Input((None, self.backbone.hidden_dim), dtype="float32", name="hidden_states")
        inputs["hidden_states"] = x
        for index in range(above, self.backbone.num_layers):
            x = self.backbone.get_layer(f"encoder_block_{index}")(x, inputs["padding_mask"])
        for index in range(self.head_layers):
            x = self.get_layer(f"head_block_{index}")(x, inputs["padding_mask"])
        heads = [
            [self.get_layer(name) for name in _layer_names(n, self.pooling, self.pooler)]
            for n in range(len(self.tasks))
        ]
        outputs = dict(zip(self.tasks, (_scores(x, inputs, layers) for layers in heads)))
        return keras.Model(inputs, outputs, name="network")

    def pool_as_published(self, on=True):
        """Let `SharedAttentionPooling` pool padding, as the published package does, or no longer.

        To be called before the model is compiled or predicts.

        Raises:
            ValueError: the model has another pooling.
        """
        if self.pooling != "shared_attention":
            raise ValueError(
                f"Received published={on} with pooling={self.pooling!r}; expected "
                "'shared_attention'. Other poolings never pool padding."
            )
        self.get_layer(_SHARED_POOLING).published = bool(on)
        self.published = bool(on)

    def joined_scores(self):
        """This model with one output: the scores of all tasks side by side, in their order."""
        scores = [self.get_layer(f"task_{n}_scores").output for n in range(len(self.tasks))]
        if len(scores) > 1:
            scores = [keras.layers.Concatenate(dtype="float32", name="joined_scores")(scores)]
        return keras.Model(self.input, scores[0], name="joined")

    def get_config(self):
        """Constructor arguments."""
        return {
            "name": self.name,
            "trainable": self.trainable,
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "tasks": {task: list(classes) for task, classes in self.tasks.items()},
            "pooling": self.pooling,
            "head_layers": self.head_layers,
            "head_dropout": self.head_dropout,
            "pooler": self.pooler,
            "published": self.published,
        }


def task_names(tasks):
    """Tasks and the names of their classes, as text.

    Raises:
        ValueError: no task, or one whose classes are fewer than two or not unlike.
    """
    if not tasks:
        raise ValueError(
            f"Received tasks={tasks!r}; expected the names of the classes of each task, as in "
            "{'cell_type': ['B cell', 'T cell'], 'disease': ['no', 'yes']}."
        )
    named = {str(task): class_names(None, classes)[1] for task, classes in tasks.items()}
    for task, classes in named.items():
        if classes is None or len(classes) < 2:
            raise ValueError(f"Received classes={classes} for task {task!r}; expected two or more.")
    return named


def _layer_names(number, pooling, pooler):
    """The layers of a task's head. By number: a column's name may hold what a layer's may not."""
    parts = ("pooler", "dropout", "scores") if pooler else ("dropout", "scores")
    pool = _SHARED_POOLING if pooling == "shared_attention" else f"task_{number}_pooling"
    return [pool, *(f"task_{number}_{part}" for part in parts)]


def _head(backbone, number, num_classes, pooling, head_dropout, pooler):
    """The layers of a task's head, from pooling to scores; a shared pooling is given as it is."""
    policy, new = backbone.dtype_policy, backbone.initializer_range
    special = backbone.special_token_ids
    name = f"task_{number}"
    if isinstance(pooling, SharedAttentionPooling):
        pool = pooling
    elif pooling == "attention":
        pool = AttentionPooling(special, new, dtype=policy, name=f"{name}_pooling")
    else:
        kind = "mean" if pooling == "mean" else "first"
        pool = CellPooling(kind, special, dtype=policy, name=f"{name}_pooling")
    dense = keras.layers.Dense(
        backbone.hidden_dim,
        activation="tanh",
        kernel_initializer=normal(new),
        dtype=policy,
        name=f"{name}_pooler",
    )
    return [
        pool,
        *([dense] if pooler else []),
        keras.layers.Dropout(head_dropout, dtype=policy, name=f"{name}_dropout"),
        keras.layers.Dense(
            num_classes, kernel_initializer=normal(new), dtype="float32", name=f"{name}_scores"
        ),
    ]


def _scores(x, inputs, layers):
    pool, *others = layers
    x = pool(x, inputs["token_ids"], inputs["padding_mask"])
    for layer in others:
        x = layer(x)
    return x
