"""The fine-tuning step on one of several replicas of a `tf.distribute` strategy."""

from typing import Any

import tensorflow as tf


def several() -> bool:
    """Whether this is called in the context of one replica of several."""
    context = tf.distribute.get_replica_context()
    return context is not None and context.num_replicas_in_sync > 1


def train_step(model: Any, data: Any) -> dict[str, Any]:
    """One optimizer step; all replicas step alike.

    A replica's loss counts by its share of the batch's weights, so that a loss that is a mean over
    entries is that of the whole batch. (Dice and class weights, which divide by what is in the
    batch, are then a mean over the replicas' own.) Gradients are clipped when they are added up.

    Args:
        model: a compiled `FinetuningModel`.
        data: this replica's rows, `(inputs, labels, weights)`.

    Returns:
        `loss`, and where labels are classes `accuracy`, of the whole batch.
    """
    inputs, labels, weights = data
    own = tf.add_n([tf.reduce_sum(array) for array in tf.nest.flatten(weights)])
    share = own / tf.maximum(_sum([own])[0], 1e-12)
    variables = [variable.value for variable in model.trainable_variables]
    with tf.GradientTape() as tape:
        scores = model(inputs, training=True)
        loss = model.compute_loss(inputs, labels, scores, weights) * share
    gradients = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    # The embedding tables' are sparse, and sparse ones cannot be added up over devices at once.
    gradients = _sum([tf.convert_to_tensor(gradient) for gradient in gradients])
    model.optimizer.gradients_are_global = True
    model.optimizer.apply(gradients, model.trainable_variables)
    logs = {"loss": _sum([loss])[0]}
    right = model.right(labels, scores)
    if right is not None:
        totals = _sum([tf.reduce_sum(right * weights), own])
        logs["accuracy"] = totals[0] / tf.maximum(totals[1], 1e-12)
    return logs


def _sum(values: list) -> list:
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)
