"""From the tokens of a cell to one vector, by learnt attention."""

import keras
from keras import ops

from keras_geneformer.layers.embeddings import normal
from keras_geneformer.layers.pooling import gene_tokens


@keras.saving.register_keras_serializable(package="keras_geneformer")
class AttentionPooling(keras.layers.Layer):
    """One vector a cell: a mean over its gene tokens with weights that are learnt.

    A gene token's weight is the softmax, over the cell's gene tokens, of `query . tanh(W h + b)`,
    h being its hidden state (Yang et al., 2016, "Hierarchical attention networks"; Ilse et al.,
    2018, arXiv:1802.04712). Padding and special tokens have no weight, whatever stands there. With
    new, small weights it is nearly the mean.

    Args:
        special_token_ids: token ids that are no genes.
        initializer_range: standard deviation of new weights.

    Inputs: `hidden_states`, shape `(batch, length, hidden_dim)`, and `token_ids` and
    `padding_mask`, int32 of shape `(batch, length)`.
    Output: shape `(batch, hidden_dim)`; zeros for a cell without a gene token.

    Example:
        >>> import numpy as np
        >>> states = np.array([[[3.0], [3.0], [9.0]]], "float32")
        >>> layer = AttentionPooling(special_token_ids=(0, 1))
        >>> pooled = layer(states, np.array([[7, 5, 0]]), np.array([[1, 1, 0]]))
        >>> keras.ops.convert_to_numpy(pooled).round(4).tolist()
        [[3.0]]
    """

    def __init__(self, special_token_ids=(0, 1), initializer_range=0.02, **kwargs):
        super().__init__(**kwargs)
        self.special_token_ids = tuple(int(token) for token in special_token_ids)
        self.initializer_range = initializer_range

    def build(self, hidden_states_shape, token_ids_shape=None, padding_mask_shape=None):
        """Make the weights."""
        width = hidden_states_shape[-1]
        new = normal(self.initializer_range)
        self.kernel = self.add_weight((width, width), initializer=new, name="kernel")
        self.bias = self.add_weight((width,), initializer="zeros", name="bias")
        self.query = self.add_weight((width,), initializer=new, name="query")

    def call(self, hidden_states, token_ids, padding_mask):
        """Pool `hidden_states` over the gene tokens."""
        gene = gene_tokens(token_ids, padding_mask, self.special_token_ids)
        # Padded states may hold anything: select, since 0 x infinity is not 0.
        states = ops.where(ops.expand_dims(gene, -1), hidden_states, ops.zeros_like(hidden_states))
        weights = self._weights(states, gene)
        pooled = ops.matmul(ops.expand_dims(weights, 1), ops.cast(states, "float32"))
        return ops.cast(pooled[:, 0, :], hidden_states.dtype)

    def attention(self, hidden_states, token_ids, padding_mask):
        """The weights of the tokens, float32 of shape `(batch, length)`; 0 at what is no gene."""
        gene = gene_tokens(token_ids, padding_mask, self.special_token_ids)
        states = ops.where(ops.expand_dims(gene, -1), hidden_states, ops.zeros_like(hidden_states))
        return self._weights(states, gene)

    def _weights(self, states, gene):
        projected = ops.tanh(ops.matmul(states, self.kernel) + self.bias)
        logits = ops.cast(ops.matmul(projected, self.query[:, None])[:, :, 0], "float32")
        weights = ops.softmax(ops.where(gene, logits, -1e30), axis=-1)
        # The softmax of a cell without a gene is even.
        return ops.where(gene, weights, 0.0)

    def compute_output_shape(self, hidden_states_shape, token_ids_shape, padding_mask_shape):
        """Shape of the pooled states."""
        return (hidden_states_shape[0], hidden_states_shape[-1])

    def get_config(self):
        """Constructor arguments."""
        return {
            **super().get_config(),
            "special_token_ids": list(self.special_token_ids),
            "initializer_range": self.initializer_range,
        }
