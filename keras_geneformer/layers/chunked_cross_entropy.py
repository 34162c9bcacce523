"""Cross-entropy over a large vocabulary, whose scores exist for a chunk of positions at a time.

The scores of 12 cells of 2,048 tokens over 25,426 genes are the largest array of a training step.
The loss is a sum, so the gradients of a chunk are known, up to a factor, as soon as its scores are:
they are taken on the way forward, and neither scores nor softmax is kept or computed twice (the
idea of Liger's fused linear cross-entropy, Hsu et al., 2024, arXiv:2410.10989).
"""

import keras
from keras import ops

TOP = 5


def token_losses(states, table, bias, labels, weights, chunk=None, gradient=True):
    """Cross-entropy, hits and hits among the five best, summed over positions.

    Scores are `states @ table.T + bias`. The product is taken in the dtype of `states`, scores and
    softmax in float32. Positions of weight 0 count nothing, whatever stands there.

    Args:
        states: what is scored, shape `(positions, hidden_dim)`.
        table: an embedding a token, shape `(vocabulary_size, hidden_dim)`.
        bias: of the scores, shape `(vocabulary_size,)`.
        labels: true tokens, integers of shape `(positions,)`.
        weights: of the positions, shape `(positions,)`.
        chunk: positions scored at a time, at most; None for all at once. With it no array of
            `positions` x `vocabulary_size` exists, forward or backward.
        gradient: whether one will be asked for. Without, TensorFlow saves two of three products;
            the other backends find out by themselves.

    Returns:
        Three float32 scalars: the weighted cross-entropy in nats; the weight of the positions where
        no token has a higher score than the true one; and of those where fewer than five have. Of
        the three the first alone has gradients, to `states`, `table` and `bias`.

    Raises:
        ValueError: `chunk` is below 1.

    Example:
        >>> import numpy as np
        >>> states, table = np.ones((3, 4), "float32"), np.eye(7, 4, dtype="float32")
        >>> loss, right, top5 = token_losses(
        ...     states, table, np.zeros(7, "float32"), np.array([0, 6, 2]), np.ones(3), chunk=2)
        >>> float(right), float(top5)
        (2.0, 3.0)
    """
    if chunk is not None and chunk < 1:
        raise ValueError(
            f"Received chunk={chunk}; expected 1 or more positions scored at a time, or None for "
            "all at once."
        )
    weights = ops.cast(weights, "float32")
    counted = weights != 0
    # What stands at other positions may be no token and no number: 0 x NaN would be NaN.
    labels = ops.where(counted, ops.cast(labels, "int32"), 0)
    states = ops.convert_to_tensor(states)
    states = ops.where(counted[:, None], states, ops.zeros_like(states))
    table, bias = ops.convert_to_tensor(table), ops.convert_to_tensor(bias)
    return _of_backend()(states, table, bias, labels, weights, chunk, gradient)


def _of_backend():
    backend = keras.config.backend()
    if backend == "tensorflow":
        from keras_geneformer.layers.tensorflow_cross_entropy import token_losses
    elif backend == "jax":
        from keras_geneformer.layers.jax_cross_entropy import token_losses
    elif backend == "torch":
        from keras_geneformer.layers.torch_cross_entropy import token_losses
    else:
        raise ValueError(
            f"The Keras backend {backend} does not train; set KERAS_BACKEND to tensorflow, jax or "
            "torch."
        )
    return token_losses
