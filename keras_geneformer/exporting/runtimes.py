"""An exported model, loaded in the runtime it was written for. Needs no Keras."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keras_geneformer.exporting.formats import FORMATS, check_runtime

DESCRIPTION_FILE = "export.json"

Run = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


def read_export(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """The description of an exported model (docs/exporting.md).

    Raises:
        FileNotFoundError: the directory holds none.
        ValueError: it is of a format that is not known.
    """
    path = Path(directory) / DESCRIPTION_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {DESCRIPTION_FILE} in {directory}. Expected a directory that "
            "export_model wrote."
        )
    description = json.loads(path.read_text())
    if description.get("version") != 1 or description.get("format") not in FORMATS:
        raise ValueError(
            f"{path} holds version {description.get('version')!r} and format "
            f"{description.get('format')!r}; expected version 1 and one of {', '.join(FORMATS)}. "
            "It may come from a newer keras_geneformer: upgrade."
        )
    return description


def load_exported(directory: str | os.PathLike[str]) -> Run:
    """Load an exported model in its runtime, on the CPU.

    Args:
        directory: that `export_model` wrote.

    Returns:
        A function from a dict of int32 arrays, named as the model's inputs, to a dict of float32
        arrays. Batch size and length may differ from call to call.

    Raises:
        FileNotFoundError: the directory holds no exported model.
        ImportError: its runtime is not installed.

    Example:
        An exported classifier on one cell of three genes:

        `load_exported("exported")({"token_ids": ids, "padding_mask": ones})["scores"]`
    """
    description = read_export(directory)
    path = Path(directory) / check_runtime(description["format"]).file
    return _LOADERS[description["format"]](path)


def _load_saved_model(path: Path) -> Run:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    function = loaded.signatures["serving_default"]

    def run(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = {name: tf.constant(array) for name, array in inputs.items()}
        return {name: np.asarray(value) for name, value in function(**tensors).items()}

    # The function holds its variables weakly: they live as long as what was loaded.
    run.loaded = loaded  # type: ignore[attr-defined]
    return run


def _load_onnx(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs)))


def _load_litert(path: Path) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(path)).get_signature_runner()
    return lambda inputs: runner(**inputs)


def _load_openvino(path: Path) -> Run:
    import openvino as ov

    # bfloat16 otherwise, on processors that have it.
    compiled = ov.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    names = [output.get_any_name() for output in compiled.outputs]

    def run(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        given = compiled(inputs)
        return {name: np.array(given[index]) for index, name in enumerate(names)}

    return run


_LOADERS: dict[str, Callable[[Path], Run]] = {
    "saved_model": _load_saved_model,
    "onnx": _load_onnx,
    "litert": _load_litert,
    "openvino": _load_openvino,
}
