"""Adapters alone, on disk: a few hundred kilobytes for each task beside one backbone."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from keras_geneformer.compression.dense_layers import dense_layers
from keras_geneformer.compression.lora import ADAPTERS, adapted_layers, enable_lora, thaw
from keras_geneformer.tokenization.publishing import publish_directory

WEIGHTS_FILE = "adapters.safetensors"
DESCRIPTION_FILE = "adapters.json"
FORMAT = 1


def save_adapters(model: Any, directory: str | os.PathLike[str]) -> None:
    """Save the adapters of a model, and nothing else of it.

    Args:
        model: a Keras layer or model with adapters that are not merged.
        directory: to write, whole or not at all: `adapters.safetensors` with A and B of every
            layer, and `adapters.json` with rank, alpha, the layers and their shapes, and a checksum
            of their biases, which adapters leave as they were. Earlier adapters there are replaced.

    Raises:
        ValueError: the model has no adapters.
        FileExistsError: the directory holds something else.
    """
    layers = adapted_layers(model)
    if not layers:
        raise ValueError(
            f"The {type(model).__name__} {model.name!r} has no adapters to save: merged ones are "
            "part of its kernels. Save before merge_lora."
        )
    tensors = {
        f"{path}/{name}": np.ascontiguousarray(ops.convert_to_numpy(getattr(layer, name)))
        for path, layer in layers.items()
        for name in ADAPTERS
    }
    description = {
        "format": FORMAT,
        "layers": {
            path: {"rank": layer.lora_rank, "alpha": layer.lora_alpha, "shape": _shape(layer)}
            for path, layer in layers.items()
        },
        "biases_sha256": _checksum(layers),
    }
    with publish_directory(directory, _is_replaceable) as partial:
        save_file(tensors, partial / WEIGHTS_FILE)
        (partial / DESCRIPTION_FILE).write_text(json.dumps(description, indent=2) + "\n")


def load_adapters(model: Any, directory: str | os.PathLike[str]) -> None:
    """Put saved adapters beside the layers of a model, and freeze all else in it.

    Args:
        model: the layer or model they were saved from, or one with the same layers, as a backbone
            and a classifier on it have, without adapters; it is changed in place. It may be
            quantized, whether or not it was when they learned.
        directory: from `save_adapters`.

    Raises:
        FileNotFoundError: there are no adapters.
        ValueError: they are damaged, or belong to another model; the model is then as it was.
    """
    description, tensors = _read(Path(directory))
    layers = dense_layers(model)
    given = description["layers"]
    for path, kind in given.items():
        found = _shape(layers[path]) if path in layers else None
        if found != kind["shape"]:
            raise ValueError(
                f"The adapters in {directory} belong to another model: they want a Dense layer "
                f"{path} of {kind['shape']}, and this model's is {found or 'missing'}. Load them "
                "into the model they were trained beside."
            )
    chosen = {path: layers[path] for path in given}
    checksum = _checksum(chosen)
    if checksum != description["biases_sha256"]:
        raise ValueError(
            f"The adapters in {directory} belong to other weights: the biases of their layers have "
            f"sha256 {description['biases_sha256'][:12]}, this model's {checksum[:12]}. Load them "
            "into the model they were trained beside."
        )
    for path, layer in chosen.items():
        if layer.lora_enabled:
            raise ValueError(f"{path} has an adapter already. Merge it first (merge_lora).")
    for path, layer in chosen.items():
        enable_lora({path: layer}, given[path]["rank"], given[path]["alpha"])
        for name in ADAPTERS:
            getattr(layer, name).assign(tensors[f"{path}/{name}"])
    thaw(model)


def _read(directory: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    path = directory / DESCRIPTION_FILE
    for needed in (path, directory / WEIGHTS_FILE):
        if not needed.is_file():
            raise FileNotFoundError(
                f"There is no {needed.name} in {directory}. Expected a directory that "
                "save_adapters wrote."
            )
    try:
        description = json.loads(path.read_text())
        tensors = load_file(directory / WEIGHTS_FILE)
        expected = {f"{layer}/{name}" for layer in description["layers"] for name in ADAPTERS}
        sound = (
            description["format"] == FORMAT
            and tensors.keys() == expected
            and all(
                tensors[f"{layer}/{name}"].shape == shape
                for layer, kind in description["layers"].items()
                for name, shape in zip(
                    ADAPTERS, ((kind["shape"][0], kind["rank"]), (kind["rank"], kind["shape"][1]))
                )
            )
        )
    except (ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise ValueError(
            f"The adapters in {directory} cannot be read ({error}). Copy the directory again."
        ) from error
    if not sound:
        raise ValueError(
            f"The adapters in {directory} are not those that {DESCRIPTION_FILE} describes, or come "
            "from a newer keras_geneformer. Copy the directory again, or upgrade."
        )
    return description, tensors


def _is_replaceable(directory: Path) -> bool:
    return {path.name for path in Path(directory).iterdir()} <= {WEIGHTS_FILE, DESCRIPTION_FILE}


def _checksum(layers: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for path, layer in sorted(layers.items()):
        digest.update(path.encode())
        if layer.bias is not None:
            digest.update(ops.convert_to_numpy(layer.bias).astype("<f4").tobytes())
    return digest.hexdigest()


def _shape(layer: Any) -> list[int]:
    return [int(layer.input_spec.axes[-1]), int(layer.units)]
