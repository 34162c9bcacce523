"""The masked-LM objective: how well hidden genes are guessed, over masked positions alone."""

import keras
from keras import ops

TOP = 5


def masked_lm_loss() -> keras.losses.Loss:
    """Cross-entropy in nats, the mean over the masked positions of a batch.

    Positions of weight 0, which fill the rows of cells with fewer masks, count nothing.
    """
    return keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction="mean_with_sample_weight"
    )


def masked_lm_metrics() -> list[keras.metrics.Metric]:
    """Shares of masked positions whose gene has the highest score, and one of the five highest."""
    return [
        keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
        keras.metrics.MeanMetricWrapper(in_top, name="top5"),
    ]


def in_top(labels, scores):
    """Whether fewer than five tokens have a higher score than the true one.

    Counting is as cheap as finding the highest, and several times cheaper than sorting out five.

    Args:
        labels: true tokens, integers of shape `(batch, masks)`.
        scores: of all tokens, shape `(batch, masks, vocabulary_size)`.

    Returns:
        1.0 and 0.0, shape `(batch, masks)`.

    Example:
        >>> import numpy as np
        >>> scores = np.arange(8.0)[None, None].repeat(2, axis=1)
        >>> ops.convert_to_numpy(in_top(np.array([[3, 2]]), scores)).tolist()
        [[1.0, 0.0]]
    """
    labels, scores = ops.cast(labels, "int32"), ops.convert_to_tensor(scores)
    true = ops.take_along_axis(scores, labels[..., None], axis=-1)
    higher = ops.sum(ops.cast(scores > true, "int32"), axis=-1)
    return ops.cast(higher < TOP, "float32")
