"""Published PyTorch checkpoints into presets of ours."""

from keras_geneformer.models.preset_format import is_preset
from keras_geneformer.models.preset_source import preset_directory
from keras_geneformer.models.presets import check_model_vocabulary, save_preset
from keras_geneformer.models.published import load_published
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary


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
        check_model_vocabulary(model, vocabulary)
        backbone = model.backbone
        backbone.vocabulary_checksum = vocabulary.checksum
        backbone.special_token_ids = tuple(sorted(vocabulary.special_tokens.values()))
    save_preset(model, destination, vocabulary)
    return model
