"""Presets: a model's configuration, weights and vocabulary in one directory."""

import json
import logging
from contextlib import contextmanager
from pathlib import Path

import keras

import keras_geneformer
from keras_geneformer.compression.dense_layers import dense_layers
from keras_geneformer.hub import file_sha256
from keras_geneformer.models.backbone import GeneformerBackbone
from keras_geneformer.models.calibration import Calibration
from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.models.config_check import check_config, parameter_count
from keras_geneformer.models.gene_classifier import GeneformerGeneClassifier
from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.models.multitask_classifier import GeneformerMultiTaskClassifier, task_names
from keras_geneformer.models.preset_format import (
    FORMAT,
    PRESET_FILE,
    QUANTIZED_FORMAT,
    VOCABULARY_DIRECTORY,
    WEIGHTS_FILE,
    is_preset,
    is_replaceable,
    read_description,
)
from keras_geneformer.models.preset_source import preset_directory
from keras_geneformer.models.published import load_published
from keras_geneformer.models.quantized_presets import (
    check_quantization,
    load_graphs,
    quantize_like_saved,
    save_quantization,
)
from keras_geneformer.models.recognition import recognise
from keras_geneformer.models.weights_check import check_weights
from keras_geneformer.published_presets import find_published_preset
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary
from keras_geneformer.tokenization.publishing import publish_directory

logger = logging.getLogger(__name__)

MODEL_CLASSES = {
    model.__name__: model
    for model in (
        GeneformerBackbone,
        GeneformerMaskedLM,
        GeneformerCellClassifier,
        GeneformerGeneClassifier,
        GeneformerMultiTaskClassifier,
    )
}

HEAD_OPTIONS = {
    GeneformerBackbone: set(),
    GeneformerMaskedLM: set(),
    GeneformerCellClassifier: {
        "num_classes",
        "classes",
        "pooling",
        "head_layers",
        "head_dropout",
        "task",
    },
    GeneformerGeneClassifier: {"num_classes", "classes", "head_layers", "head_dropout"},
    GeneformerMultiTaskClassifier: {
        "tasks",
        "pooling",
        "head_layers",
        "head_dropout",
        "pooler",
        "published",
    },
}
"""Arguments of each head that `from_preset` takes."""


def save_preset(model, directory, vocabulary=None):
    """Write a preset: see `PresetModel.save_to_preset`, and docs/preset-format.md."""
    directory = Path(directory)
    for path, layer in dense_layers(model).items():
        if layer.lora_enabled:
            raise ValueError(
                f"{path} has an adapter; a preset holds ordinary weights. Call "
                "keras_geneformer.merge_lora(model) first, or save the adapters alone "
                "(keras_geneformer.save_adapters)."
            )
    config = model.get_config()
    backbone = _backbone_config(config)
    if vocabulary is not None:
        check_model_vocabulary(model, vocabulary)
        # A model that did not know its vocabulary knows it from now on.
        backbone["vocabulary_checksum"] = vocabulary.checksum
        backbone["special_token_ids"] = sorted(vocabulary.special_tokens.values())
    with publish_directory(directory, is_replaceable) as partial:
        _save_weights(model, partial / WEIGHTS_FILE)
        if getattr(model, "calibration", None) is not None:
            model.calibration.save(partial)
        if vocabulary is not None:
            vocabulary.save(partial / VOCABULARY_DIRECTORY)
        description = {
            "format": FORMAT,
            "model": type(model).__name__,
            "config": config,
            "vocabulary": vocabulary is not None,
            "vocabulary_checksum": backbone["vocabulary_checksum"],
            "weights_sha256": file_sha256(partial / WEIGHTS_FILE),
            "keras_geneformer": keras_geneformer.__version__,
            "keras": keras.__version__,
        }
        quantization = save_quantization(model, partial)
        if quantization is not None:
            description |= {"format": QUANTIZED_FORMAT, "quantization": quantization}
        (partial / PRESET_FILE).write_text(json.dumps(description, indent=2) + "\n")


def load_preset(cls, preset, dtype=None, revision=None, **head_options):
    """Load a model of class `cls`: see `PresetModel.from_preset`."""
    unknown = sorted(head_options.keys() - HEAD_OPTIONS[cls])
    if unknown:
        raise TypeError(
            f"{cls.__name__}.from_preset received {', '.join(unknown)}; it takes "
            f"{', '.join(sorted(HEAD_OPTIONS[cls] | {'dtype', 'revision'}))}."
        )
    loaded = load_whole(preset, dtype, revision)
    published = head_options.get("published")
    if published is not None and getattr(loaded, "pooling", None) == "shared_attention":
        loaded.pool_as_published(published)
    return with_head(cls, loaded, head_options)


def load_whole(preset, dtype=None, revision=None):
    """The model that a preset or a published checkpoint holds, of whatever class it is.

    Args:
        preset: whatever `from_preset` takes.
        dtype: a Keras dtype or policy; as it was saved where None.
        revision: of the hub.
    """
    directory = preset_directory(preset, revision)
    if is_preset(directory):
        loaded = load_saved(directory, dtype)
    else:
        loaded = load_published(directory, dtype)
        published = find_published_preset(preset, revision)
        if published is not None:
            recognise(getattr(loaded, "backbone", loaded), published)
    return loaded


