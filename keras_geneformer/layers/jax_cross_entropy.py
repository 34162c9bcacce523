"""The cross-entropy of `chunked_cross_entropy` under JAX: a scan over chunks."""

from functools import partial

import jax
import jax.numpy as jnp

from keras_geneformer.layers.chunked_cross_entropy import TOP


def token_losses(states, table, bias, labels, weights, chunk, gradient):
    """See `chunked_cross_entropy.token_losses`; JAX itself knows whether a gradient is wanted."""
    return _token_losses(states, table, bias, labels, weights, chunk)


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def _token_losses(states, table, bias, labels, weights, chunk):
    return _sums(states, table, bias, labels, weights, chunk, gradient=False)[0]


def _forward(states, table, bias, labels, weights, chunk):
    return _sums(states, table, bias, labels, weights, chunk, gradient=True)


def _backward(chunk, gradients, upstream):
    return *((part * upstream[0]).astype(part.dtype) for part in gradients), None, None


_token_losses.defvjp(_forward, _backward)


def _sums(states, table, bias, labels, weights, chunk, gradient):
    """The three sums and, if wanted, the gradients of the first."""
    positions, width = states.shape
    chunks = max(1, -(-positions // (chunk or max(1, positions))))
    if chunks == 1:
        sums, parts = _chunk(states, table, bias, labels, weights, gradient)
        return sums, _typed(parts, states, table, bias) if gradient else None
    # Chunks as equal as can be. Each takes every `chunks`-th position: where the positions are
    # spread over devices, all of them work on every chunk.
    rows = -(-positions // chunks)

    def split(array):
        filled = jnp.pad(array, [(0, rows * chunks - positions)] + [(0, 0)] * (array.ndim - 1))
        return filled.reshape(rows, chunks, *array.shape[1:]).swapaxes(0, 1)

    def step(carry, part):
        x, label, weight = part
        sums, (to_states, *parts) = _chunk(x, table, bias, label, weight, gradient)
        return jax.tree.map(jnp.add, carry, (sums, parts)), to_states

    zeros = [jnp.zeros(array.shape, "float32") for array in (table, bias)] if gradient else []
    start = ((jnp.zeros((), "float32"),) * 3, zeros)
    (sums, parts), to_states = jax.lax.scan(
        step, start, tuple(map(split, (states, labels, weights)))
    )
    if not gradient:
        return sums, None
    to_states = to_states.swapaxes(0, 1).reshape(rows * chunks, width)[:positions]
    return sums, _typed((to_states, *parts), states, table, bias)


def _chunk(x, table, bias, labels, weights, gradient):
    product = partial(jnp.matmul, preferred_element_type="float32")
    table = table.astype(x.dtype)
    scores = product(x, table.T) + bias.astype("float32")
    true = jnp.take_along_axis(scores, labels[:, None], axis=1)
    higher = jnp.sum(scores > true, axis=1)
    highest = jnp.max(scores, axis=1, keepdims=True)
    normalizer = highest + jnp.log(jnp.sum(jnp.exp(scores - highest), axis=1, keepdims=True))
    hits = (true >= highest)[:, 0], (higher < TOP) & jnp.isfinite(true)[:, 0]
    losses = (normalizer - true)[:, 0]
    sums = tuple(jnp.sum(weights * part) for part in (losses, *hits))
    if not gradient:
        return sums, (None,)
    tokens = jax.lax.broadcasted_iota("int32", scores.shape, 1)
    to_scores = jnp.exp(scores - normalizer) - (tokens == labels[:, None])
    to_scores = to_scores * weights[:, None]
    to_bias = jnp.sum(to_scores, axis=0)
    to_scores = to_scores.astype(x.dtype)
    return sums, (product(to_scores, table), product(to_scores.T, x), to_bias)


def _typed(gradients, *arrays):
    return tuple(part.astype(array.dtype) for part, array in zip(gradients, arrays))
