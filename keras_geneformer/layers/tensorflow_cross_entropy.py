"""The cross-entropy of `chunked_cross_entropy` under TensorFlow: a loop over chunks."""

import tensorflow as tf

from keras_geneformer.layers.chunked_cross_entropy import TOP


def token_losses(states, table, bias, labels, weights, chunk, gradient):
    """See `chunked_cross_entropy.token_losses`; any of the shapes may be unknown."""
    if not gradient:
        return _sums(states, table, bias, labels, weights, chunk, gradient)[0]

    @tf.custom_gradient
    def losses(states, table, bias):
        sums, parts = _sums(states, table, bias, labels, weights, chunk, gradient)

        def backward(upstream, _right, _top5):
            return [part * tf.cast(upstream, part.dtype) for part in parts]

        return sums, backward

    # Read here: outside a graph, TensorFlow refuses variables that are read inside.
    return losses(states, tf.convert_to_tensor(table), tf.convert_to_tensor(bias))


def _sums(states, table, bias, labels, weights, chunk, gradient):
    """The three sums and, if wanted, the gradients of the first."""
    if chunk is None:
        sums, parts = _chunk(states, table, bias, labels, weights, gradient)
        return sums, _typed(parts, states, table, bias)
    # Chunks as equal as can be: hardly a row is filled up. What is known of the shapes is kept, as
    # XLA needs it.
    positions = states.shape[0] or tf.shape(states)[0]
    chunks = -(-positions // chunk)
    chunks = max(chunks, 1) if isinstance(chunks, int) else tf.maximum(chunks, 1)
    rows = -(-positions // chunks)

    def split(array):
        filled = tf.pad(array, [[0, rows * chunks - positions]] + [[0, 0]] * (len(array.shape) - 1))
        return tf.reshape(filled, tf.concat([[chunks, rows], tf.shape(array)[1:]], axis=0))

    inputs = split(states), split(labels), split(weights)

    def step(index, sums, parts, to_states):
        x, label, weight = (array[index] for array in inputs)
        added, more = _chunk(x, table, bias, label, weight, gradient)
        if gradient:
            to_states = to_states.write(index, more[0])
        sums = tuple(old + new for old, new in zip(sums, added))
        return index + 1, sums, tuple(old + new for old, new in zip(parts, more[1:])), to_states

    zeros = tuple(tf.zeros(tf.shape(array)) for array in (table, bias)) if gradient else ()
    _, sums, parts, to_states = tf.while_loop(
        lambda index, *_: index < chunks,
        step,
        (
            tf.constant(0),
            (tf.constant(0.0),) * 3,
            zeros,
            tf.TensorArray(states.dtype, chunks, element_shape=inputs[0].shape[1:]),
        ),
        # One chunk after the other: side by side they would need the memory of the whole.
        parallel_iterations=1,
    )
    if not gradient:
        return sums, ()
    return sums, _typed((to_states.concat()[:positions], *parts), states, table, bias)


def _chunk(x, table, bias, labels, weights, gradient):
    table = tf.cast(table, x.dtype)
    scores = tf.cast(tf.matmul(x, table, transpose_b=True), tf.float32) + tf.cast(bias, tf.float32)
    true = tf.gather(scores, labels[:, None], axis=1, batch_dims=1)
    higher = tf.math.count_nonzero(scores > true, axis=1, dtype=tf.int32)
    known = tf.math.is_finite(true)[:, 0]
    # The kernel gives the cross-entropy and softmax - truth in one array.
    losses, to_scores = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(
        features=scores, labels=labels
    )
    counts = [losses, *(tf.cast(part & known, tf.float32) for part in (higher < 1, higher < TOP))]
    sums = tuple(tf.reduce_sum(weights * part) for part in counts)
    if not gradient:
        return sums, ()
    to_scores *= weights[:, None]
    to_bias = tf.reduce_sum(to_scores, axis=0)
    to_scores = tf.cast(to_scores, x.dtype)
    to_table = tf.cast(tf.matmul(to_scores, x, transpose_a=True), tf.float32)
    return sums, (tf.matmul(to_scores, table), to_table, to_bias)


def _typed(gradients, *arrays):
    return [tf.cast(part, array.dtype) for part, array in zip(gradients, arrays)]