def load_saved(directory, dtype=None):
    """The model that a preset of ours holds, of whatever class it is."""
    directory = Path(directory)
    description = read_description(directory)
    weights = directory / WEIGHTS_FILE
    if not weights.is_file():
        raise FileNotFoundError(
            f"The preset {directory} lacks {WEIGHTS_FILE}. Copy or download the whole directory."
        )
    checksum = file_sha256(weights)
    if checksum != description["weights_sha256"]:
        raise ValueError(
            f"{weights} has sha256 {checksum}; {PRESET_FILE} expects "
            f"{description['weights_sha256']}. The file is truncated or not of this preset: copy "
            "or download the directory again."
        )
    quantization = description.get("quantization")
    check_quantization(quantization, directory, dtype)
    config = description["config"]
    check_config(description["model"], config, directory / PRESET_FILE)
    with _readable_config(directory):
        weights_implied = parameter_count(description["model"], config)
    check_weights(weights, weights_implied, quantized="quantization" in description)
    if dtype is not None:
        _backbone_config(config)["dtype"] = dtype
    with _readable_config(directory):
        model = MODEL_CLASSES[description["model"]].from_config(config)
    quantize_like_saved(model, quantization)
    model.load_weights(weights)
    load_graphs(model, quantization, directory)
    if isinstance(model, GeneformerCellClassifier):
        model.calibration = Calibration.load(directory)
    return model


def preset_vocabulary(preset, revision=None):
    """The vocabulary kept in a preset, or of a published checkpoint; None where there is none.

    That of a published checkpoint comes from the hub. Where it cannot, a warning says so.

    Raises:
        FileNotFoundError: the preset was saved with a vocabulary, which is gone.
        ValueError: the vocabulary is not the one the weights belong to.
    """
    published = find_published_preset(preset, revision)
    if published is not None:
        try:
            return GeneVocabulary.load(published.vocabulary)
        except ConnectionError as error:
            logger.warning("The vocabulary of %s is not at hand: %s", published.name, error)
            return None
    directory = preset_directory(preset, revision)
    if not is_preset(directory):
        return None
    description = read_description(directory)
    if not description["vocabulary"]:
        return None
    if not (directory / VOCABULARY_DIRECTORY).is_dir():
        raise FileNotFoundError(
            f"The preset {directory} lacks its directory {VOCABULARY_DIRECTORY}. Copy or download "
            "the whole directory."
        )
    vocabulary = GeneVocabulary.load(directory / VOCABULARY_DIRECTORY)
    expected = description["vocabulary_checksum"]
    if expected not in (None, vocabulary.checksum):
        raise ValueError(
            f"The vocabulary in {directory} has checksum {vocabulary.checksum}; the preset's "
            f"weights belong to {expected}. Copy the preset again."
        )
    return vocabulary


def with_head(cls, loaded, head_options):
    """`loaded` itself where it is what was asked for; otherwise `cls` on its backbone."""
    backbone = loaded if isinstance(loaded, GeneformerBackbone) else loaded.backbone
    if cls is GeneformerBackbone:
        return backbone
    if isinstance(loaded, cls) and all(
        _fits(loaded, name, value) for name, value in head_options.items()
    ):
        return loaded
    logger.warning(
        "The head of this %s starts from random weights: the preset holds a %s%s.",
        cls.__name__,
        type(loaded).__name__,
        " with another head" if isinstance(loaded, cls) else "",
    )
    return cls(backbone, **head_options)


@contextmanager
def _readable_config(directory):
    """An entry of another type, or one that no constructor takes, is the preset's fault."""
    try:
        yield
    except (TypeError, AttributeError, KeyError) as error:
        raise ValueError(
            f"{directory / PRESET_FILE} has a config that describes no model ({error}). It is "
            "damaged, or comes from a newer keras_geneformer: copy the preset again, or upgrade."
        ) from error


def _save_weights(model, path):
    """Save weights alone: with a compiled model Keras would save its optimizer, twice the size."""
    optimizer = getattr(model, "optimizer", None)
    try:
        model.optimizer = None
        model.save_weights(path)
    finally:
        model.optimizer = optimizer


def _backbone_config(config):
    """The backbone's part of a model's configuration, to be changed in place."""
    return config["backbone"]["config"] if "backbone" in config else config


def _fits(model, name, value):
    if name == "classes":
        return value is None or model.classes == [str(item) for item in value]
    if name == "tasks":
        return value is None or model.tasks == task_names(value)
    return value is None or getattr(model, name) == value


def check_model_vocabulary(model, vocabulary):
    """Raise a ValueError where a vocabulary is not the one a model's weights belong to."""
    backbone = model if isinstance(model, GeneformerBackbone) else model.backbone
    if vocabulary.size != backbone.vocabulary_size:
        raise ValueError(
            f"Received a vocabulary of {vocabulary.size} tokens for a model of "
            f"{backbone.vocabulary_size}. Expected the vocabulary the model was trained with."
        )
    if backbone.vocabulary_checksum not in (None, vocabulary.checksum):
        raise ValueError(
            f"Received a vocabulary with checksum {vocabulary.checksum} for a model whose weights "
            f"belong to {backbone.vocabulary_checksum}. Expected the vocabulary the model was "
            "trained with."
        )
