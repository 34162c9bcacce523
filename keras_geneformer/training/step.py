"""One step of training or validation, compiled for the backend in use."""

from collections.abc import Callable
from typing import Any

import keras

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
        signature = tf.nest.map_structure(
            lambda array: tf.TensorSpec([None] * array.ndim, array.dtype), batch
        )
        graph = tf.function(
            lambda *data: (model.train_step if training else model.test_step)(data),
            input_signature=signature,
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
