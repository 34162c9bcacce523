"""A checkpoint on disk as verification sees it: a preset of ours, or a published one."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_geneformer.conversion.checkpoint_files import read_checkpoint
from keras_geneformer.conversion.own_entries import tasks_of_own_entry
from keras_geneformer.conversion.published_config import (
    backbone_arguments,
    checkpoint_kind,
    head_dropout_of,
    number_of_classes,
    read_published_config,
    task_of,
)
from keras_geneformer.conversion.published_config_writing import published_config
from keras_geneformer.conversion.table import (
    IGNORED_KEYS,
    KINDS_WITHOUT_POOLER,
    TIED_KEYS,
    UNUSED_KEYS,
    Shapes,
)
from keras_geneformer.models.preset_format import WEIGHTS_FILE, is_preset, read_description
from keras_geneformer.models.presets import load_saved
from keras_geneformer.models.published_view import published_view

_NAMES = {"id2label", "label2id", "tasks", "special_token_ids", "vocabulary_checksum"}
_NOT_OF_THE_MODEL = _NAMES | {"architectures", "pad_token_id", "torch_dtype"}


class CheckpointSide(NamedTuple):
    """What is compared of a checkpoint.

    Attributes:
        directory: where it lies.
        name: its class of model, of ours or of `transformers`.
        kind: its head, as in `checkpoint_table`.
        config: what its config.json says, or would, of the model; without names.
        vocabulary_checksum: of the vocabulary its weights belong to; None where it is unknown.
        shapes: of its tensors, by PyTorch key.
        read: gives the tensor of a key.
        weights: its files of weights.
        model: the loaded model of a preset; None for a published checkpoint.
    """

    directory: Path
    name: str
    kind: str
    config: dict[str, Any]
    vocabulary_checksum: str | None
    shapes: Shapes
    read: Callable[[str], np.ndarray]
    weights: list[Path]
    model: Any

    def sha256(self) -> list[str]:
        """Of each of its files of weights."""
        sums = []
        for path in self.weights:
            with open(path, "rb") as file:
                sums.append(hashlib.file_digest(file, "sha256").hexdigest())
        return sums


def checkpoint_side(directory: Path) -> CheckpointSide:
    """Read what is compared of a checkpoint; tensors are read when they are asked for.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or not that of a Geneformer.
    """
    return _preset_side(directory) if is_preset(directory) else _published_side(directory)


def _preset_side(directory: Path) -> CheckpointSide:
    model = load_saved(directory)
    view = published_view(model)
    return CheckpointSide(
        directory,
        type(model).__name__,
        view.kind,
        _of_the_model(view.config),
        read_description(directory)["vocabulary_checksum"],
        {key: tensor.shape for key, tensor in view.tensors.items()},
        view.read,
        [directory / WEIGHTS_FILE],
        model,
    )


def _published_side(directory: Path) -> CheckpointSide:
    config = read_published_config(directory)
    tensors = read_checkpoint(directory)
    kind = checkpoint_kind(config, tensors.keys())
    unused = UNUSED_KEYS if kind in KINDS_WITHOUT_POOLER else set()
    arguments = {"vocabulary_checksum": None, **backbone_arguments(config)}
    # Given explicitly or not, the rate is the backbone's where nothing else is said.
    rate = head_dropout_of(config, kind)
    understood = published_config(
        arguments,
        kind,
        num_classes=number_of_classes(config) if kind.endswith("classifier") else 0,
        task=task_of(config) if kind == "cell_classifier" else None,
        tasks=(tasks_of_own_entry(config) or {}) if kind.startswith("multitask") else None,
        head_dropout=arguments["dropout"] if rate is None else rate,
    )
    return CheckpointSide(
        directory,
        understood["architectures"][0],
        kind,
        _of_the_model(understood),
        arguments["vocabulary_checksum"],
        {
            key: shape
            for key, shape in tensors.shapes.items()
            if key not in IGNORED_KEYS | TIED_KEYS.keys() | unused
        },
        tensors.__getitem__,
        list(tensors.files),
        None,
    )


def _of_the_model(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in _NOT_OF_THE_MODEL}
