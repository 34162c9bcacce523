"""One block of the encoder: attention and a feed-forward network, each followed by LayerNorm."""

import keras
from keras import ops

from keras_geneformer.layers.attention import SelfAttention
from keras_geneformer.layers.embeddings import normal
from keras_geneformer.layers.normalization import LayerNormalization
from keras_geneformer.layers.recomputation import recomputed


@keras.saving.register_keras_serializable(package="keras_geneformer")
class EncoderBlock(keras.layers.Layer):
    """A post-LN transformer block, as in BERT and Geneformer.

    Args:
        num_heads: attention heads.
        intermediate_dim: width of the feed-forward network.
        activation: its activation; Geneformer uses ReLU.
        dropout: rate after attention and after the feed-forward network, while training.
        attention_dropout: rate on the attention weights, while training.
        layer_norm_epsilon: added to the variance.
        initializer_range: standard deviation of the initial weights.
        head_dim: width of a head; where None, the hidden width over `num_heads`, which must divide
            it.

    Inputs: `x`, shape `(batch, length, hidden_dim)`, and `padding_mask`, shape `(batch, length)`,
    nonzero at real tokens, or None where all are; in its place, for rows of several cells,
    `cell_numbers`, as in `SelfAttention`. `positions`, int32 of shape `(batch, places)`: the tokens
    that are encoded, where not all are.
    Output: the shape of `x`, or `(batch, places, hidden_dim)`.

    A block whose attribute `trainable` is False computes as at inference, without dropout, also
    while the layers above it train.

    A block whose attribute `int8` is not None (it is None at first, and no part of the
    configuration) leaves the work to it: see `keras_geneformer.compression.openvino_int8`.

    While training, a block whose attribute `recompute` is true (it is False at first, and no part
    of the configuration) keeps its input alone, and computes the rest again in the backward pass.

    Example:
        >>> import numpy as np
        >>> block = EncoderBlock(num_heads=2, intermediate_dim=16)
        >>> tuple(block(np.ones((1, 3, 8), "float32"), np.ones((1, 3), "int32")).shape)
        (1, 3, 8)
    """

    def __init__(
        self,
        num_heads,
        intermediate_dim,
        activation="relu",
        dropout=0.02,
        attention_dropout=0.02,
        layer_norm_epsilon=1e-12,
        initializer_range=0.02,
        head_dim=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim
        self.activation = keras.activations.get(activation)
        self.dropout_rate = dropout
        self.attention_dropout = attention_dropout
        self.layer_norm_epsilon = layer_norm_epsilon
        self.initializer_range = initializer_range
        self.head_dim = head_dim
        self.recompute = False
        self.int8 = None

    def build(
        self, x_shape, padding_mask_shape=None, cell_numbers_shape=None, positions_shape=None
    ):
        """Create the layers for inputs of `x_shape`."""
        width = x_shape[-1]
        policy = self.dtype_policy

        def dense(units, name, activation=None):
            return keras.layers.Dense(
                units,
                activation=activation,
                kernel_initializer=normal(self.initializer_range),
                dtype=policy,
                name=name,
            )

        def normalization(name):
            return LayerNormalization(epsilon=self.layer_norm_epsilon, dtype=policy, name=name)

        self.attention = SelfAttention(
            num_heads=self.num_heads,
            dropout=self.attention_dropout,
            initializer_range=self.initializer_range,
            head_dim=self.head_dim,
            dtype=policy,
            name="attention",
        )
        self.attention_normalization = normalization("attention_normalization")
        self.intermediate = dense(self.intermediate_dim, "intermediate", self.activation)
        self.output_projection = dense(width, "output_projection")
        self.output_normalization = normalization("output_normalization")
        self.dropout = keras.layers.Dropout(self.dropout_rate, dtype=policy, name="dropout")

        self.attention.build(x_shape)
        self.attention_normalization.build(x_shape)
        self.intermediate.build(x_shape)
        self.output_projection.build((*x_shape[:-1], self.intermediate_dim))
        self.output_normalization.build(x_shape)
        self.built = True

    def call(self, x, padding_mask=None, cell_numbers=None, positions=None, training=None):
        """Encode `x` once more, at every token or those at `positions`."""
        if self.int8 is not None:
            return self.int8(x, padding_mask, cell_numbers, positions)
        if not self.trainable:
            training = False
        others = (padding_mask, cell_numbers, positions, training)
        if self.recompute and training:
            return recomputed(self, lambda x: self._encode(x, *others), x)
        return self._encode(x, *others)

    def _encode(self, x, padding_mask, cell_numbers, positions, training):
        attended = self.attention(
            x,
            padding_mask=padding_mask,
            cell_numbers=cell_numbers,
            positions=positions,
            training=training,
        )
        attended = self.dropout(attended, training=training)
        if positions is not None:
            x = ops.take_along_axis(x, positions[:, :, None], axis=1)
        x = self.attention_normalization(x + attended)
        expanded = self.output_projection(self.intermediate(x))
        expanded = self.dropout(expanded, training=training)
        return self.output_normalization(x + expanded)

    def compute_output_shape(
        self, x_shape, padding_mask_shape=None, cell_numbers_shape=None, positions_shape=None
    ):
        """The shape of `x`, or of what stands at `positions` in it."""
        return x_shape if positions_shape is None else (*positions_shape, x_shape[-1])

    def get_config(self):
        """Constructor arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "intermediate_dim": self.intermediate_dim,
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout_rate,
            "attention_dropout": self.attention_dropout,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "initializer_range": self.initializer_range,
            "head_dim": self.head_dim,
        }
