"""Heads and units of encoder blocks as gates: how much is lost where one is closed.

A gate multiplies what a head, or a unit of the feed-forward network, hands to the projection above
it; removing a head closes its gate. The derivative of a loss by a gate is found without any gate:
where y = sum over i of c_i W_i, with W_i the row of the projection that input i meets, it is the
sum over a head's rows of W_i times dL/dW_i.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_geneformer.layers.encoder_block import EncoderBlock


def encoder_blocks(model: Any) -> dict[str, Any]:
    """The encoder blocks of a model by name, from the input up; those of a head last.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> list(encoder_blocks(tiny_backbone(num_layers=2)))
        ['encoder_block_0', 'encoder_block_1']
    """
    blocks = [layer for layer in model._flatten_layers() if isinstance(layer, EncoderBlock)]

    def place(block: Any) -> tuple[bool, int]:
        return block.name.startswith("head"), int(block.name.rpartition("_")[2])

    return {block.name: block for block in sorted(blocks, key=place)}


def head_path(block: str) -> str:
    """The variable whose rows a block's heads meet."""
    return f"{block}/attention/output_projection/kernel"


def unit_path(block: str) -> str:
    """The variable whose rows the units of a block's feed-forward network meet."""
    return f"{block}/output_projection/kernel"


@keras.saving.register_keras_serializable(package="keras_geneformer")
class GateImportance(keras.optimizers.Optimizer):
    """An optimizer that changes no weight: it adds up how much the loss depends on each gate.

    Of every step the absolute derivative of the loss by each gate is added. Over steps of one cell
    each their mean is the expected sensitivity of Michel et al. (2019), the first-order estimate of
    Molchanov et al. (2019) of how much the loss changes where the gate is closed.

    Args:
        gates: by the path of a variable, how many gates its rows stand behind, in equal groups of
            consecutive rows. Other variables are left alone.

    Example:
        >>> weight = keras.Variable([[1.0], [2.0], [3.0]], name="kernel")
        >>> optimizer = GateImportance({weight.path: 3})
        >>> optimizer.apply([ops.array([[1.0], [-1.0], [0.0]])], [weight])
        >>> optimizer.importance()[weight.path].tolist()
        [1.0, 2.0, 0.0]

    Source: Michel, Levy and Neubig, "Are sixteen heads really better than one?" (2019); Molchanov
        et al., "Importance estimation for neural network pruning" (2019).
    """

    def __init__(self, gates: Mapping[str, int], name: str = "gate_importance") -> None:
        super().__init__(learning_rate=0.0, name=name)
        self._gates = dict(gates)

    def build(self, variables):
        """Make the sums."""
        if self.built:
            return
        super().build(variables)
        self._paths = [variable.path for variable in variables]
        self._sums = {
            path: self.add_variable((self._gates[path],), dtype="float32", name=f"gates_{number}")
            for number, path in enumerate(self._paths)
            if path in self._gates
        }

    def update_step(self, gradient, variable, learning_rate):
        """Add what the gates before one variable are worth on this batch."""
        path = self._paths[self._get_variable_index(variable)]
        if path not in self._sums:
            return
        product = ops.cast(gradient, "float32") * ops.cast(variable, "float32")
        by_gate = ops.sum(ops.reshape(product, (self._gates[path], -1)), axis=1)
        self.assign_add(self._sums[path], ops.abs(by_gate))

    def importance(self) -> dict[str, np.ndarray]:
        """(gates,) float32, mean over steps, by the path of the variable behind them."""
        steps = max(int(ops.convert_to_numpy(self.iterations)), 1)
        return {path: ops.convert_to_numpy(total) / steps for path, total in self._sums.items()}

    def get_config(self):
        """Constructor arguments."""
        return {"gates": self._gates, "name": self.name}


def gates_of(model: Any) -> dict[str, int]:
    """What `GateImportance` takes of a model: its heads and units, by the variables behind them.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> list(gates_of(tiny_backbone(num_layers=1)).values())
        [4, 64]
    """
    gates = {}
    for name, block in encoder_blocks(model).items():
        gates[head_path(name)] = block.num_heads
        gates[unit_path(name)] = block.intermediate_dim
    return gates


def gate_magnitudes(model: Any) -> dict[str, np.ndarray]:
    """How large the weights on both sides of each gate are: a guess where there are no cells.

    Of a unit the norm of the weights that enter it, bias included, times that of those that leave
    it; of a head the same of its values.

    Args:
        model: a Keras model with encoder blocks, built.

    Returns:
        (gates,) float64 by the path of the variable behind them, as `GateImportance.importance`.
    """
    sizes = {}
    for name, block in encoder_blocks(model).items():
        value, leaving = block.attention.value, block.attention.output_projection
        sizes[head_path(name)] = _sizes(value, leaving, block.num_heads)
        sizes[unit_path(name)] = _sizes(
            block.intermediate, block.output_projection, block.intermediate_dim
        )
    return sizes


def _sizes(entering: Any, leaving: Any, gates: int) -> np.ndarray:
    def square(weights: Any) -> np.ndarray:
        return ops.convert_to_numpy(weights).astype(np.float64) ** 2

    into = square(entering.kernel).sum(axis=0) + square(entering.bias)
    out = square(leaving.kernel).sum(axis=1)
    return np.sqrt(into.reshape(gates, -1).sum(axis=1) * out.reshape(gates, -1).sum(axis=1))
