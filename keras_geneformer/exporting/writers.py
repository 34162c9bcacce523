"""A Keras model as a file of another runtime, of any batch size and length.

Each writer takes the model as a function of named inputs that gives named outputs. Attention is
traced plainly (`plain_attention`) for runtimes that fuse operations themselves; a SavedModel stays
with TensorFlow and keeps the blocks of queries that bound its memory.
"""

import contextlib
import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import keras

from keras_geneformer.layers.attention_kernels import plain_attention


def write_saved_model(model: Any, output: str, path: Path, plain: bool = False) -> None:
    """Write a SavedModel whose signature `serving_default` has the model's inputs.

    Args:
        model: a Keras model on the TensorFlow backend, with a dict of inputs.
        output: the name of its output, where it has one; several keep their names.
        path: directory to write.
        plain: trace attention without blocks.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serve", _named(model, output, plain), input_signature=[_tensorflow_signature(model)]
    )
    with _quiet():
        archive.write_out(str(path), verbose=False)


def write_onnx_from_tensorflow(model: Any, output: str, path: Path) -> None:
    """Write ONNX from the TensorFlow backend, by tf2onnx; arguments as in `write_saved_model`."""
    import onnx
    import tensorflow as tf
    import tf2onnx

    function = tf.function(_named(model, output, plain=True))
    with _quiet():
        graph, _ = tf2onnx.convert.from_function(
            function, input_signature=[_tensorflow_signature(model)], opset=17
        )
    onnx.save(_with_named_axes(graph), str(path))


def write_onnx_from_torch(model: Any, output: str, path: Path) -> None:
    """Write ONNX from the PyTorch backend, by its exporter; arguments as in `write_saved_model`.

    Raises:
        ValueError: the model is a masked LM: taking hidden states at positions, PyTorch's exporter
            makes constants of the number and length of the cells.
    """
    import torch

    names = [tensor.name for tensor in model.inputs]
    outputs = list(model.output) if isinstance(model.output, dict) else [output]
    if "mask_positions" in names:
        raise ValueError(
            "Received a masked LM to write as ONNX on the torch backend, whose exporter would fix "
            "the number and length of the cells. Set KERAS_BACKEND=tensorflow, or give layer= for "
            "its hidden states."
        )

    class Positional(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: Any) -> Any:
            given = self.model(dict(zip(names, tensors)), training=False)
            return tuple(given[name] for name in outputs) if isinstance(given, dict) else given

    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    # No size is 1, nor equal to another: those the exporter would take for constants.
    device = next(iter(model.variables)).value.device
    tokens = torch.ones((2, 8), dtype=torch.int32, device=device)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            Positional().eval(),
            (tokens,) * len(names),
            dynamo=True,
            dynamic_shapes=((axes,) * len(names),),
            input_names=names,
            output_names=outputs,
            verbose=False,
        )
        program.save(str(path))


def write_litert(model: Any, output: str, path: Path) -> None:
    """Write LiteRT's own operations alone; arguments as in `write_saved_model`."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as scratch, _quiet():
        write_saved_model(model, output, Path(scratch) / "saved_model", plain=True)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(Path(scratch) / "saved_model"))
        path.write_bytes(converter.convert())


def write_openvino(model: Any, output: str, path: Path) -> None:
    """Write OpenVINO's IR in float32, from the openvino backend or TensorFlow's.

    Arguments as in `write_saved_model`. The weights lie beside `path`, in a file of suffix `.bin`.

    Raises:
        ValueError: the model has several outputs, on the openvino backend.
    """
    import openvino as ov

    if keras.config.backend() == "openvino" and isinstance(model.output, dict):
        raise ValueError(
            f"Received a model of several outputs ({', '.join(model.output)}) on the openvino "
            "backend; expected one there. Set KERAS_BACKEND=tensorflow."
        )
    if keras.config.backend() == "openvino":
        from keras_geneformer.data.openvino_forward import openvino_graph

        graph = openvino_graph(model)
        graph.outputs[0].set_names({output})
        ov.save_model(graph, str(path), compress_to_fp16=False)
        return
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        write_saved_model(model, output, Path(scratch) / "saved_model", plain=True)
        graph = ov.convert_model(str(Path(scratch) / "saved_model"))
        ov.save_model(graph, str(path), compress_to_fp16=False)


def _named(model: Any, output: str, plain: bool) -> Any:
    """The model as a function from a dict of inputs to a dict of outputs."""

    def function(inputs: dict[str, Any]) -> dict[str, Any]:
        with plain_attention() if plain else contextlib.nullcontext():
            given = model(inputs, training=False)
        return given if isinstance(given, dict) else {output: given}

    return function


def _tensorflow_signature(model: Any) -> dict[str, Any]:
    import tensorflow as tf

    return {
        tensor.name: tf.TensorSpec([None, None], tensor.dtype, tensor.name)
        for tensor in model.inputs
    }


def _with_named_axes(graph: Any) -> Any:
    """An ONNX model whose open axes are called what they are."""
    for value in (*graph.graph.input, *graph.graph.output):
        names = ("batch", "masks" if value.name == "mask_positions" else "length")
        for name, axis in zip(names, value.type.tensor_type.shape.dim):
            if axis.WhichOneof("value") != "dim_value":
                axis.dim_param = name
    return graph


@contextlib.contextmanager
def _quiet() -> Any:
    """The converters' notes on their own internals are not for users."""
    loggers = [logging.getLogger(name) for name in ("tf2onnx", "torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
