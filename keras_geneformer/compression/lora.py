"""LoRA: a few weights learn beside frozen ones (Hu et al., "LoRA", 2021)."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_geneformer.compression.dense_layers import dense_layers

ADAPTERS = ("lora_kernel_a", "lora_kernel_b")
"""Keras's names of A and B."""


def add_lora(
    model: Any,
    rank: int = 8,
    targets: Sequence[str] = ("query", "value"),
    alpha: float | None = None,
) -> None:
    """Put low-rank adapters beside Dense layers, and freeze all else in the model.

    A layer's kernel W becomes W + alpha/rank A·B, of which A (inputs x rank) and B (rank x outputs)
    learn. B is 0 at first, so that the model gives what it gave before. This is Keras's own
    `Dense.enable_lora`.

    Args:
        model: a Keras layer or model, built; it is changed in place. Give the part that is to be
            frozen, a classifier's `backbone` say: what is not given is left alone.
        rank: columns of A; 4 to 16 are usual.
        targets: names of the Dense layers that get adapters.
        alpha: scale of the adapters; `rank` where None, which is a scale of 1.

    Raises:
        ValueError: the model has no such layers, has adapters already, or the rank is out of range.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> backbone = tiny_backbone(num_layers=1)
        >>> add_lora(backbone, rank=4)
        >>> [variable.name for variable in backbone.trainable_variables]
        ['lora_kernel_a', 'lora_kernel_b', 'lora_kernel_a', 'lora_kernel_b']
    """
    layers = dense_layers(model)
    names = sorted({layer.name for layer in layers.values()})
    unknown = sorted(set(targets) - set(names))
    if unknown or not targets:
        raise ValueError(
            f"Received targets={list(targets)}; the Dense layers of this model are "
            f"{', '.join(names) or 'none'}."
        )
    enable_lora(
        {path: layer for path, layer in layers.items() if layer.name in targets}, rank, alpha
    )
    model.trainable = False
    thaw(model)


def enable_lora(layers: dict[str, Any], rank: int, alpha: float | None = None) -> None:
    """Give adapters to these Dense layers, all or none of them; see `add_lora`."""
    widest = min(min(_shape(layer)) for layer in layers.values())
    if not 1 <= rank <= widest:
        raise ValueError(
            f"Received a LoRA rank of {rank}; expected 1 to {widest}, the smallest width of the "
            "layers that get adapters."
        )
    if alpha is not None and not alpha > 0:
        raise ValueError(f"Received a LoRA alpha of {alpha}; expected a number above 0, or None.")
    for path, layer in layers.items():
        if layer.lora_enabled:
            raise ValueError(f"{path} has an adapter already. Merge it first (merge_lora).")
    for layer in layers.values():
        layer.enable_lora(rank, lora_alpha=alpha)


def adapted_layers(model: Any) -> dict[str, Any]:
    """The Dense layers of a model that have adapters, by path."""
    layers = dense_layers(model)
    return {path: layer for path, layer in layers.items() if layer.lora_enabled}


def refuse_adapters(model: Any, purpose: str) -> None:
    """Raise a ValueError where a model has adapters that are not merged.

    Args:
        model: a Keras layer or model.
        purpose: what cannot be done with it, as in "copied".
    """
    adapted = next(iter(adapted_layers(model)), None)
    if adapted is not None:
        raise ValueError(
            f"The {type(model).__name__} {model.name!r} has adapters ({adapted}) and cannot be "
            f"{purpose}. Call keras_geneformer.merge_lora(model) first."
        )


def thaw(layer: Any) -> None:
    """Let a layer or model learn; where it has adapters, these alone.

    Layers without an adapter, in one that has some, stay frozen: an encoder block among them
    computes as at inference.
    """
    _set_trainable(layer, True)
    if _has_adapters(layer):
        _freeze_around_adapters(layer)


def freeze(layer: Any) -> None:
    """Keep a layer or model, and all within it, as it is."""
    _set_trainable(layer, False)


