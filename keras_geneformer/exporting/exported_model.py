"""A Geneformer for runtimes that know neither Keras nor this package."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

import keras_geneformer
from keras_geneformer.backend import require_backend
from keras_geneformer.compression.quantized_layers import refuse_quantized
from keras_geneformer.exporting import writers
from keras_geneformer.exporting.description import describe
from keras_geneformer.exporting.formats import FORMATS, check_format, check_runtime
from keras_geneformer.exporting.runtimes import DESCRIPTION_FILE
from keras_geneformer.exporting.verification import verify_export
from keras_geneformer.models.backbone_of import backbone_of, model_in
from keras_geneformer.models.preset_format import VOCABULARY_DIRECTORY
from keras_geneformer.models.presets import load_whole, preset_vocabulary
from keras_geneformer.tokenization.publishing import check_destination, publish_directory

_WRITERS: dict[tuple[str, str], Callable[[Any, str, Path], None]] = {
    ("saved_model", "tensorflow"): writers.write_saved_model,
    ("onnx", "tensorflow"): writers.write_onnx_from_tensorflow,
    ("onnx", "torch"): writers.write_onnx_from_torch,
    ("litert", "tensorflow"): writers.write_litert,
    ("openvino", "tensorflow"): writers.write_openvino,
    ("openvino", "openvino"): writers.write_openvino,
}


def export_model(
    model_or_preset: Any,
    directory: str | os.PathLike[str],
    format: str = "saved_model",
    layer: int | None = None,
    verify: bool = False,
) -> Path:
    """Write a model for another runtime: SavedModel, ONNX, LiteRT or OpenVINO.

    The graph takes cells of any number and length, and computes in float32. Beside it stand
    `export.json`, which says what goes in and what comes out (docs/exporting.md), and the
    vocabulary of the preset, where it has one.

    Args:
        model_or_preset: a Geneformer model, or the name or directory of a preset.
        directory: to write; it appears whole or not at all, and replaces an earlier export.
        format: `"saved_model"`, `"onnx"`, `"litert"` or `"openvino"`.
        layer: hidden states after so many encoder blocks, negative from the end (-2: the second to
            last, the default of embeddings); None for the model's own output.
        verify: load what was written in its runtime and compare it with Keras on cells of several
            numbers and lengths, before it takes its name.

    Returns:
        The directory.

    Raises:
        ValueError: no such format, layer or model; the backend does not write the format (the
            message says which does); the model is quantized; or `verify` finds a difference.
        ImportError: what writes the format, or with `verify` runs it, is not installed.
        FileExistsError: the directory holds something else than an export.

    Example:
        >>> import tempfile
        >>> from keras_geneformer.testing import tiny_backbone
        >>> target = tempfile.mkdtemp() + "/exported"
        >>> if keras.config.backend() == "tensorflow":
        ...     print(export_model(tiny_backbone(num_layers=1), target).name)
        ... else:
        ...     print("exported")
        exported
    """
    backend = require_backend()
    chosen = check_format(format, backend)
    if verify:
        check_runtime(format)
    directory = Path(directory)
    check_destination(directory, is_export)
    model, vocabulary = _model_and_vocabulary(model_or_preset)
    refuse_quantized(model, "exported")
    model = model_in(model, "float32")
    graph = model if layer is None else backbone_of(model).hidden_state_model(layer)
    description = describe(model, graph, layer)
    description |= {
        "version": 1,
        "format": format,
        "file": chosen.file,
        "vocabulary": vocabulary is not None,
        "keras_geneformer": keras_geneformer.__version__,
        "keras": keras.__version__,
        "backend": backend,
    }
    with publish_directory(directory, is_export) as partial:
        _WRITERS[format, backend](graph, description["outputs"][0]["name"], partial / chosen.file)
        if vocabulary is not None:
            vocabulary.save(partial / VOCABULARY_DIRECTORY)
        (partial / DESCRIPTION_FILE).write_text(json.dumps(description, indent=2) + "\n")
        if verify:
            description["largest_difference"] = verify_export(partial, graph)
            (partial / DESCRIPTION_FILE).write_text(json.dumps(description, indent=2) + "\n")
    return directory


def is_export(directory: str | os.PathLike[str]) -> bool:
    """Whether a directory holds an exported model and nothing else."""
    names = {path.name for path in Path(directory).iterdir()}
    files = {chosen.file for chosen in FORMATS.values()} | {"model.bin", "model.onnx.data"}
    return DESCRIPTION_FILE in names <= files | {DESCRIPTION_FILE, VOCABULARY_DIRECTORY}


def _model_and_vocabulary(model_or_preset: Any) -> tuple[Any, Any]:
    """The model whole, head and all, and the vocabulary that its preset keeps."""
    if not isinstance(model_or_preset, (str, os.PathLike)):
        backbone_of(model_or_preset)
        return model_or_preset, None
    return load_whole(model_or_preset), preset_vocabulary(model_or_preset)
