"""One step of training or validation, compiled for the backend in use."""

from collections.abc import Callable
from typing import Any

import keras

from keras_geneformer.training.distribution import Distribution

Step = Callable[[tuple], dict[str, float]]


def compile_step(model: Any, batch: tuple, training: bool = True) -> Step:
    """Compile a step of a compiled Keras model.

    On TensorFlow one graph serves batches of every shape (Keras's `train_on_batch` traces two, and
    tracing takes longer than many a fine-tuning). JAX compiles once a shape, PyTorch not at all.

    Args:
        model: a compiled Keras model.
        batch: one batch, `(inputs, labels)` or `(inputs, labels, sample_weight)`; all others must
            be of its structure, types and number of dimensions.
        training: update the weights; otherwise the loss and the metrics are taken alone.

    Returns:
        A function from a batch to that batch's loss and metrics, by name.
    """
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        if training:
            model.optimizer.build(model.trainable_variables)
        signature = tf.nest.map_structure(_spec, batch)
        graph = tf.function(
            lambda *data: (model.train_step if training else model.test_step)(data),
            input_signature=signature,
            autograph=False,
        )

        def tensorflow_step(batch: tuple) -> dict[str, float]:
            model.reset_metrics()
            logs = graph(*tf.nest.map_structure(tf.convert_to_tensor, batch))
            return {name: float(value) for name, value in logs.items()}

        return tensorflow_step

    on_batch = model.train_on_batch if training else model.test_on_batch

    def step(batch: tuple) -> dict[str, float]:
        model.reset_metrics()
        inputs, labels, *weights = batch
        logs = on_batch(
            inputs, labels, sample_weight=weights[0] if weights else None, return_dict=True
        )
        return {name: float(value) for name, value in logs.items()}

    return step


def compile_distributed_step(
    model: Any, distribution: Distribution, batch: tuple, training: bool = True
) -> Step:
    """Compile a step of a compiled `PretrainingModel` on all devices of a run.

    This is the driver beside Keras's `fit`, for what `fit` cannot do: several workers under
    `tf.distribute`, and to go on from any step.

    Args:
        model: made and compiled in the distribution's scope.
        distribution: from `connect`.
        batch: one batch of this process's rows, `(inputs, labels, weights)`.
        training: update the weights; otherwise the loss and the metrics are taken alone.

    Returns:
        A function from this process's rows of a batch to the loss and metrics of the whole batch.
    """
    if distribution.layout is not None:
        on_batch = model.train_on_batch if training else model.test_on_batch

        def jax_step(batch: tuple) -> dict[str, float]:
            with distribution.scope():
                logs = on_batch(*batch, return_dict=True)
            return {name: float(value) for name, value in logs.items()}

        return jax_step
    if distribution.strategy is None:
        return compile_step(model, batch, training)

    import tensorflow as tf

    strategy = distribution.strategy
    step = model.train_step if training else model.test_step
    replicas = distribution.devices // distribution.part[1]

    @tf.function(
        input_signature=[tf.nest.map_structure(_spec, (batch,) * replicas)],
        autograph=False,
    )
    def graph(shares: tuple) -> dict:
        def of_replica(context: Any) -> Any:
            return shares[context.replica_id_in_sync_group % replicas]

        rows = strategy.experimental_distribute_values_from_function(of_replica)
        logs = strategy.run(step, args=(rows,))
        return tf.nest.map_structure(
            lambda value: strategy.experimental_local_results(value)[0], logs
        )

    def tensorflow_step(batch: tuple) -> dict[str, float]:
        logs = graph(tuple(share(batch, index) for index in range(replicas)))
        return {name: float(value) for name, value in logs.items()}

    def share(batch: tuple, index: int) -> tuple:
        def rows(array: Any) -> Any:
            number = len(array) // replicas
            return tf.convert_to_tensor(array[index * number : (index + 1) * number])

        return tf.nest.map_structure(rows, batch)

    return tensorflow_step


def _spec(array: Any) -> Any:
    """The type of an array in every batch: rows and length vary, the width of states does not."""
    import tensorflow as tf

    width = [array.shape[-1]] if array.ndim > 2 else []
    return tf.TensorSpec([None] * (array.ndim - len(width)) + width, array.dtype)
