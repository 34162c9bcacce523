"""What the config.json of a published checkpoint means for ours."""

import json
import math
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from keras_geneformer.conversion.own_entries import arguments_of_own_entries
from keras_geneformer.conversion.table import ARCHITECTURES, Shapes

ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "silu": "silu"}
"""`hidden_act` values that are understood, and the Keras activation of each (proven equal in
tests/parity). `gelu` is the exact one; its approximations (`gelu_new`, ...) are other functions."""

PROBLEM_TYPES = {
    "single-label": "single_label_classification",
    "multi-label": "multi_label_classification",
    "regression": "regression",
}
"""`problem_type` of `transformers`, by the `task` of a `GeneformerCellClassifier`."""

_SPECIAL_TOKENS = {25_426: (0, 1), 20_275: (0, 1, 2, 3)}
"""Special token ids by the vocabulary sizes of the published models, V1 and V2."""


_WHOLE_NUMBERS = {
    "vocab_size",
    "num_hidden_layers",
    "num_attention_heads",
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
}
_RATES = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")

_HEAD_DROPOUT = 0.1
"""The published multi-task model's, which its config.json does not say."""


def read_published_config(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """Read config.json and check that it describes a model this package can hold.

    Args:
        directory: folder of a `transformers` checkpoint.

    Returns:
        The file's content.

    Raises:
        FileNotFoundError: there is no config.json.
        ValueError: it is not JSON, or it describes another kind of model.
    """
    path = Path(directory) / "config.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing. A published checkpoint is a directory with config.json and "
            "model.safetensors or pytorch_model.bin; one of ours has preset.json."
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}). Download it again.") from error
    if not isinstance(config, dict) or config.get("model_type") != "bert":
        kind = config.get("model_type") if isinstance(config, dict) else type(config).__name__
        raise ValueError(
            f"{path}: received model_type {kind!r}; expected 'bert', which Geneformer checkpoints "
            "are. Is this the checkpoint of another model?"
        )
    missing = sorted(({"hidden_act"} | _WHOLE_NUMBERS) - config.keys())
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}. Download it again.")
    _refuse_wrong_values(path, config)
    if not isinstance(config["hidden_act"], str) or config["hidden_act"] not in ACTIVATIONS:
        raise ValueError(
            f"{path}: received hidden_act {config['hidden_act']!r}; expected one of "
            f"{', '.join(ACTIVATIONS)} (Geneformer uses relu). Loading it as another activation "
            "would give wrong results without a sign."
        )
    if config.get("is_decoder"):
        raise ValueError(
            f"{path}: received is_decoder {config['is_decoder']!r}; expected an encoder, in which "
            "every gene attends to all others."
        )
    position_type = config.get("position_embedding_type", "absolute")
    if position_type != "absolute":
        raise ValueError(
            f"{path}: received position_embedding_type {position_type!r}; expected 'absolute'."
        )
    return config


def _refuse_wrong_values(path: Path, config: dict[str, Any]) -> None:
    """Sizes, rates and labels of another type, or that no model has."""

    def refuse(key: str, expected: str) -> None:
        raise ValueError(
            f"{path}: received {key} {config[key]!r}; expected {expected}. Download it again."
        )

    for key in (*sorted(_WHOLE_NUMBERS), "type_vocab_size", "num_labels"):
        if key in config and (type(config[key]) is not int or config[key] < 1):
            refuse(key, "a whole number of at least 1")
    for key in _RATES:
        unsaid = key == "classifier_dropout" and config.get(key) is None
        if key in config and not unsaid and not _is_number(config[key], 0, 1):
            refuse(key, "a rate of at least 0 and below 1")
    for key in ("layer_norm_eps", "initializer_range"):
        if key in config and not _is_number(config[key], 0, math.inf):
            refuse(key, "a number of at least 0")
    if config["hidden_size"] % config["num_attention_heads"]:
        raise ValueError(
            f"{path}: received hidden_size {config['hidden_size']} and num_attention_heads "
            f"{config['num_attention_heads']}; the heads must divide the width. Download it again."
        )
    labels = config.get("id2label")
    if labels is None:
        return
    named = isinstance(labels, dict) and all(isinstance(name, str) for name in labels.values())
    if not named or set(labels) != {str(index) for index in range(len(labels))}:
        refuse("id2label", "a name for each of 0, 1, 2 ...")


