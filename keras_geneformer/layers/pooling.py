"""From the tokens of a cell to one vector."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_geneformer")
class CellPooling(keras.layers.Layer):
    """One vector a cell: its first token, or the mean over its gene tokens.

    Args:
        pooling: `"first"` takes the first token, which is the highest-ranked gene in a V1 cell, as
            the published classifier does, and `<cls>` in a V2 cell. `"mean"` averages the gene
            tokens; padding and special tokens never count.
        special_token_ids: token ids that are no genes.

    Inputs: `hidden_states`, shape `(batch, length, hidden_dim)`, and `token_ids` and
    `padding_mask`, int32 of shape `(batch, length)`.
    Output: shape `(batch, hidden_dim)`; zeros for a cell without a gene token under `"mean"`.

    Example:
        >>> import numpy as np
        >>> states = np.array([[[1.0], [3.0], [9.0]]], "float32")
        >>> layer = CellPooling("mean", special_token_ids=(0, 1))
        >>> float(layer(states, np.array([[7, 5, 0]]), np.array([[1, 1, 0]]))[0, 0])
        2.0
    """

    def __init__(self, pooling="first", special_token_ids=(0, 1), **kwargs):
        super().__init__(**kwargs)
        if pooling not in ("first", "mean"):
            raise ValueError(f"Received pooling={pooling!r}; expected 'first' or 'mean'.")
        self.pooling = pooling
        self.special_token_ids = tuple(int(token) for token in special_token_ids)

    def call(self, hidden_states, token_ids, padding_mask):
        """Pool `hidden_states` over the tokens."""
        if self.pooling == "first":
            return hidden_states[:, 0, :]
        gene = gene_tokens(token_ids, padding_mask, self.special_token_ids)
        weights = ops.expand_dims(ops.cast(gene, "float32"), -1)
        states = ops.cast(hidden_states, "float32")
        # Padded states may hold anything: select, since 0 x infinity is not 0.
        total = ops.sum(ops.where(weights > 0, states, 0.0), axis=1)
        mean = total / ops.maximum(ops.sum(weights, axis=1), 1.0)
        return ops.cast(mean, hidden_states.dtype)

    def compute_output_shape(self, hidden_states_shape, token_ids_shape, padding_mask_shape):
        """Shape of the pooled states."""
        return (hidden_states_shape[0], hidden_states_shape[-1])

    def get_config(self):
        """Constructor arguments."""
        return {
            **super().get_config(),
            "pooling": self.pooling,
            "special_token_ids": list(self.special_token_ids),
        }


def gene_tokens(token_ids, padding_mask, special_token_ids):
    """Where tokens are genes, bool of shape `(batch, length)`: neither padding nor special."""
    gene = ops.cast(padding_mask, "bool")
    for token in special_token_ids:
        gene = ops.logical_and(gene, ops.not_equal(token_ids, token))
    return gene