def _set_trainable(layer: Any, value: bool) -> None:
    # One by one: under TensorFlow, a layer whose attribute has the value already passes nothing on
    # to the layers within it.
    for part in layer._flatten_layers():
        part.trainable = value
        for variable in part._trainable_variables:
            variable.trainable = value


def _has_adapters(layer: Any) -> bool:
    return any(getattr(part, "lora_enabled", False) for part in layer._flatten_layers())


def _freeze_around_adapters(layer: Any) -> None:
    for variable in (*layer._trainable_variables, *layer._non_trainable_variables):
        variable.trainable = variable.name in ADAPTERS
    for part in layer._layers:
        if _has_adapters(part):
            _freeze_around_adapters(part)
        else:
            freeze(part)


def merge_lora(model: Any) -> None:
    """Fold the adapters into the kernels, and let everything learn again.

    The model then has the variables it had without adapters, and gives what it gave with them, to
    rounding. Layers that were quantized (`quantize`), adapters or not, are float again: they hold
    what their rounded kernels stood for, with the adapters added at full precision.

    Args:
        model: a Keras layer or model; it is changed in place. A step that was compiled before must
            be compiled again.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> backbone = tiny_backbone(num_layers=1)
        >>> weights = len(backbone.weights)
        >>> add_lora(backbone, rank=4)
        >>> merge_lora(backbone)
        >>> len(backbone.weights) == weights
        True
    """
    for layer in dense_layers(model).values():
        if not layer.lora_enabled and layer.quantization_mode is None:
            continue
        kernel = float_kernel(layer)
        if layer.lora_enabled:
            a, b = (ops.convert_to_numpy(getattr(layer, name)) for name in ADAPTERS)
            kernel = kernel + layer.lora_alpha / layer.lora_rank * (a @ b)
            for name in ADAPTERS:
                _remove(layer, name)
            layer.lora_enabled, layer.lora_rank, layer.lora_alpha = False, None, None
        if layer.quantization_mode is not None:
            _to_float(layer, kernel)
        layer._kernel.assign(kernel)
    thaw(model)


def float_kernel(layer: Any) -> np.ndarray:
    """The kernel of a Dense layer without its adapter, float32; of a quantized one, dequantized."""
    kernel = ops.convert_to_numpy(layer._kernel)
    if layer.quantization_mode is None:
        return kernel.astype(np.float32)
    scale = ops.convert_to_numpy(ops.cast(layer.kernel_scale, "float32"))
    if layer.quantization_mode == "int8":
        return kernel.astype(np.float32) / scale
    unpacked = keras.quantizers.unpack_int4(layer._kernel, layer.units, axis=-1)
    kernel = ops.convert_to_numpy(unpacked).astype(np.float32)
    groups = ops.convert_to_numpy(layer.g_idx).astype(int)
    zero = ops.convert_to_numpy(layer.kernel_zero).astype(np.float32)
    return (kernel - zero[groups]) * scale[groups]


def _to_float(layer: Any, kernel: np.ndarray) -> None:
    """Give a quantized layer its float variables back, in the order in which it had them."""
    bias = None if layer.bias is None else ops.convert_to_numpy(layer.bias)
    for name in ("_kernel", "kernel_scale", "kernel_zero", "g_idx", "bias"):
        if isinstance(getattr(layer, name, None), keras.Variable):
            _remove(layer, name)
    layer.dtype_policy = layer.dtype_policy.name.split("_from_")[-1]
    layer.quantization_config = None
    layer._is_quantized = False
    layer._tracker.unlock()
    layer.built = False
    layer.build((None, kernel.shape[0]))
    if bias is not None:
        layer.bias.assign(bias)


def _remove(layer: Any, name: str) -> None:
    # As `del layer.name`, for which Keras collects all garbage of the process each time.
    layer._untrack_variable(getattr(layer, name))
    object.__delattr__(layer, name)


def _shape(layer: Any) -> tuple[int, int]:
    inputs = layer.input_spec.axes[-1]
    return int(inputs), int(layer.units)
