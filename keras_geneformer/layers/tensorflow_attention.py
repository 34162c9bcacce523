"""Attention under TensorFlow: a block of queries at a time, recomputed in the backward pass.

TensorFlow has no fused attention on CPU. Written plainly, a step on 12 cells of 2048 tokens keeps
several arrays of 12 x heads x 2048 x 2048 for every layer; here none of that size exists. The
number of blocks is fixed, so that one graph serves every length.
"""

import tensorflow as tf

BLOCKS = 8


def attend_in_blocks(query, key, value, bias=None, dropout=0.0, seed=None, cell_numbers=None):
    """Scaled dot-product attention.

    Args:
        query, key, value: shape `(batch, heads, length, head_dim)`.
        bias: added to the scores, float32 of shape `(batch, 1, 1, length)`; None for none.
        dropout: rate on the attention weights.
        seed: int32 tensor of shape `(2,)`; read where there is dropout.
        cell_numbers: integers of shape `(batch, length)`: a query sees the keys of its own number
            alone. None: no such limit.

    Returns:
        Shape and dtype of `query`.
    """
    length = tf.shape(query)[2]
    step = (length + BLOCKS - 1) // BLOCKS
    scale = query.shape[-1] ** -0.5

    def block_rows(tensor, block):
        return tensor[:, :, block * step : (block + 1) * step]

    def block_weights(query, key, block):
        """Attention weights of a block of queries, before and after dropout."""
        scores = tf.matmul(block_rows(query, block), key, transpose_b=True)
        scores = tf.cast(scores, tf.float32)
        if cell_numbers is not None:
            own = cell_numbers[:, None, block * step : (block + 1) * step, None]
            scores += tf.cast(own != cell_numbers[:, None, None, :], tf.float32) * -1e30
        weights = tf.nn.softmax(scores if bias is None else scores + bias)
        if not dropout:
            return weights, weights
        return weights, _drop(weights, dropout, seed + tf.constant([0, block]))

    @tf.custom_gradient
    def attention(query, key, value):
        outputs: list[tf.Tensor] = []
        for block in range(BLOCKS):
            # One block after the other: side by side they would need the memory of the whole.
            with tf.control_dependencies(outputs[-1:]):
                _, dropped = block_weights(query, key, block)
                outputs.append(tf.matmul(tf.cast(dropped, value.dtype), value))
        output = tf.concat(outputs, axis=2)

        def gradient(upstream):
            inner = tf.reduce_sum(
                tf.cast(upstream, tf.float32) * tf.cast(output, tf.float32), -1, keepdims=True
            )
            grad_query, grad_key, grad_value = [], tf.zeros_like(key), tf.zeros_like(value)
            for block in range(BLOCKS):
                with tf.control_dependencies([grad_key, grad_value]):
                    weights, dropped = block_weights(query, key, block)
                    above = block_rows(upstream, block)
                    grad_value += tf.matmul(tf.cast(dropped, value.dtype), above, transpose_a=True)
                    through = tf.cast(tf.matmul(above, value, transpose_b=True), tf.float32)
                    # A dropped weight passes no gradient, and a kept one is scaled alike both
                    # ways; `inner` is the row sum of weights x gradient.
                    grad_scores = dropped * through - weights * block_rows(inner, block)
                    grad_scores = tf.cast(grad_scores, query.dtype)
                    grad_query.append(tf.matmul(grad_scores, key))
                    grad_key += tf.matmul(grad_scores, block_rows(query, block), transpose_a=True)
            return tf.concat(grad_query, axis=2), grad_key, grad_value

        return output, gradient

    return attention(query * scale, key, value)


def _drop(weights, rate, seed):
    """Dropout that the same seed repeats exactly.

    16 random bits decide on a weight: the rate is met to within 1 / 65536, at half the cost of a
    float each.
    """
    shape = tf.shape(weights)
    pairs = (tf.size(weights) + 1) // 2
    bits = tf.random.stateless_uniform([pairs], seed, minval=None, maxval=None, dtype=tf.uint32)
    halves = tf.reshape(tf.bitcast(bits, tf.uint16), [-1])[: tf.size(weights)]
    kept = tf.cast(tf.cast(halves, tf.int32) >= round(rate * 65536), weights.dtype)
    return weights * tf.reshape(kept, shape) * (1.0 / (1.0 - rate))
