"""Refuses the configuration of a saved model before anything is built or allocated from it."""

import math
import numbers
from typing import Any

_SIZES = ("vocabulary_size", "num_layers", "hidden_dim", "max_sequence_length")
_BY_BLOCK = ("num_heads", "intermediate_dim")
_RATES = ("dropout", "attention_dropout")
_POSITIVE = ("layer_norm_epsilon", "initializer_range")
_POLICIES = "DTypePolicy"
_MOST_NUMBERS = 100_000


def check_config(model: str, config: Any, source: object) -> None:
    """Raise where a configuration is not one that a model of ours has written.

    Args:
        model: name of the class.
        config: what `get_config` gave, read back from JSON.
        source: where it was read, for the message.

    Raises:
        ValueError: an entry is missing, of another type, or no size. Activations and dtypes may
            only be names, since Keras would build whatever else they describe.

    Example:
        >>> check_config("GeneformerBackbone", {"vocabulary_size": 30}, "preset.json")
        Traceback (most recent call last):
        ...
        ValueError: preset.json has no num_layers in its config. Copy the preset again.
    """
    backbone = backbone_config(model, config, source)
    for name in (*_SIZES, *_BY_BLOCK):
        if name not in backbone:
            raise ValueError(f"{source} has no {name} in its config. Copy the preset again.")
    for name in _SIZES:
        _check_size(source, name, backbone[name])
    for name in ("num_segments", "head_dim"):
        if backbone.get(name) is not None:
            _check_size(source, name, backbone[name])
    for name in _BY_BLOCK:
        given = backbone[name]
        if isinstance(given, list) and len(given) != backbone["num_layers"]:
            _refuse(source, name, given, f"a number, or {backbone['num_layers']} of them")
        for one in given if isinstance(given, list) else [given]:
            _check_size(source, name, one)
    for name in _RATES:
        rate = backbone.get(name)
        if rate is not None and not (_is_number(rate) and 0 <= rate <= 1):
            _refuse(source, name, rate, "a number from 0 to 1")
    for name in _POSITIVE:
        value = backbone.get(name, 0.0)
        if not (_is_number(value) and 0 <= value < math.inf):
            _refuse(source, name, value, "a number that is not negative")
    special = backbone.get("special_token_ids")
    if special is not None and not (
        isinstance(special, list) and all(_is_whole(s) for s in special) and len(special) < 1000
    ):
        _refuse(source, "special_token_ids", special, "a list of token ids")
    activation = backbone.get("activation", "relu")
    if not (isinstance(activation, str) and activation.isidentifier()):
        _refuse(source, "activation", activation, "the name of an activation")
    _check_policy(source, backbone.get("dtype"))
    if config is not backbone and config.get("head_layers") is not None:
        layers = config["head_layers"]
        if not (_is_whole(layers) and 0 <= layers <= _MOST_NUMBERS):
            _refuse(source, "head_layers", layers, "a whole number")
    if config is not backbone and config.get("num_classes") is not None:
        _check_size(source, "num_classes", config["num_classes"])


def backbone_config(model: str, config: Any, source: object) -> dict[str, Any]:
    """The backbone's part of a checked model's configuration.

    Raises:
        ValueError: there is none.
    """
    found = config
    if model != "GeneformerBackbone" and isinstance(config, dict):
        entry = config.get("backbone")
        found = entry.get("config") if isinstance(entry, dict) else None
    if not isinstance(found, dict):
        raise ValueError(
            f"{source} describes no backbone; expected its constructor's arguments under config. "
            "Copy the preset again."
        )
    return found


def parameter_count(model: str, config: dict[str, Any]) -> int:
    """How many weights a configuration implies, without building it.

    Args:
        model: name of the class.
        config: checked by `check_config`.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> backbone = tiny_backbone()
        >>> parameter_count("GeneformerBackbone", backbone.get_config()) == backbone.count_params()
        True
    """
    backbone = backbone_config(model, config, "config")
    width, vocabulary = backbone["hidden_dim"], backbone["vocabulary_size"]
    segments = backbone.get("num_segments", 2)
    tables = vocabulary + backbone["max_sequence_length"] + segments
    total = tables * width + 2 * width + _block_weights(backbone)
    if model == "GeneformerMaskedLM":
        total += _dense(width, width) + 2 * width + vocabulary
    if model in ("GeneformerCellClassifier", "GeneformerGeneClassifier"):
        classes = config.get("num_classes") or len(config.get("classes") or ())
        total += _dense(width, classes) + _head_block_weights(config, backbone)
    if model == "GeneformerCellClassifier":
        total += _dense(width, width)
    if model == "GeneformerMultiTaskClassifier":
        tasks = config.get("tasks") or {}
        total += _head_block_weights(config, backbone)
        total += sum(_dense(width, len(classes)) for classes in tasks.values())
        if config.get("pooling") == "attention":
            total += len(tasks) * (_dense(width, width) + width)
        if config.get("pooling") == "shared_attention":
            total += width
        if config.get("pooler", True):
            total += len(tasks) * _dense(width, width)
    return total


def _block_weights(backbone: dict[str, Any]) -> int:
    layers = backbone["num_layers"]
    heads, inner = backbone["num_heads"], backbone["intermediate_dim"]
    # Sums over blocks, without a list of blocks: their number is not to be trusted yet.
    all_heads = sum(heads) if isinstance(heads, list) else heads * layers
    all_inner = sum(inner) if isinstance(inner, list) else inner * layers
    return _encoder_weights(backbone, layers, all_heads, all_inner)


def _head_block_weights(config: dict[str, Any], backbone: dict[str, Any]) -> int:
    layers = config.get("head_layers") or 0
    heads, inner = backbone["num_heads"], backbone["intermediate_dim"]
    widest = max(heads) if isinstance(heads, list) else heads
    most = max(inner) if isinstance(inner, list) else inner
    return _encoder_weights(backbone, layers, widest * layers, most * layers)


def _encoder_weights(backbone: dict[str, Any], layers: int, heads: int, inner: int) -> int:
    """The weights of `layers` blocks that have so many heads and inner units in all."""
    width = backbone["hidden_dim"]
    of_block = backbone["num_heads"]
    each = backbone.get("head_dim")
    if each is None:
        each = width // (of_block[0] if isinstance(of_block, list) else of_block)
    attended = heads * each
    attention = 3 * (width + 1) * attended + attended * width + layers * width
    network = (width + 1) * inner + inner * width + layers * width
    return attention + network + layers * 4 * width


def _dense(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def _check_policy(source: object, policy: Any) -> None:
    """A dtype is a name, or a policy of Keras that holds names and numbers alone."""
    if policy is None or isinstance(policy, str):
        return
    plain = (
        isinstance(policy, dict)
        and str(policy.get("module")).split(".")[0] == "keras"
        and str(policy.get("class_name")).endswith(_POLICIES)
        and isinstance(policy.get("config"), dict)
        and all(isinstance(v, (str, int, float, type(None))) for v in policy["config"].values())
    )
    if not plain:
        _refuse(source, "dtype", policy, "the name of a dtype, or a dtype policy of Keras")


def _check_size(source: object, name: str, value: Any) -> None:
    if not (_is_whole(value) and value >= 1):
        _refuse(source, name, value, "a whole number of at least 1")


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _refuse(source: object, name: str, value: Any, expected: str) -> None:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    raise ValueError(
        f"{source} has {name}={shown} in its config; expected {expected}. Copy the preset again, "
        "and do not trust where it came from if it is so there."
    )