def _is_number(value: Any, least: float, below: float) -> bool:
    return type(value) in (int, float) and least <= value < below


def checkpoint_kind(config: dict[str, Any], keys: Collection[str] = ()) -> str:
    """Which head a checkpoint has, from its keys or the architecture that its config names.

    The published multi-task model is told by its keys: its config.json is that of the model it was
    trained from.

    Args:
        config: from `read_published_config`.
        keys: of the checkpoint.

    Returns:
        A kind, as `checkpoint_table` takes it.

    Raises:
        ValueError: the architecture is none of these.

    Example:
        >>> checkpoint_kind({"architectures": ["BertForMaskedLM"]}, ["classification_heads.0.bias"])
        'multitask'
    """
    if any(key.startswith("classification_heads.") for key in keys):
        pooled = "attention_pool.attention_weights" in keys
        return "multitask_attention" if pooled else "multitask"
    names = config.get("architectures") or []
    if not isinstance(names, list) or len(names) != 1 or str(names[0]) not in ARCHITECTURES:
        raise ValueError(
            f"Received a checkpoint of architectures {names}; expected one of "
            f"{', '.join(ARCHITECTURES)}."
        )
    return ARCHITECTURES[str(names[0])]


def backbone_arguments(config: dict[str, Any]) -> dict[str, Any]:
    """Constructor arguments of the backbone that a published config describes.

    The published files do not say which token ids are special: the two published vocabularies are
    recognised by their size; for any other, models with 4096 positions are taken for V2's
    (`<pad>`, `<mask>`, `<cls>`, `<eos>`) and shorter ones for V1's (`<pad>`, `<mask>`).
    """
    fallback = (0, 1, 2, 3) if config["max_position_embeddings"] >= 4096 else (0, 1)
    return {
        "vocabulary_size": config["vocab_size"],
        "num_layers": config["num_hidden_layers"],
        "num_heads": config["num_attention_heads"],
        "hidden_dim": config["hidden_size"],
        "intermediate_dim": config["intermediate_size"],
        "max_sequence_length": config["max_position_embeddings"],
        "dropout": config.get("hidden_dropout_prob", 0.1),
        "attention_dropout": config.get("attention_probs_dropout_prob", 0.1),
        "activation": ACTIVATIONS[config["hidden_act"]],
        "layer_norm_epsilon": config.get("layer_norm_eps", 1e-12),
        "num_segments": config.get("type_vocab_size", 2),
        "initializer_range": config.get("initializer_range", 0.02),
        "special_token_ids": _SPECIAL_TOKENS.get(config["vocab_size"], fallback),
        **arguments_of_own_entries(config),
    }


def task_sizes(shapes: Shapes) -> list[int]:
    """The number of classes of each task of a published multi-task model, in their order."""
    sizes: list[int] = []
    while (bias := shapes.get(f"classification_heads.{len(sizes)}.bias")) is not None:
        sizes.append(math.prod(bias))
    return sizes


def head_dropout_of(config: dict[str, Any], kind: str) -> float | None:
    """Rate before the last layer; None for the backbone's."""
    rate = config.get("classifier_dropout")
    return _HEAD_DROPOUT if kind.startswith("multitask") and rate is None else rate


def task_of(config: dict[str, Any]) -> str:
    """What a cell classifier's scores are, as `GeneformerCellClassifier` calls it.

    Raises:
        ValueError: the config names another kind of problem.
    """
    problem = config.get("problem_type")
    if problem is None:
        return "single-label"
    tasks = {theirs: ours for ours, theirs in PROBLEM_TYPES.items()}
    if not isinstance(problem, str) or problem not in tasks:
        raise ValueError(
            f"config.json: received problem_type {problem!r}; expected {', '.join(tasks)} or null."
        )
    return tasks[problem]


def class_names_of(config: dict[str, Any]) -> list[str] | None:
    """Names of a classifier's classes, in order; None where they are only LABEL_0, LABEL_1."""
    labels = config.get("id2label")
    if not labels:
        return None
    names = [labels[key] for key in sorted(labels, key=int)]
    return None if names == [f"LABEL_{index}" for index in range(len(names))] else names


def number_of_classes(config: dict[str, Any]) -> int:
    """Number of classes of a classifier; `transformers` leaves it out where it is two."""
    return len(config["id2label"]) if config.get("id2label") else config.get("num_labels", 2)
