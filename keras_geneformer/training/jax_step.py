"""The pretraining step on JAX: a function of the state, over the whole batch of all devices."""

from typing import Any

import jax
import jax.numpy as jnp

from keras_geneformer.training.pretraining_model import means


def train_step(model: Any, state: tuple, data: Any) -> tuple[dict[str, Any], tuple]:
    """One optimizer step. Rows that lie on several devices are summed over by the compiler.

    Args:
        model: a compiled `PretrainingModel`.
        state: trainable, other, optimizer and metric variables.
        data: the whole batch, `(inputs, labels, weights)`.

    Returns:
        `loss`, `accuracy`, `top5` and `masked` of the batch, and the new state.
    """
    trainable, other, optimizer, metrics = state
    gradients, sums, other = _micro_batches(model, trainable, other, data)
    masked = jnp.maximum(sums["masked"], 1.0)
    gradients = [gradient / masked.astype(gradient.dtype) for gradient in gradients]
    trainable, optimizer = model.optimizer.stateless_apply(optimizer, gradients, trainable)
    return means(sums), (trainable, other, optimizer, metrics)


def test_step(model: Any, state: tuple, data: Any) -> tuple[dict[str, Any], tuple]:
    """Loss and metrics of a batch, over all devices."""
    trainable, other, metrics = state
    sums, other = model.stateless_call(trainable, other, data, training=False)
    return means(sums), (trainable, other, metrics)


def _micro_batches(model: Any, trainable: list, other: list, data: Any) -> tuple:
    """Gradients of the summed loss, the sums, and the other variables, over the micro-batches."""

    def loss(trainable: list, other: list, piece: Any) -> tuple:
        sums, other = model.stateless_call(trainable, other, piece, training=True)
        return sums["loss"], (sums, other)

    gradients_of = jax.grad(loss, has_aux=True)
    number = model.accumulate
    if number == 1:
        gradients, (sums, other) = gradients_of(trainable, other, data)
        return gradients, sums, other

    def more(carried: tuple, piece: Any) -> tuple:
        gradients, sums, other = carried
        added, (more_sums, other) = gradients_of(trainable, other, piece)
        gradients, sums = jax.tree.map(jnp.add, (gradients, sums), (added, more_sums))
        return (gradients, sums, other), None

    def pieces(array: Any) -> Any:
        # Every number-th row, so that the rows of each piece still lie on all devices.
        return jnp.moveaxis(array.reshape(-1, number, *array.shape[1:]), 1, 0)

    zeros = [jnp.zeros_like(value) for value in trainable]
    nothing = {name: jnp.zeros(()) for name in ("loss", "accuracy", "top5", "masked")}
    carried, _ = jax.lax.scan(more, (zeros, nothing, other), jax.tree.map(pieces, data))
    return carried
