"""Gradient checkpointing: what a layer computed is computed again in the backward pass."""

import keras


def recomputed(layer, function, x):
    """`function(x)`, of which only `x` is kept until the backward pass (Chen et al., 2016).

    Keras's `remat` would draw other dropout the second time and advance the layer's seeds twice
    (TensorFlow), or leave traced values in them (JAX). Here weights and seeds go in as values: both
    times the same dropout is drawn, and the seeds are advanced once.

    Args:
        layer: the built layer whose variables `function` reads; it draws from no others' seeds.
        function: of one tensor, giving one; made of Keras operations.
        x: its input.

    Returns:
        The output of `function`.
    """
    backend = keras.config.backend()
    variables = layer.variables
    seeds = [n for n, variable in enumerate(variables) if not _is_float(variable)]
    weights = [n for n in range(len(variables)) if n not in seeds]
    values = [variable.value for variable in variables]
    for n in seeds:
        # What it holds now: PyTorch and TensorFlow would read what is assigned below.
        values[n] = values[n] * 1
    drawn: dict[str, list] = {}

    def pure(x, *weight_values):
        state = dict(enumerate(values)) | dict(zip(weights, weight_values))
        mapping = [(variables[n], value) for n, value in state.items()]
        with keras.StatelessScope(mapping) as scope:
            output = function(x)
        after = [scope.get_current_value(variables[n]) for n in seeds]
        drawn.setdefault("seeds", after)
        return (output, after) if backend == "jax" else output

    inputs = [values[n] for n in weights]
    if backend == "jax":
        import jax

        output, after = jax.checkpoint(pure)(x, *inputs)
    elif backend == "tensorflow":
        import tensorflow as tf

        output = tf.recompute_grad(pure)(x, *map(tf.convert_to_tensor, inputs))
        after = drawn["seeds"]
    else:
        from torch.utils.checkpoint import checkpoint

        # The dropout that PyTorch draws from its own generator is repeated by `checkpoint`.
        output = checkpoint(pure, x, *inputs, use_reentrant=False)
        after = drawn["seeds"]
    for n, value in zip(seeds, after):
        variables[n].assign(value)
    return output


def _is_float(variable):
    return "float" in keras.backend.standardize_dtype(variable.dtype)
