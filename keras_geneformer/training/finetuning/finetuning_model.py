"""A network as it is fine-tuned: its scores, an objective, and Keras's own training step."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

Objective = Callable[[Any, Any, Any], Any]
"""From labels, scores and weights (arrays, or dicts of arrays) to a scalar loss."""


class FinetuningModel(keras.Model):
    """A network with a loss that is given weights, 0 at all that must not count.

    Batches are `(inputs, labels, weights)`. The step is Keras's `train_step`, so that `fit` drives
    it as well as `keras_geneformer.training.loop`.

    Args:
        network: a Keras model from inputs to scores, or to a dict of scores.
        objective: `objective(labels, scores, weights)`, the loss of a batch. A Keras layer may have
            weights of its own, which learn too.

    Example:
        >>> import keras, numpy as np
        >>> from keras_geneformer.testing import tiny_backbone
        >>> from keras_geneformer import GeneformerCellClassifier
        >>> network = GeneformerCellClassifier(tiny_backbone(), classes=["B", "T"])
        >>> def objective(labels, scores, weights):
        ...     losses = keras.losses.sparse_categorical_crossentropy(labels, scores, True)
        ...     weighted = keras.ops.multiply(losses, weights)
        ...     return keras.ops.sum(weighted) / keras.ops.sum(weights)
        >>> model = FinetuningModel(network, objective)
        >>> model.compile("sgd")
        >>> ids = np.array([[5, 7], [3, 9]], dtype="int32")
        >>> inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
        >>> batch = inputs, np.array([0, 1]), np.ones(2, "float32")
        >>> sorted(model.train_on_batch(*batch, return_dict=True))
        ['accuracy', 'loss']
    """

    def __init__(self, network: Any, objective: Objective) -> None:
        super().__init__(name="finetuning")
        self.network = network
        self.objective = objective
        self.accuracy = keras.metrics.Mean(name="accuracy")
        self.built = True

    def call(self, inputs, training=False):
        """The network's scores."""
        return self.network(inputs, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The objective, with the weights where Keras has sample weights."""
        return self.objective(y, y_pred, sample_weight)

    def right(self, labels, scores):
        """1 where the likeliest class is the label, else 0; None where labels are no classes."""
        if isinstance(scores, dict) or len(labels.shape) == len(scores.shape):
            return None
        likeliest = ops.cast(ops.argmax(scores, axis=-1), "int32")
        return ops.cast(ops.equal(likeliest, ops.cast(labels, "int32")), "float32")

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Loss and, where labels are classes, accuracy."""
        logs = super().compute_metrics(x, y, y_pred, sample_weight)
        right = self.right(y, y_pred)
        if right is None:
            logs.pop("accuracy", None)
            return logs
        self.accuracy.update_state(right, sample_weight=sample_weight)
        return logs | {"accuracy": self.accuracy.result()}

    def train_step(self, *data):
        """One optimizer step: Keras's own, or on several replicas of TensorFlow's strategies ours,
        which adds gradients up before they are clipped.
        """
        if keras.config.backend() == "tensorflow":
            from keras_geneformer.training.finetuning import tensorflow_replicas

            if tensorflow_replicas.several():
                return tensorflow_replicas.train_step(self, *data)
        return super().train_step(*data)
