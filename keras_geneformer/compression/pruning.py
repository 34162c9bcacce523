"""Magnitude pruning: the smallest weights are 0 and stay so (Han et al., 2015)."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_geneformer.compression.dense_layers import dense_layers

SCOPES = ("layer", "global")


def prune_smallest(model: Any, share: float, scope: str = "layer") -> dict[str, np.ndarray]:
    """Set the smallest weights of the Dense layers to 0. Biases, LayerNorm and tables stay.

    Args:
        model: a Keras layer or model, built; it is changed in place.
        share: of the weights of the kernels, between 0 and 1.
        scope: `"layer"`, this share of each kernel; `"global"`, of all together, so that a layer of
            small weights loses more.

    Returns:
        What is kept: the path of each Dense layer, and bool of its kernel's shape, False at zeros.
        `keep_zeros` holds them while the rest learns.

    Raises:
        ValueError: the share is out of range, no such scope, or kernels that are quantized or have
            adapters.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> kept = prune_smallest(tiny_backbone(num_layers=1), 0.75)
        >>> float(kept["encoder_block_0/intermediate"].mean())
        0.25
    """
    if not 0 < share < 1:
        raise ValueError(f"Received a share of {share} to prune; expected one between 0 and 1.")
    if scope not in SCOPES:
        raise ValueError(f"Received scope={scope!r}; expected 'layer' or 'global'.")
    layers = dense_layers(model)
    for path, layer in layers.items():
        if layer.lora_enabled or layer.quantization_mode is not None:
            raise ValueError(
                f"{path} has an adapter or is quantized, and merging would fill its zeros. Prune "
                "first, or merge first (merge_lora)."
            )
    sizes = {path: np.abs(ops.convert_to_numpy(layer.kernel)) for path, layer in layers.items()}
    kept = kept_weights(sizes, share, scope)
    for path, layer in layers.items():
        layer.kernel.assign(ops.convert_to_numpy(layer.kernel) * kept[path])
    return kept


def kept_weights(
    sizes: dict[str, np.ndarray], share: float, scope: str = "layer"
) -> dict[str, np.ndarray]:
    """All but the smallest share of some arrays, exactly that share; of equals, the first go.

    Args:
        sizes: arrays of magnitudes, by name.
        share: that is not kept, rounded to whole weights.
        scope: of each array (`"layer"`) or of all together (`"global"`).

    Example:
        >>> kept_weights({"a": np.array([3.0, 1.0]), "b": np.array([9.0, 8.0])}, 0.5)["b"].tolist()
        [True, False]
        >>> kept = kept_weights({"a": np.array([3., 1.]), "b": np.array([9., 8.])}, 0.5, "global")
        >>> kept["b"].tolist()
        [True, True]
    """
    if scope == "layer":
        return {
            name: _kept(array.ravel(), share).reshape(array.shape) for name, array in sizes.items()
        }
    flat = _kept(np.concatenate([array.ravel() for array in sizes.values()]), share)
    parts = np.split(flat, np.cumsum([array.size for array in sizes.values()])[:-1])
    return {name: part.reshape(sizes[name].shape) for name, part in zip(sizes, parts)}


def _kept(sizes: np.ndarray, share: float) -> np.ndarray:
    kept = np.ones(sizes.size, dtype=bool)
    kept[np.argsort(sizes, kind="stable")[: round(share * sizes.size)]] = False
    return kept


class KeptZeros(keras.constraints.Constraint):
    """Sets what is not kept to 0; Keras optimizers apply it after every step, on every backend.

    Args:
        kept: bool, of the variable's shape.
    """

    def __init__(self, kept: np.ndarray) -> None:
        # A byte a weight; of the backend, so that no compiled step holds it as a constant.
        self._kept = ops.convert_to_tensor(kept, dtype="bool")

    def __call__(self, weights):
        """The weights, and 0 where they are not kept."""
        weights = ops.convert_to_tensor(weights)
        return ops.where(self._kept, weights, ops.zeros_like(weights))


def keep_zeros(model: Any, kept: dict[str, np.ndarray]) -> None:
    """Hold pruned weights at 0 while the others learn, until `release_zeros`.

    Args:
        model: the pruned layer or model; the constraint goes on its variables.
        kept: from `prune_smallest`.
    """
    layers = dense_layers(model)
    for path, array in kept.items():
        layers[path].kernel.constraint = KeptZeros(array)


def release_zeros(model: Any) -> None:
    """Let pruned weights change again."""
    for layer in dense_layers(model).values():
        if isinstance(layer._kernel.constraint, KeptZeros):
            layer._kernel.constraint = None
