"""A model in fewer bits: one function for all ways to round its weights, and what they multiply."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_geneformer.compression.block_inputs import calibrate_blocks, calibration_sample
from keras_geneformer.compression.dense_layers import dense_layers
from keras_geneformer.compression.gptq import round_with_feedback
from keras_geneformer.compression.openvino_int8 import int8_blocks_of, require_openvino
from keras_geneformer.compression.quantized_layers import (
    BLOCK,
    check_keras,
    encoder_blocks,
    garbage_left_out,
    is_quantized,
    quantize_layer,
)

MODES = {
    "int8": ("int8", "int8"),
    "int8-dynamic": ("int8-dynamic", "int8"),
    "int4": ("int4", "int4"),
    "gptq": ("int4", "int8"),
    "float8": ("float8", None),
    "openvino-int8": ("int8", "int8"),
}
"""How each mode stores the kernels of encoder blocks, and the table of genes (None: in float)."""

CALIBRATED = ("gptq", "float8", "openvino-int8")
"""Modes that need cells."""

FLOAT8_LARGEST = 448.0
"""The largest number of float8 e4m3fn."""


def quantize(model: Any, mode: str, calibration: Any = None, seed: int = 0) -> Any:
    """Store a model in fewer bits, and on OpenVINO compute in them.

    The kernels of all encoder blocks are rounded, and the table of genes, which is half of a small
    model. Biases, LayerNorm, positions and what stands on top of the blocks stay float.

    - `"int8"`: weights alone, a scale for each output and for each gene. A quarter of the size, on
      every backend; products are of floats, so no faster.
    - `"int8-dynamic"`: these, and the inputs of the blocks' products rounded to int8 by the largest
      of each token. Keras's own int8; no faster on CPUs.
    - `"int4"`: weights alone, a scale and a zero point for 64 inputs. The smallest, and the least
      exact.
    - `"gptq"`: kernels in 4 bits, rounded so that what the layers give for `calibration` changes
      least (Frantar et al., 2022, arXiv:2210.17323); the table in int8.
    - `"float8"`: weights and inputs of the blocks' products rounded to float8 (e4m3), scaled to
      what `calibration` shows. Keras's own, made for training on processors that have float8: the
      weights are stored as floats, so that it is neither smaller nor, elsewhere, faster.
    - `"openvino-int8"`: weights and activations of the blocks in int8, to ranges that `calibration`
      shows, computed by OpenVINO. For inference on the openvino backend alone; fast on processors
      with int8 instructions (VNNI, AMX).

    Whatever reads the model then reads the rounded one: `embed_cells`, `predict`, `perturb` and
    `save_to_preset`.

    Args:
        model: a `GeneformerBackbone` or a model that stands on one, in float and without adapters;
            it is changed in place. What was compiled from it before must be compiled again; and
            other models of its layers that have predicted (a classifier on a backbone that is given
            alone, a `hidden_state_model`) must be made anew: TensorFlow goes on with the old
            weights there.
        mode: one of those above.
        calibration: a `CellDataset` for the last three, of the kind that the model is for; 32 of
            its cells are read.
        seed: of the draw of these.

    Returns:
        The model.

    Raises:
        ValueError: no such mode, or no model; cells are missing, or given where they change
            nothing, or not of this model; the model is quantized or has adapters; or another
            backend than openvino for `"openvino-int8"`.
        ImportError: NNCF is missing for `"openvino-int8"`, or Keras is too old.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> backbone = quantize(tiny_backbone(num_layers=1), "int8")
        >>> backbone.get_layer("embeddings").token_embedding.embeddings.dtype
        'int8'
    """
    if mode not in MODES:
        raise ValueError(f"Received mode={mode!r}; expected one of {', '.join(map(repr, MODES))}.")
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"Received a {type(model).__name__} as the model; expected a model, which is changed "
            "in place: load a preset first (from_preset), or quantize it by the command line."
        )
    check_keras()
    if mode in CALIBRATED and calibration is None:
        raise ValueError(
            f"Quantization to {mode!r} needs cells: give calibration= a CellDataset of the kind "
            "that the model is for."
        )
    if mode not in CALIBRATED and calibration is not None:
        raise ValueError(f"Received calibration cells for {mode!r}, which needs none.")
    if is_quantized(model) or any(layer.lora_enabled for layer in dense_layers(model).values()):
        raise ValueError(
            f"The {type(model).__name__} {model.name!r} is quantized already or has adapters. Load "
            "it in float, or merge the adapters first (merge_lora)."
        )
    if mode == "openvino-int8":
        require_openvino("Quantization to 'openvino-int8'")
    cells = None if calibration is None else calibration_sample(model, calibration, seed)
    kernels, table = MODES[mode]
    # The graphs are made of the exact weights, which are rounded afterwards.
    blocks = int8_blocks_of(model, cells) if mode == "openvino-int8" else {}
    with garbage_left_out():
        if mode == "gptq":
            _calibrate_gptq(model, cells)
        elif mode == "float8":
            _calibrate_float8(model, cells)
        else:
            for block in encoder_blocks(model):
                for layer in dense_layers(block).values():
                    quantize_layer(layer, kernels)
        if table is not None:
            backbone = getattr(model, "backbone", model)
            quantize_layer(backbone.get_layer("embeddings").token_embedding, table)
    for block in encoder_blocks(model):
        block.int8 = blocks.get(block.name)
    for part in (model, getattr(model, "backbone", model)):
        part.train_function = part.test_function = part.predict_function = None
    return model


def _calibrate_gptq(model: Any, cells: Any) -> None:
    moments: dict[str, np.ndarray] = {}

    def observe(path: str, inputs: np.ndarray) -> None:
        x = inputs.astype(np.float64)
        moments[path] = moments.get(path, 0.0) + x.T @ x

    def finish(layers: dict[str, Any]) -> None:
        for path, layer in layers.items():
            kernel = ops.convert_to_numpy(ops.cast(layer.kernel, "float32"))
            levels, scales, zeros = round_with_feedback(kernel, moments.pop(path), BLOCK)
            quantize_layer(layer, "int4")
            # Keras's int4 has levels from -8; its own GPTQ loses the zero points when it saves.
            packed, _, _ = keras.quantizers.pack_int4(
                ops.convert_to_tensor(levels.astype(np.int8) - 8), axis=-1
            )
            layer._kernel.assign(packed)
            layer.kernel_scale.assign(scales)
            layer.kernel_zero.assign(zeros.astype(np.int8) - 8)

    calibrate_blocks(model, cells, observe, finish)


def _calibrate_float8(model: Any, cells: Any) -> None:
    largest: dict[str, float] = {}

    def observe(path: str, inputs: np.ndarray) -> None:
        largest[path] = max(largest.get(path, 0.0), float(np.abs(inputs).max()))

    def finish(layers: dict[str, Any]) -> None:
        for path, layer in layers.items():
            quantize_layer(layer, "float8")
            kernel = np.abs(ops.convert_to_numpy(ops.cast(layer._kernel, "float32"))).max()
            layer.inputs_scale.assign((largest[path] or 1.0) / FLOAT8_LARGEST)
            layer.kernel_scale.assign((kernel or 1.0) / FLOAT8_LARGEST)

    calibrate_blocks(model, cells, observe, finish)
