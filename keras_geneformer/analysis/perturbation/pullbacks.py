"""Functions of a layer, and their vector-Jacobian products, compiled on each backend."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_geneformer.backend import require_backend

Function = Callable[..., Any]


def forward_of(function: Function, layer: Any) -> Function:
    """Compile a function that reads a layer's weights.

    The weights go in as values, so that layers of one shape share what is compiled.

    Args:
        function: of `layer` and tensors, giving a tensor; made of Keras operations.
        layer: built.

    Returns:
        A function of a layer alike and tensors.
    """
    backend = require_backend()

    def stateless(values: list[Any], *tensors: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(layer.variables, values))):
            return function(layer, *tensors)

    if backend == "torch":
        import torch

        def eager(of: Any, *tensors: Any) -> Any:
            with torch.no_grad():
                return function(of, *tensors)

        return eager
    if backend == "jax":
        import jax

        compiled = jax.jit(stateless)
    else:
        import tensorflow as tf

        compiled = tf.function(stateless, reduce_retracing=True)
    return lambda of, *tensors: compiled(_values(of), *tensors)


def pullback_of(function: Function, layer: Any) -> Function:
    """Compile the vector-Jacobian products of a function that reads a layer's weights.

    The function is run once for all the vectors, and what its backward pass needs is kept until
    the last of them.

    Args:
        function: as in `forward_of`. It is differentiated in its first two tensors.
        layer: built.

    Returns:
        A function of a layer alike, the vectors (a sequence of tensors of the output's shape) and
        the tensors. It gives for each vector a pair: the products for the first and for the second
        tensor.

    Example:
        >>> import keras
        >>> from keras import ops
        >>> dense = keras.layers.Dense(1, kernel_initializer="ones")
        >>> dense.build((None, 2))
        >>> pull = pullback_of(lambda layer, x, y: layer(x) * y, dense)
        >>> x, y = ops.ones((1, 2)), ops.convert_to_tensor([[3.0]])
        >>> [[float(ops.sum(product)) for product in pair] for pair in pull(dense, [y / 3], x, y)]
        [[6.0, 2.0]]
    """
    backend = require_backend()
    if backend == "torch":
        return _torch_pullback(function)
    if backend == "jax":
        return _jax_pullback(function, layer)
    return _tensorflow_pullback(function, layer)


def _torch_pullback(function: Function) -> Function:
    import torch

    def pull(of: Any, vectors: Sequence[Any], one: Any, other: Any, *rest: Any) -> list[Any]:
        inputs = [tensor.detach().requires_grad_() for tensor in (one, other)]
        with torch.enable_grad():
            output = function(of, *inputs, *rest)
        last = len(vectors) - 1
        return [
            torch.autograd.grad(
                output, inputs, vector, retain_graph=number < last, materialize_grads=True
            )
            for number, vector in enumerate(vectors)
        ]

    return pull


def _jax_pullback(function: Function, layer: Any) -> Function:
    import jax

    @jax.jit
    def pull(values: Any, vectors: Any, one: Any, other: Any, *rest: Any) -> Any:
        def of_two(one: Any, other: Any) -> Any:
            with keras.StatelessScope(state_mapping=list(zip(layer.variables, values))):
                return function(layer, one, other, *rest)

        # One vector after the other: all at once would take the memory of as many.
        return jax.lax.map(jax.vjp(of_two, one, other)[1], jax.numpy.stack(vectors))

    def each(of: Any, vectors: Sequence[Any], *tensors: Any) -> list[Any]:
        return list(zip(*pull(_values(of), list(vectors), *tensors)))

    return each


def _tensorflow_pullback(function: Function, layer: Any) -> Function:
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def pull(values: Any, vectors: Any, one: Any, other: Any, *rest: Any) -> Any:
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([one, other])
            with keras.StatelessScope(state_mapping=list(zip(layer.variables, values))):
                output = function(layer, one, other, *rest)
        return [
            tape.gradient(
                output, [one, other], vector, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
            for vector in vectors
        ]

    return lambda of, vectors, *tensors: pull(_values(of), list(vectors), *tensors)


def _values(layer: Any) -> list[Any]:
    return [variable.value for variable in layer.variables]
