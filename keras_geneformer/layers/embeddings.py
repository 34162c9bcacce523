"""The input of the encoder: gene, rank and segment embeddings, summed and normalised."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import keras
from keras import ops

from keras_geneformer.layers.normalization import LayerNormalization


@keras.saving.register_keras_serializable(package="keras_geneformer")
class GeneEmbeddings(keras.layers.Layer):
    """Sum of gene, rank (position) and segment embeddings, then LayerNorm and dropout.

    The embeddings of BERT, as Geneformer uses them: a gene's position in the sequence is its rank
    in the cell. Every token belongs to segment 0; the published checkpoints hold a second, unused
    row, which is kept so that a checkpoint goes out bit for bit as it came in.

    Args:
        vocabulary_size: number of token ids, special tokens included.
        hidden_dim: width of the embeddings.
        max_sequence_length: longest sequence, in tokens.
        num_segments: rows of the segment table.
        dropout: rate applied to the result while training.
        layer_norm_epsilon: added to the variance.
        initializer_range: standard deviation of the initial weights.

    Inputs: `token_ids`, int32 of shape `(batch, length)`, and for rows of several cells
    `positions`, int32 of the same shape: the rank of each token in its own cell, from 0.
    Output: shape `(batch, length, hidden_dim)`; without dropout where `trainable` is False.

    Example:
        >>> import numpy as np
        >>> layer = GeneEmbeddings(vocabulary_size=30, hidden_dim=8, max_sequence_length=16)
        >>> tuple(layer(np.array([[5, 7, 2]])).shape)
        (1, 3, 8)
    """

    def __init__(
        self,
        vocabulary_size,
        hidden_dim,
        max_sequence_length,
        num_segments=2,
        dropout=0.02,
        layer_norm_epsilon=1e-12,
        initializer_range=0.02,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim
        self.max_sequence_length = max_sequence_length
        self.num_segments = num_segments
        self.dropout_rate = dropout
        self.layer_norm_epsilon = layer_norm_epsilon
        self.initializer_range = initializer_range
        self.token_embedding = keras.layers.ReversibleEmbedding(
            vocabulary_size,
            hidden_dim,
            embeddings_initializer=normal(initializer_range),
            reverse_dtype="float32",
            dtype=self.dtype_policy,
            name="token_embedding",
        )
        self.normalization = LayerNormalization(
            epsilon=layer_norm_epsilon, dtype=self.dtype_policy, name="normalization"
        )
        self.dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="dropout")

    def build(self, token_ids_shape, positions_shape=None):
        """Create the three tables and the normalisation."""
        self.token_embedding.build(token_ids_shape)
        self.position_table = self.add_weight(
            name="position_table",
            shape=(self.max_sequence_length, self.hidden_dim),
            initializer=normal(self.initializer_range),
        )
        self.segment_table = self.add_weight(
            name="segment_table",
            shape=(self.num_segments, self.hidden_dim),
            initializer=normal(self.initializer_range),
        )
        self.normalization.build((*token_ids_shape, self.hidden_dim))
        self.built = True

    def call(self, token_ids, positions=None, training=None):
        """Embed `token_ids`, of shape `(batch, length)`."""
        x = self.token_embedding(token_ids)
        x = x + ops.cast(self._ranks(token_ids, positions) + self.segment_table[0], x.dtype)
        x = self.normalization(x)
        return self.dropout(x, training=training if self.trainable else False)

    def _ranks(self, token_ids, positions):
        """The embedding of each token's position."""
        if positions is not None:
            # Of a slice, because TensorFlow's gradient of a variable's own rows is sparse, and
            # optimizers clip and update by other rules then.
            return ops.take(self.position_table[: self.max_sequence_length], positions, axis=0)
        length = token_ids.shape[1]
        if length is not None and length > self.max_sequence_length:
            raise ValueError(
                f"Received sequences of {length} tokens; this model has "
                f"{self.max_sequence_length} positions. Truncate the cells to "
                f"{self.max_sequence_length} tokens, or tokenize them with the model's vocabulary."
            )
        return ops.convert_to_tensor(self.position_table)[: ops.shape(token_ids)[1]]

    def compute_output_shape(self, token_ids_shape, positions_shape=None):
        """Shape of the embeddings."""
        return (*token_ids_shape, self.hidden_dim)

    def get_config(self):
        """Constructor arguments."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "hidden_dim": self.hidden_dim,
            "max_sequence_length": self.max_sequence_length,
            "num_segments": self.num_segments,
            "dropout": self.dropout_rate,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "initializer_range": self.initializer_range,
        }


_TO_BE_LOADED = ContextVar("weights_to_be_loaded", default=False)


@contextmanager
def weights_to_be_loaded() -> Iterator[None]:
    """Make layers whose weights come from a file next.

    They start from zeros: drawing hundreds of millions of numbers takes longer than reading them,
    and on JAX as much memory again as the model.

    Example:
        >>> with weights_to_be_loaded():
        ...     layer = GeneEmbeddings(vocabulary_size=30, hidden_dim=8, max_sequence_length=16)
        ...     layer.build((None, None))
        >>> float(layer.position_table.numpy().max())
        0.0
    """
    token = _TO_BE_LOADED.set(True)
    try:
        yield
    finally:
        _TO_BE_LOADED.reset(token)


def normal(initializer_range):
    """The published initialiser: a normal distribution of this standard deviation."""
    if _TO_BE_LOADED.get():
        return keras.initializers.Zeros()
    return keras.initializers.RandomNormal(stddev=initializer_range)
