"""Kernels of 8 or 4 bits, frozen, for adapters to learn on (QLoRA: Dettmers et al., 2023)."""

from typing import Any

from keras_geneformer.compression.dense_layers import dense_layers
from keras_geneformer.compression.quantized_layers import (
    check_keras,
    garbage_left_out,
    quantize_layer,
)

MODES = ("int8", "int4")


def quantize_dense(model: Any, mode: str) -> None:
    """Hold the kernels of all Dense layers as integers. They no longer learn.

    Weights alone: they are multiplied as floats, and biases, LayerNorm and embedding tables stay
    float. int8 has a scale for each output, int4 a scale and a zero point for each output and 64
    inputs. This is Keras's own `Dense.quantize`. Adapters (`add_lora`) learn on it in float, and
    `merge_lora` gives float kernels back. A model that is not to learn is for `quantize`, which
    has the table of genes in few bits too.

    Of geneformer_mini (3 blocks of 128 dim), the kernels take .40 MB in int8 and .23 MB in int4, of
    1.57 MB in float32, and the whole backbone, most of which is its table of genes, 5.3 and 5.1 MB
    of 6.5 MB. The hidden states of random cells differ from the float ones by .5% and 5.9% of their
    mean size (cosine .99999 and .998). A step is not faster: the kernels are float while they are
    multiplied.

    Args:
        model: a Keras layer or model, built and without adapters; it is changed in place.
        mode: `"int8"` or `"int4"`.

    Raises:
        ValueError: no such mode, or a layer that is quantized or has an adapter already.
        ImportError: this Keras cannot quantize weights alone.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> backbone = tiny_backbone(num_layers=1)
        >>> quantize_dense(backbone, "int8")
        >>> backbone.get_layer("encoder_block_0").intermediate.kernel.dtype
        'int8'
    """
    if mode not in MODES:
        raise ValueError(f"Received a quantization to {mode!r}; expected 'int8' or 'int4'.")
    check_keras()
    layers = dense_layers(model)
    for path, layer in layers.items():
        if layer.lora_enabled or layer.quantization_mode is not None:
            raise ValueError(
                f"{path} has an adapter or is quantized already. Merge first (merge_lora)."
            )
    with garbage_left_out():
        for layer in layers.values():
            quantize_layer(layer, mode)
