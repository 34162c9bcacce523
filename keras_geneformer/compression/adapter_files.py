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

from keras_geneformer.compression import peft_files
from keras_geneformer.compression.dense_layers import dense_layers
from keras_geneformer.compression.lora import ADAPTERS, adapted_layers, enable_lora, thaw
from keras_geneformer.tokenization.publishing import publish_directory

WEIGHTS_FILE = "adapters.safetensors"
DESCRIPTION_FILE = "adapters.json"
FORMAT = 1
FORMATS = ("keras_geneformer", "peft")


def save_adapters(
    model: Any,
    directory: str | os.PathLike[str],
    format: str = "keras_geneformer",
    base: str | os.PathLike[str] | None = None,
) -> None:
    """Save the adapters of a model, and nothing else of it.

    Args:
        model: a Keras layer or model with adapters that are not merged.
        directory: to write, whole or not at all: `adapters.safetensors` with A and B of every
            layer, and `adapters.json` with rank, alpha, the layers and their shapes, and a checksum
            of their biases, which adapters leave as they were. Earlier adapters there are replaced.
        format: `"keras_geneformer"`, or `"peft"` for what the `peft` package reads:
            `adapter_config.json` and `adapter_model.safetensors`. A classifier's head goes along,
            as `peft` has it; a backbone's adapters are those of a `BertModel` by itself.
        base: with `"peft"`, the directory or hub name of the model that the adapters stand beside,
            to be named in `adapter_config.json`.

    Raises:
        ValueError: the model has no adapters, or for `"peft"` a head that `transformers` has not.
        FileExistsError: the directory holds something else.
    """
    if format not in FORMATS:
        raise ValueError(f"Received format={format!r}; expected one of {', '.join(FORMATS)}.")
    layers = adapted_layers(model)
    if not layers:
        raise ValueError(
            f"The {type(model).__name__} {model.name!r} has no adapters to save: merged ones are "
            "part of its kernels. Save before merge_lora."
        )
    if format == "peft":
        _save_peft(model, layers, directory, base)
        return
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
        directory: from `save_adapters`, or from the `peft` package (LoRA). Heads that `peft` saved
            whole (`modules_to_save`) are loaded, and learn on.

    Raises:
        FileNotFoundError: there are no adapters.
        ValueError: they are damaged, belong to another model, or do what Keras's adapters do not;
            the model is then as it was.
    """
    if (Path(directory) / peft_files.CONFIG_FILE).is_file():
        _load_peft(model, Path(directory))
        return
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


def _save_peft(
    model: Any,
    adapted: dict[str, Any],
    directory: str | os.PathLike[str],
    base: str | os.PathLike[str] | None,
) -> None:
    layers = dense_layers(model)
    foreign = sorted(layers.keys() - peft_files.places(layers))
    pooling = getattr(model, "pooling", "first")
    if foreign or pooling not in ("first", "cls"):
        lacks = foreign[0] if foreign else f"pooling={pooling!r}"
        raise ValueError(
            f"transformers has no {lacks}, so peft cannot take these adapters. Save those of "
            "model.backbone, or keep to format='keras_geneformer'."
        )
    adapters = {
        path: peft_files.PeftAdapter(
            ops.convert_to_numpy(layer.lora_kernel_a),
            ops.convert_to_numpy(layer.lora_kernel_b),
            layer.lora_alpha,
        )
        for path, layer in adapted.items()
    }
    modules = {
        f"{path}/{name}": ops.convert_to_numpy(getattr(layers[path], name))
        for path in ("pooler", "scores")
        if path in layers and path not in adapted
        for name in ("kernel", "bias")
    }
    task_type = None
    if "scores" in layers:
        task_type = "SEQ_CLS" if "pooler" in layers else "TOKEN_CLS"
    bare = not layers.keys() & {"scores", "masked_lm_head/dense"}
    named = None if base is None else os.fspath(base)
    with publish_directory(directory, _is_replaceable) as partial:
        peft_files.write_peft(partial, adapters, modules, bare, named, task_type)


def _load_peft(model: Any, directory: Path) -> None:
    adapters = peft_files.read_peft(directory)
    layers = dense_layers(model)
    variables = {variable.path: variable for variable in model.weights}
    wanted = {path: (len(one.a), one.b.shape[1]) for path, one in adapters.layers.items()}
    found = {path: tuple(_shape(layers[path])) for path in wanted if path in layers}
    wanted |= {path: value.shape for path, value in adapters.modules.items()}
    found |= {p: tuple(variables[p].shape) for p in adapters.modules if p in variables}
    for path, shape in wanted.items():
        if found.get(path) != shape:
            raise ValueError(
                f"The adapters in {directory} belong to another model: they want {path} of "
                f"{shape}, and this model's is {found.get(path, 'missing')}. Load them into the "
                "model they were trained beside, with its head."
            )
    for path, adapter in adapters.layers.items():
        if layers[path].lora_enabled:
            raise ValueError(f"{path} has an adapter already. Merge it first (merge_lora).")
        if adapter.a.shape[1] > min(wanted[path]):
            raise ValueError(
                f"The adapter of {path} in {directory} has rank {adapter.a.shape[1]}, above the "
                f"layer's width of {min(wanted[path])}. Merge it with peft (merge_and_unload)."
            )
    for path, adapter in adapters.layers.items():
        enable_lora({path: layers[path]}, adapter.a.shape[1], adapter.alpha)
        for name, value in zip(ADAPTERS, (adapter.a, adapter.b)):
            getattr(layers[path], name).assign(value)
    for path, value in adapters.modules.items():
        variables[path].assign(value)
    thaw(model)
    for path in {path.rpartition("/")[0] for path in adapters.modules} & layers.keys():
        thaw(layers[path])


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
    names = {path.name for path in Path(directory).iterdir()}
    ours = {WEIGHTS_FILE, DESCRIPTION_FILE}
    return names <= ours or names <= {peft_files.WEIGHTS_FILE, peft_files.CONFIG_FILE}


def _checksum(layers: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for path, layer in sorted(layers.items()):
        digest.update(path.encode())
        if layer.bias is not None:
            digest.update(ops.convert_to_numpy(layer.bias).astype("<f4").tobytes())
    return digest.hexdigest()


def _shape(layer: Any) -> list[int]:
    return [int(layer.input_spec.axes[-1]), int(layer.units)]
