"""The verb `export`."""

import argparse
from collections.abc import Callable
from pathlib import Path

_FORMATS = ("saved_model", "onnx", "litert", "openvino")


def add_verbs(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `export`."""
    verb = add(
        "export",
        _export,
        "a model for other runtimes: SavedModel, ONNX, LiteRT, OpenVINO",
        "Writes a directory with the model and export.json, which names its inputs, outputs and\n"
        "classes. The model takes cells of any number and length. The TensorFlow backend writes\n"
        "every format, PyTorch ONNX, and openvino its own.",
        "keras-geneformer export heart_cell_types --format onnx --output heart_onnx --verify",
    )
    verb.add_argument("preset", help="preset or published checkpoint directory")
    verb.add_argument("--format", choices=_FORMATS, required=True, help="of the runtime")
    verb.add_argument("--output", required=True, type=Path, metavar="DIR", help="to write")
    verb.add_argument(
        "--layer",
        type=int,
        help="hidden states after so many encoder blocks, negative from the end (default: the "
        "model's own output)",
    )
    verb.add_argument(
        "--verify", action="store_true", help="run it in its runtime and compare it with Keras"
    )


def _export(options: argparse.Namespace) -> None:
    from keras_geneformer import export_model
    from keras_geneformer.exporting.runtimes import read_export

    export_model(
        options.preset,
        options.output,
        format=options.format,
        layer=options.layer,
        verify=options.verify,
    )
    written = read_export(options.output)
    outputs = ", ".join(output["name"] for output in written["outputs"])
    print(f"{written['model']} as {written['format']} ({outputs}) in {options.output}")
    if options.verify:
        print(f"largest difference from Keras: {written['largest_difference']:.1e}")
