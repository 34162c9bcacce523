"""A model from adapters that the `peft` package saved, and the base beside which they stand."""

import os
from pathlib import Path

from keras_geneformer.compression.adapter_files import load_adapters
from keras_geneformer.compression.lora import merge_lora
from keras_geneformer.compression.peft_files import CONFIG_FILE, read_peft
from keras_geneformer.models.backbone_of import backbone_of
from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.models.gene_classifier import GeneformerGeneClassifier
from keras_geneformer.models.preset_format import is_preset


def holds_adapters(directory):
    """Whether a directory holds adapters of `peft`, and no model of its own."""
    directory = Path(directory)
    return (directory / CONFIG_FILE).is_file() and not (directory / "config.json").is_file()


def load_adapted(directory, load, dtype=None):
    """The model that adapters of `peft` make of their base, merged.

    Args:
        directory: holds adapter_config.json and adapter_model.safetensors. The base it names is a
            directory on this machine, by its own path or by that from `directory`.
        load: loads a published checkpoint from a directory, in a dtype.
        dtype: a Keras dtype or policy; float32 where None.

    Returns:
        The base with the adapters folded in; with a head of its own where `peft` saved one whole.

    Raises:
        ValueError: the base is not here, or lacks a layer that the head needs.
    """
    from keras_geneformer.models.presets import load_saved

    directory = Path(directory)
    adapters = read_peft(directory)
    named = [directory / adapters.base, Path(adapters.base)] if adapters.base else []
    base = next((path for path in named if os.path.isdir(path) and not holds_adapters(path)), None)
    if base is None:
        raise ValueError(
            f"The adapters in {directory} stand beside {adapters.base!r}, which is no directory of "
            "a model here. Load the base first, then the adapters into it: "
            "keras_geneformer.load_adapters(model, directory)."
        )
    model = load_saved(base, dtype) if is_preset(base) else load(base, dtype)
    model = _with_head(model, adapters, directory)
    load_adapters(model, directory)
    merge_lora(model)
    return model


def _with_head(model, adapters, directory):
    """The base itself, or the classifier that the saved head stands on."""
    bias = adapters.modules.get("scores/bias")
    if bias is None or hasattr(model, "num_classes"):
        return model
    if adapters.task_type == "TOKEN_CLS":
        return GeneformerGeneClassifier(backbone_of(model), num_classes=len(bias))
    if "pooler/kernel" not in adapters.modules:
        raise ValueError(
            f"The adapters in {directory} bring a classifier, and neither they nor their base the "
            "pooler below it, which was random then and is lost. Save them again with "
            "modules_to_save=['classifier', 'pooler'], or beside a base that has a pooler."
        )
    return GeneformerCellClassifier(backbone_of(model), num_classes=len(bias))
