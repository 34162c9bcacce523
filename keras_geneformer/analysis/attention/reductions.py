"""Attention weights, summed on the device as soon as they are computed.

A cell of n tokens has n x n weights a head and layer. What is asked of them here are sums over
queries, so a block of queries is computed at a time, reduced, and forgotten.
"""

import keras
from keras import ops

from keras_geneformer.layers.attention_kernels import MASKED

BLOCK = 128
"""Queries whose weights exist at a time, for all heads of a layer."""

STATISTICS = ("entropy", "effective_tokens", "rank_distance", "rank_attended", "rank_spread")
"""What `AttentionReduction` says of a head beside the attention that tokens receive."""


class AttentionReduction(keras.layers.Layer):
    """Weighted sums over queries of the weights of one self-attention layer.

    The weights are softmax(q k / sqrt(d)), in float32, without dropout; padded keys have none.

    Args:
        attention: a `SelfAttention`, whose projections are used.
        statistics: give those of `STATISTICS` as well.

    Inputs: `x`, what `attention` takes, of shape `(batch, length, hidden_dim)`; `padding_mask`,
    `(batch, length)`; and `query_weights`, float32 `(batch, length)`, zero at padding: how much
    each query counts.
    Output: float32 of shape `(batch, heads, length)`, the attention that each token receives; with
    statistics `(batch, heads, length + 5)`, those last: sums over queries of the entropy of its
    weights in nats, of its exponential (the number of tokens it attends to, were they even), and of
    the mean distance in ranks to the tokens attended to, of their mean rank and of the standard
    deviation of their rank; ranks count from 0 to 1 over the cell's tokens.
    """

    def __init__(self, attention, statistics=True, **kwargs):
        # Weights of queries must not be rounded to bfloat16 with the hidden states.
        super().__init__(autocast=False, **kwargs)
        self.attention = attention
        self.statistics = statistics
        self.built = True

    def call(self, x, padding_mask, query_weights):
        """Sum the weights of every head."""
        length = ops.shape(x)[1]
        query, key = projected(self.attention, x)
        real = ops.cast(ops.not_equal(padding_mask, 0), "float32")
        keys = (
            (1.0 - real)[:, None, None, :] * MASKED,
            ops.cast(ops.arange(length), "float32"),
            ops.sum(real, axis=1),
        )
        if keras.config.backend() == "openvino":
            # Its graphs leave lengths open and have no loop here: a head at a time bounds them.
            rest = (query_weights[:, None, None, :], keys[1], *keys)
            heads = [slice(head, head + 1) for head in range(self.attention.num_heads)]
            sums = [self._reduce(query[:, head], key[:, head], *rest) for head in heads]
            return ops.concatenate(sums, axis=1)
        blocks = (length + BLOCK - 1) // BLOCK
        # Empty queries fill the last block: they count for nothing.
        filled = blocks * BLOCK - length
        query = ops.pad(query, ((0, 0), (0, 0), (0, filled), (0, 0)))
        query_weights = ops.pad(query_weights, ((0, 0), (0, filled)))

        def add_block(number, sums):
            start = number * BLOCK
            weights = _block(query_weights, 1, start)[:, None, None, :]
            places = ops.cast(ops.arange(BLOCK) + start, "float32")
            return sums + self._reduce(_block(query, 2, start), key, weights, places, *keys)

        sums = ops.zeros_like(key[:, :, 0, :], dtype="float32")
        if self.statistics:
            sums = ops.pad(sums, ((0, 0), (0, 0), (0, len(STATISTICS))))
        return ops.fori_loop(0, blocks, add_block, sums)

    def _reduce(self, query, key, query_weights, asking, bias, places, real):
        """What some queries, at the places `asking`, add to the sums."""
        scores = ops.cast(ops.matmul(query, key), "float32") + bias
        scores = scores - ops.max(scores, axis=-1, keepdims=True)
        exponentials = ops.exp(scores)
        total = ops.sum(exponentials, axis=-1, keepdims=True)
        attention = exponentials / total
        received = ops.matmul(query_weights, attention)
        if self.statistics:
            found = _statistics(attention, scores, ops.log(total)[..., 0], asking, places, real)
            received = ops.concatenate([received, ops.matmul(query_weights, found)], axis=-1)
        return received[:, :, 0, :]

    def compute_output_shape(self, x_shape, padding_mask_shape=None, query_weights_shape=None):
        """Heads and length, and the statistics."""
        batch, length, _ = x_shape
        more = len(STATISTICS) if self.statistics else 0
        return (batch, self.attention.num_heads, None if length is None else length + more)

    def compute_output_spec(self, x, padding_mask, query_weights):
        """The output, float32 whatever the model computes in."""
        return keras.KerasTensor(self.compute_output_shape(x.shape), dtype="float32")


class WholeAttention(keras.layers.Layer):
    """All weights of one self-attention layer: float32 `(batch, heads, length, length)`.

    Args:
        attention: a `SelfAttention`, whose projections are used.
    """

    def __init__(self, attention, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.attention = attention
        self.built = True

    def call(self, x):
        """Weights of keys, for each query, where no token is padding."""
        query, key = projected(self.attention, x)
        return ops.softmax(ops.cast(ops.matmul(query, key), "float32"), axis=-1)

    def compute_output_spec(self, x):
        """The output, float32 whatever the model computes in."""
        batch, length, _ = x.shape
        shape = (batch, self.attention.num_heads, length, length)
        return keras.KerasTensor(shape, dtype="float32")


def projected(attention, x):
    """Scaled queries `(batch, heads, length, d)` and keys `(batch, heads, d, length)`."""
    batch, length, _ = ops.shape(x)
    heads = (batch, length, attention.num_heads, attention.head_dim)
    query = ops.transpose(ops.reshape(attention.query(x), heads), (0, 2, 1, 3))
    key = ops.transpose(ops.reshape(attention.key(x), heads), (0, 2, 3, 1))
    return query * attention.head_dim**-0.5, key


def _block(tensor, axis, start):
    """`BLOCK` entries of one axis."""
    starts = [start if number == axis else 0 for number in range(len(tensor.shape))]
    sizes = [BLOCK if number == axis else size for number, size in enumerate(ops.shape(tensor))]
    return ops.slice(tensor, starts, sizes)


def _statistics(attention, scores, log_total, asking, places, real):
    """Those of `STATISTICS` for each query, `(batch, heads, queries, 5)`.

    `scores` are less their largest, and `log_total` is the logarithm of the sum of their
    exponentials.
    """
    # A masked score is finite and its weight exactly zero, so their product is zero too.
    entropy = log_total - ops.sum(attention * scores, axis=-1)
    scale = 1.0 / real[:, None, None]
    length = ops.cast(ops.shape(places)[0], "float32")
    distance = ops.sum(attention * ops.abs(asking[:, None] - places[None, :]), axis=-1) * scale
    # Around the middle, so that the difference of squares keeps its digits.
    centred = places / length - 0.5
    mean = ops.matmul(attention, centred[:, None])[..., 0]
    square = ops.matmul(attention, (centred * centred)[:, None])[..., 0]
    spread = ops.sqrt(ops.maximum(square - mean * mean, 0.0)) * length * scale
    rank = ((mean + 0.5) * length + 0.5) * scale
    return ops.stack([entropy, ops.exp(entropy), distance, rank, spread], axis=-1)
