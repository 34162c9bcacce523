"""Presets: a model's configuration, weights and vocabulary in one directory."""

import hashlib
import json
from pathlib import Path

import keras

import keras_geneformer
from keras_geneformer.models.backbone import GeneformerBackbone
from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.models.gene_classifier import GeneformerGeneClassifier
from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.models.published import load_published
from keras_geneformer.tokenization.publishing import publish_directory
from keras_geneformer.tokenization.vocabulary import GeneVocabulary

PRESET_FILE = "preset.json"
WEIGHTS_FILE = "model.weights.h5"
VOCABULARY_DIRECTORY = "vocabulary"
FORMAT = 1

MODEL_CLASSES = {
    model.__name__: model
    for model in (
        GeneformerBackbone,
        GeneformerMaskedLM,
        GeneformerCellClassifier,
        GeneformerGeneClassifier,
    )
}

HEAD_OPTIONS = {
    GeneformerBackbone: set(),
    GeneformerMaskedLM: set(),
    GeneformerCellClassifier: {"num_classes", "classes", "pooling", "head_layers", "head_dropout"},
    GeneformerGeneClassifier: {"num_classes", "classes", "head_layers", "head_dropout"},
}
"""Arguments of each head that `from_preset` takes."""


def save_preset(model, directory, vocabulary=None):
    """Write a preset: see `PresetModel.save_to_preset`, and docs/preset-format.md."""
    directory = Path(directory)
    if vocabulary is not None:
        _check_vocabulary(model, vocabulary)
    with publish_directory(directory, is_preset) as partial:
        model.save_weights(partial / WEIGHTS_FILE)
        if vocabulary is not None:
            vocabulary.save(partial / VOCABULARY_DIRECTORY)
        description = {
            "format": FORMAT,
            "model": type(model).__name__,
            "config": model.get_config(),
            "vocabulary_checksum": model.vocabulary_checksum,
            "weights_sha256": _sha256(partial / WEIGHTS_FILE),
            "keras_geneformer": keras_geneformer.__version__,
            "keras": keras.__version__,
        }
        (partial / PRESET_FILE).write_text(json.dumps(description, indent=2) + "\n")


def load_preset(cls, preset, dtype=None, revision=None, **head_options):
    """Load a model of class `cls`: see `PresetModel.from_preset`."""
    unknown = sorted(head_options.keys() - HEAD_OPTIONS[cls])
    if unknown:
        raise TypeError(
            f"{cls.__name__}.from_preset received {', '.join(unknown)}; it takes "
            f"{', '.join(sorted(HEAD_OPTIONS[cls] | {'dtype', 'revision'}))}."
        )
    directory = preset_directory(preset, revision)
    loaded = (
        load_saved(directory, dtype) if is_preset(directory) else load_published(directory, dtype)
    )
    return with_head(cls, loaded, head_options)


def load_saved(directory, dtype=None):
    """The model that a preset of ours holds, of whatever class it is."""
    directory = Path(directory)
    description = read_description(directory)
    weights = directory / WEIGHTS_FILE
    if not weights.is_file():
        raise FileNotFoundError(
            f"The preset {directory} lacks {WEIGHTS_FILE}. Copy or download the whole directory."
        )
    checksum = _sha256(weights)
    if checksum != description["weights_sha256"]:
        raise ValueError(
            f"{weights} has sha256 {checksum}; {PRESET_FILE} expects "
            f"{description['weights_sha256']}. The file is truncated or not of this preset: copy or "
            "download the directory again."
        )
    config = description["config"]
    if dtype is not None:
        backbone = config if description["model"] == "GeneformerBackbone" else config["backbone"]
        backbone.get("config", backbone)["dtype"] = dtype
    model = MODEL_CLASSES[description["model"]].from_config(config)
    model.load_weights(weights)
    return model


