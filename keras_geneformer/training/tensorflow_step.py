"""The pretraining step on TensorFlow, in the context of one replica of a `tf.distribute` strategy
or of none.
"""

from typing import Any

import tensorflow as tf

from keras_geneformer.training.pretraining_model import means


def train_step(model: Any, data: Any) -> dict[str, Any]:
    """One optimizer step; all devices step alike.

    Args:
        model: a compiled `PretrainingModel`.
        data: this replica's rows, `(inputs, labels, weights)`.

    Returns:
        `loss`, `accuracy`, `top5` and `masked` of the whole batch.
    """
    variables = [variable.value for variable in model.trainable_variables]
    gradients, sums = _micro_batches(model, variables, data)
    gradients, sums = _over_all_replicas((gradients, sums))
    masked = tf.maximum(sums["masked"], 1.0)
    gradients = [gradient / tf.cast(masked, gradient.dtype) for gradient in gradients]
    model.optimizer.apply(gradients, model.trainable_variables)
    return means(sums)


def test_step(model: Any, data: Any) -> dict[str, Any]:
    """Loss and metrics of a batch, over all devices."""
    return means(_over_all_replicas(model(data, training=False)))


def _micro_batches(model: Any, variables: list, data: Any) -> tuple[list, dict[str, Any]]:
    """Gradients of the summed loss and the sums themselves, over the micro-batches."""
    number = model.accumulate
    if number == 1:
        return _gradients(model, variables, data)

    def more(index: Any, gradients: Any, sums: Any) -> Any:
        piece = tf.nest.map_structure(lambda array: array[index::number], data)
        added = _gradients(model, variables, piece)
        return index + 1, *tf.nest.map_structure(tf.add, (gradients, sums), added)

    zeros = [tf.zeros(variable.shape, variable.dtype) for variable in variables]
    nothing = {name: tf.zeros(()) for name in ("loss", "accuracy", "top5", "masked")}
    _, gradients, sums = tf.while_loop(
        lambda index, *_: index < number,
        more,
        (tf.constant(0), zeros, nothing),
        parallel_iterations=1,
        maximum_iterations=number,
    )
    return gradients, sums


def _gradients(model: Any, variables: list, data: Any) -> tuple[list, dict[str, Any]]:
    with tf.GradientTape() as tape:
        sums = model(data, training=True)
    gradients = tape.gradient(
        sums["loss"], variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    # The embedding tables' are sparse, and sparse ones cannot be added up over devices at once.
    return [tf.convert_to_tensor(gradient) for gradient in gradients], sums


def _over_all_replicas(values: Any) -> Any:
    """The sums over all replicas, where there are several."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    flat = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.nest.flatten(values))
    return tf.nest.pack_sequence_as(values, flat)
