"""From hidden states to a score for every gene, at the masked positions only."""

import keras
from keras import ops

from keras_geneformer.layers.embeddings import normal


@keras.saving.register_keras_serializable(package="keras_geneformer")
class MaskedLMHead(keras.layers.Layer):
    """BERT's masked-LM head: dense, activation, LayerNorm, and the tied gene embeddings.

    Only the positions asked for are scored: a vocabulary of 25,426 tokens makes the scores the
    largest array of a training step, and 15 % of them carry the loss.

    Args:
        token_embedding: the `keras.layers.ReversibleEmbedding` whose table is tied to the output.
        activation: activation of the dense layer; Geneformer uses ReLU.
        layer_norm_epsilon: added to the variance.
        initializer_range: standard deviation of the initial weights.

    Inputs: `hidden_states`, shape `(batch, length, hidden_dim)`, and `mask_positions`, int32 of
    shape `(batch, masks)`.
    Output: float32 scores, before any softmax, of shape `(batch, masks, vocabulary_size)`.

    Example:
        >>> import keras, numpy as np
        >>> embedding = keras.layers.ReversibleEmbedding(30, 8)
        >>> embedding.build()
        >>> head = MaskedLMHead(embedding)
        >>> tuple(head(np.ones((2, 5, 8), "float32"), np.array([[0, 1], [3, 4]])).shape)
        (2, 2, 30)
    """

    def __init__(
        self,
        token_embedding,
        activation="relu",
        layer_norm_epsilon=1e-12,
        initializer_range=0.02,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.token_embedding = token_embedding
        self.activation = keras.activations.get(activation)
        self.layer_norm_epsilon = layer_norm_epsilon
        self.initializer_range = initializer_range

    def build(self, hidden_states_shape, mask_positions_shape=None):
        """Create the transformation and the bias of the scores."""
        width = hidden_states_shape[-1]
        self.dense = keras.layers.Dense(
            width,
            activation=self.activation,
            kernel_initializer=normal(self.initializer_range),
            dtype=self.dtype_policy,
            name="dense",
        )
        self.normalization = keras.layers.LayerNormalization(
            epsilon=self.layer_norm_epsilon, dtype=self.dtype_policy, name="normalization"
        )
        self.dense.build((None, None, width))
        self.normalization.build((None, None, width))
        self.bias = self.add_weight(
            name="bias", shape=(self.token_embedding.input_dim,), initializer="zeros"
        )
        self.built = True

    def call(self, hidden_states, mask_positions):
        """Score every token at `mask_positions`."""
        places = ops.expand_dims(mask_positions, -1)
        hidden_states = ops.take_along_axis(hidden_states, places, axis=1)
        scores = self.token_embedding(self.states(hidden_states), reverse=True)
        return ops.cast(scores, "float32") + ops.cast(self.bias, "float32")

    def states(self, hidden_states):
        """What is scored: hidden states, transformed.

        Args:
            hidden_states: those at masked positions, shape `(batch, masks, hidden_dim)`.

        Returns:
            The same shape: times the table of gene embeddings, plus the bias, they are the scores.
        """
        return self.normalization(self.dense(hidden_states))

    def compute_output_shape(self, hidden_states_shape, mask_positions_shape):
        """Shape of the scores."""
        return (*mask_positions_shape, self.token_embedding.input_dim)

    def get_config(self):
        """Constructor arguments."""
        return {
            **super().get_config(),
            "token_embedding": keras.saving.serialize_keras_object(self.token_embedding),
            "activation": keras.activations.serialize(self.activation),
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "initializer_range": self.initializer_range,
        }

    @classmethod
    def from_config(cls, config):
        """Rebuild from `get_config`."""
        config = dict(config)
        config["token_embedding"] = keras.saving.deserialize_keras_object(config["token_embedding"])
        return cls(**config)