def read_description(directory):
    """The content of a preset's preset.json, checked."""
    path = Path(directory) / PRESET_FILE
    try:
        description = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}). Copy the preset again.") from error
    if description.get("format") != FORMAT or description.get("model") not in MODEL_CLASSES:
        raise ValueError(
            f"{path}: received format {description.get('format')!r} and model "
            f"{description.get('model')!r}; expected format {FORMAT} and one of "
            f"{', '.join(MODEL_CLASSES)}. It may come from a newer keras_geneformer: upgrade."
        )
    return description


def preset_vocabulary(preset, revision=None):
    """The vocabulary kept in a preset; None where it holds none.

    Raises:
        ValueError: the vocabulary is not the one the weights belong to.
    """
    directory = preset_directory(preset, revision)
    if not is_preset(directory) or not (directory / VOCABULARY_DIRECTORY).is_dir():
        return None
    vocabulary = GeneVocabulary.load(directory / VOCABULARY_DIRECTORY)
    expected = read_description(directory)["vocabulary_checksum"]
    if expected not in (None, vocabulary.checksum):
        raise ValueError(
            f"The vocabulary in {directory} has checksum {vocabulary.checksum}; the preset's weights "
            f"belong to {expected}. Copy the preset again."
        )
    return vocabulary


def is_preset(directory):
    """Whether a directory is a preset of ours."""
    return (Path(directory) / PRESET_FILE).is_file()


def preset_directory(preset, revision=None):
    """Where a preset lies on disk; what is on the hub is fetched first."""
    if str(preset).startswith("hf://"):
        from keras_geneformer.models.hub_presets import fetch_preset

        return fetch_preset(str(preset), revision)
    directory = Path(preset)
    if not directory.is_dir():
        raise FileNotFoundError(
            f"There is no preset at {directory}. Expected a directory (of ours, with {PRESET_FILE}, "
            "or a published one, with config.json), or 'hf://organisation/repository/subfolder'."
        )
    return directory


def with_head(cls, loaded, head_options):
    """`loaded` itself where it is what was asked for; otherwise `cls` on its backbone."""
    backbone = loaded if isinstance(loaded, GeneformerBackbone) else loaded.backbone
    if cls is GeneformerBackbone:
        return backbone
    if isinstance(loaded, cls) and all(
        _fits(loaded, name, value) for name, value in head_options.items()
    ):
        return loaded
    return cls(backbone, **head_options)


def convert_checkpoint(source, destination, vocabulary=None):
    """Turn a published PyTorch checkpoint into a preset of ours.

    Args:
        source: a directory with config.json and model.safetensors or pytorch_model.bin, or
            `"hf://organisation/repository/subfolder"`.
        destination: directory to write; it appears whole or not at all.
        vocabulary: the `GeneVocabulary` of the checkpoint, or what `GeneVocabulary.load` takes
            (`"v1"`, `"v2"`, a directory), to keep in the preset.

    Returns:
        The model: masked LM, cell classifier or gene classifier, as the checkpoint has it.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the checkpoint is not a Geneformer's, or not of this vocabulary.

    Example:
        A checkpoint beside its vocabulary becomes one directory that tokenizes and infers:

        `convert_checkpoint("Geneformer-V1-10M", "geneformer_v1_10m", vocabulary="v1")`
    """
    directory = preset_directory(source)
    if is_preset(directory):
        raise ValueError(
            f"{directory} is a preset already; expected a published checkpoint (config.json and "
            "model.safetensors or pytorch_model.bin)."
        )
    if vocabulary is not None and not isinstance(vocabulary, GeneVocabulary):
        vocabulary = GeneVocabulary.load(vocabulary)
    model = load_published(directory)
    if vocabulary is not None:
        _check_vocabulary(model, vocabulary)
        backbone = model.backbone
        backbone.vocabulary_checksum = vocabulary.checksum
        backbone.special_token_ids = tuple(vocabulary.special_tokens.values())
    save_preset(model, destination, vocabulary)
    return model


def _fits(model, name, value):
    if name == "classes":
        return value is None or model.classes == [str(item) for item in value]
    return value is None or getattr(model, name) == value


def _check_vocabulary(model, vocabulary):
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


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
