"""Attention under TensorFlow: a block of queries at a time, recomputed in the backward pass.

TensorFlow has no fused attention on CPU. Written plainly, a step on 12 cells of 2048 tokens keeps
several arrays of 12 x heads x 2048 x 2048 for every layer; here none of that size exists. The
number of blocks is fixed, so that one graph serves every length; in short rows the last are empty.
"""

import math

import tensorflow as tf

BLOCKS = 8

LEAST_QUERIES = 256
"""Queries of a block at least: products of fewer are slower."""


def attend_in_blocks(query, key, value, bias=None, dropout=0.0, seed=None, cell_numbers=None):
    """Scaled dot-product attention.

    Args:
        query: shape `(batch, heads, queries, head_dim)`.
        key, value: shape `(batch, heads, length, head_dim)`.
        bias: added to the scores, float32 of shape `(batch, 1, 1, length)`; None for none.
        dropout: rate on the attention weights.
        seed: int32 tensor of shape `(2,)`; read where there is dropout.
        cell_numbers: integers of the queries and of the keys, shapes `(batch, queries)` and
            `(batch, length)`: a query sees the keys of its own number alone. None: no such limit.

    Returns:
        Shape and dtype of `query`.
    """
    step = tf.maximum((tf.shape(query)[2] + BLOCKS - 1) // BLOCKS, LEAST_QUERIES)
    scale = query.shape[-1] ** -0.5

    def block_rows(tensor, block):
        return tensor[:, :, block * step : (block + 1) * step]

    def block_weights(query, key, block):
        """Attention weights of a block of queries, before and after dropout (less its scale)."""
        scores = tf.cast(tf.matmul(block_rows(query, block), key), tf.float32)
        if cell_numbers is not None:
            own = block_rows(cell_numbers[0][:, None], block)[..., None]
            scores += tf.cast(own != cell_numbers[1][:, None, None, :], tf.float32) * -1e30
        weights = tf.nn.softmax(scores)
        if not dropout:
            return weights, None
        return weights, _kept(weights, dropout, seed + tf.constant([0, block]))

    def with_bias(query, key):
        """Queries, and keys the other way round, whose products have the bias in them already."""
        key = tf.transpose(key, (0, 1, 3, 2))
        if bias is None:
            return query, key
        ones = tf.ones_like(query[..., :1])
        added = tf.broadcast_to(tf.cast(bias, key.dtype), tf.shape(key[:, :, :1]))
        return tf.concat([query, ones], -1), tf.concat([key, added], 2)

    @tf.custom_gradient
    def attention(query, key, value):
        asked, seen = with_bias(query, key)
        outputs: list[tf.Tensor] = []
        for block in range(BLOCKS):
            # One block after the other: side by side they would need the memory of the whole.
            with tf.control_dependencies(outputs[-1:]):
                weights, kept = block_weights(asked, seen, block)
                weights = weights if kept is None else weights * kept
                outputs.append(tf.matmul(tf.cast(weights, value.dtype), value))
        output = tf.concat(outputs, axis=2) * (1.0 / (1.0 - dropout))

        def gradient(upstream):
            inner = tf.reduce_sum(
                tf.cast(upstream, tf.float32) * tf.cast(output, tf.float32), -1, keepdims=True
            )
            upstream *= 1.0 / (1.0 - dropout)
            asked, seen = with_bias(query, key)
            value_across = tf.transpose(value, (0, 1, 3, 2))
            grad_query = []
            # The other way round too: these products are faster so.
            grad_key, grad_value = tf.zeros_like(value_across), tf.zeros_like(value_across)
            for block in range(BLOCKS):
                with tf.control_dependencies([grad_key, grad_value]):
                    weights, kept = block_weights(asked, seen, block)
                    above = block_rows(upstream, block)
                    through = tf.cast(tf.matmul(above, value_across), tf.float32)
                    # A dropped weight passes no gradient, and a kept one is scaled alike both
                    # ways; `inner` is the row sum of weights x gradient.
                    dropped = weights if kept is None else weights * kept
                    grad_scores = dropped * through - weights * block_rows(inner, block)
                    grad_scores = tf.cast(grad_scores, query.dtype)
                    grad_query.append(tf.matmul(grad_scores, key))
                    above, asking = (
                        tf.transpose(rows, (0, 1, 3, 2))
                        for rows in (above, block_rows(query, block))
                    )
                    grad_value += tf.matmul(above, tf.cast(dropped, value.dtype))
                    grad_key += tf.matmul(asking, grad_scores)
            grad_key, grad_value = (
                tf.transpose(grad, (0, 1, 3, 2)) for grad in (grad_key, grad_value)
            )
            return tf.concat(grad_query, axis=2), grad_key, grad_value

        return output, gradient

    return attention(query * scale, key, value)


def _kept(weights, rate, seed):
    """1 where a weight is kept and 0 where it is dropped, the same for the same seed.

    Hits fall on the weights, each on any of them alike or on none, and their number is such that a
    weight escapes all with probability 1 - rate. So few random numbers cost a fifth of one a
    weight.
    """
    size = tf.size(weights)
    escapes = math.log1p(-rate)
    hits = tf.math.ceil(-escapes * tf.cast(size, tf.float64))
    targets = tf.cast(-1.0 / tf.math.expm1(escapes / hits), tf.int32)
    places = tf.random.stateless_uniform(
        [tf.cast(hits, tf.int32)], seed, maxval=targets, dtype=tf.int32
    )
    # What hits none lands in one place beyond the last. Places come in no order and repeatedly.
    kept = tf.raw_ops.SparseToDense(
        sparse_indices=tf.minimum(places, size),
        output_shape=[size + 1],
        sparse_values=tf.constant(0, weights.dtype),
        default_value=tf.constant(1, weights.dtype),
        validate_indices=False,
    )
    return tf.reshape(kept[:size], tf.shape(weights))
