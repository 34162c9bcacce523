"""The arithmetic of attention, backend by backend."""

import keras
from keras import ops


def attend(query, key, value, padding_mask=None, dropout=0.0, seed=None):
    """Scaled dot-product attention in which padded keys have no weight.

    Args:
        query, key, value: shape `(batch, length, heads, head_dim)`.
        padding_mask: shape `(batch, length)`, nonzero at real keys; None where all are real.
        dropout: rate on the attention weights.
        seed: a `keras.random.SeedGenerator`, for the dropout.

    Returns:
        Shape and dtype of `query`.
    """
    scores = ops.einsum("bqhd,bkhd->bhqk", query, key)
    scores = ops.cast(scores, "float32") * (query.shape[-1] ** -0.5)
    if padding_mask is not None:
        real = ops.cast(padding_mask, "bool")[:, None, None, :]
        scores = ops.where(real, scores, -1e30)
    weights = ops.softmax(scores, axis=-1)
    if dropout:
        weights = keras.random.dropout(weights, dropout, seed=seed)
    return ops.einsum("bhqk,bkhd->bqhd", ops.cast(weights, value.dtype), value)
