"""Layers whose weights are stored in few bits: making them, and saying how they are stored."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_geneformer.layers.encoder_block import EncoderBlock

BLOCK = 64
"""Inputs that share a scale and a zero point in 4 bits, as in the QLoRA paper."""

SCHEMES = ("int8", "int8-dynamic", "int4", "float8")
"""How the weights of a Dense layer may be stored."""

TABLE_SCHEMES = ("int8", "int4")
"""How a table of embeddings may be stored."""


def quantized_layers(model: Any) -> dict[str, str]:
    """The quantized layers of a Keras layer or model, sorted by path, and the scheme of each.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> backbone = tiny_backbone(num_layers=1)
        >>> quantize_layer(backbone.get_layer("encoder_block_0").intermediate, "int8")
        >>> quantized_layers(backbone)
        {'encoder_block_0/intermediate': 'int8'}
    """
    return {
        path: _scheme(layer)
        for path, layer in quantizable_layers(model).items()
        if layer.quantization_mode is not None
    }


def int8_blocks(model: Any) -> list[Any]:
    """The encoder blocks within a model whose work an int8 graph of OpenVINO does."""
    return [block for block in encoder_blocks(model) if block.int8 is not None]


def is_quantized(model: Any) -> bool:
    """Whether any weights of a Keras layer or model are quantized (`quantize`).

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> is_quantized(tiny_backbone(num_layers=1))
        False
    """
    return bool(quantized_layers(model) or int8_blocks(model))


def refuse_quantized(model: Any, purpose: str) -> None:
    """Raise a ValueError where a model is quantized.

    Args:
        model: a Keras layer or model.
        purpose: what cannot be done with it, as in "trained".
    """
    if is_quantized(model):
        raise ValueError(
            f"The {type(model).__name__} {model.name!r} is quantized and cannot be {purpose}: "
            "rounded weights are all that is left of it. Use the model that it was made from, and "
            "quantize the result (keras_geneformer.quantize). Adapters learn on int8 or int4 "
            "weights by the settings lora=8, quantize='int8' of fine-tuning, from a model in float."
        )


def quantizable_layers(model: Any) -> dict[str, Any]:
    """All Dense layers and tied tables of embeddings within a built model, sorted by path."""
    kinds = (keras.layers.Dense, keras.layers.ReversibleEmbedding)
    found = [layer for layer in model._flatten_layers() if isinstance(layer, kinds)]
    return dict(sorted((layer.path, layer) for layer in found))


def encoder_blocks(model: Any) -> list[Any]:
    """All encoder blocks within a model."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, EncoderBlock)]


def quantize_layer(layer: Any, scheme: str) -> None:
    """Store the weights of one layer in few bits. This is Keras's own `quantize`.

    Args:
        layer: a Dense layer or a ReversibleEmbedding, built and in float; it is changed in place.
        scheme: one of `SCHEMES`. Under `"float8"` the scales are still 1.

    Raises:
        ValueError: no such scheme for such a layer.
    """
    table = isinstance(layer, keras.layers.ReversibleEmbedding)
    if scheme not in (TABLE_SCHEMES if table else SCHEMES):
        raise ValueError(
            f"{layer.path} cannot be quantized to {scheme!r}. It may come from a newer "
            "keras_geneformer: upgrade."
        )
    mode = "int8" if scheme == "int8-dynamic" else scheme
    layer.quantize(mode, config=_config(scheme))


def quantize_as(model: Any, schemes: dict[str, str]) -> None:
    """Give a model in float the layers of a quantized one, whose weights are then loaded.

    Args:
        model: a Keras model, built; it is changed in place.
        schemes: as `quantized_layers` gives them.

    Raises:
        ValueError: the model has no such layers, or there is no such scheme.
    """
    layers = quantizable_layers(model)
    unknown = sorted(schemes.keys() - layers.keys())
    if unknown:
        raise ValueError(
            f"Received quantized layers that this {type(model).__name__} does not have: "
            f"{', '.join(unknown)}. Copy the preset again."
        )
    with garbage_left_out():
        for path, scheme in schemes.items():
            quantize_layer(layers[path], scheme)


@contextmanager
def garbage_left_out() -> Iterator[None]:
    """Keras collects all garbage of the process for each layer: what is there now is left out."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def check_keras() -> None:
    """Raise an ImportError where this Keras cannot quantize weights alone."""
    if not hasattr(keras.quantizers, "Int4QuantizationConfig"):
        raise ImportError(
            f"Keras {keras.__version__} cannot quantize weights alone. Install a newer one: "
            "`pip install --upgrade keras`."
        )


def _config(scheme: str) -> Any:
    quantizers = keras.quantizers
    if scheme == "int8":
        return quantizers.Int8QuantizationConfig(activation_quantizer=None)
    if scheme == "int8-dynamic":
        return quantizers.Int8QuantizationConfig()
    if scheme == "int4":
        return quantizers.Int4QuantizationConfig(block_size=BLOCK)
    return quantizers.Float8QuantizationConfig()


def _scheme(layer: Any) -> str:
    mode = layer.quantization_mode
    dynamic = mode == "int8" and layer.inputs_quantizer is not None
    return "int8-dynamic" if dynamic else mode
