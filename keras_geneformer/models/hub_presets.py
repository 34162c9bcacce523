"""Presets on the Hugging Face hub."""

from pathlib import Path

from keras_geneformer.hub_folder import HubFolder, read_json
from keras_geneformer.hub_names import check_file_name
from keras_geneformer.models.calibration import CALIBRATION_FILE
from keras_geneformer.models.preset_format import (
    GRAPHS_DIRECTORY,
    PRESET_FILE,
    WEIGHTS_FILE,
    read_description,
)

CONFIG_FILE = "config.json"
ADAPTER_CONFIG_FILE = "adapter_config.json"
CHECKPOINT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""The weights of a published checkpoint; of those that are there, the first is taken."""
ADAPTER_FILES = ("adapter_model.safetensors", "adapter_model.bin")
_INDEX = ".index.json"


def fetch_preset(preset: str, revision: str | None = None) -> Path:
    """Fetch a preset from the hub, or find it in the hub's cache.

    Only what is needed comes: of a preset of ours preset.json, model.weights.h5, a calibration,
    the vocabulary and the graphs of a quantized one; of a published checkpoint config.json and
    model.safetensors, or else pytorch_model.bin, in shards where an index names them; of a PEFT
    adapter its configuration and weights. All files are of one commit, even where `revision` is a
    branch that moves meanwhile. The weights of the published checkpoints that
    weights/manifest.json names are those it knows.

    Args:
        preset: `"hf://organisation/repository"`, or a folder in it:
            `"hf://organisation/repository/subfolder"`.
        revision: a commit, branch or tag; `keras_geneformer.hub.fetch` says which is the default.

    Returns:
        The directory in the cache. It is not to be changed.

    Raises:
        ValueError: `preset` is no such address; or a file is not the one that is known beforehand,
            is damaged, or names files outside its folder.
        FileNotFoundError: the hub has no such repository or revision, or lacks a file there.
        ConnectionError: the hub was not reached and the cache lacks a file.

    Example:
        `fetch_preset("hf://ctheodoris/Geneformer/Geneformer-V1-10M")`
    """
    folder = HubFolder(preset, revision)
    if folder.pinned:
        # Nothing else is looked for: a mirror cannot put other weights in the place of these.
        for name in folder.pinned:
            folder.file(name)
        return folder.file(CONFIG_FILE).parent
    names = (PRESET_FILE, CONFIG_FILE, ADAPTER_CONFIG_FILE)
    description = folder.first_of(*names)
    if description is None:
        raise FileNotFoundError(
            f"{preset} at revision {folder.revision or 'main'} holds neither {names[0]} nor "
            f"{names[1]} nor {names[2]}: expected a preset of ours, a published checkpoint or a "
            "PEFT adapter. Is the subfolder right?"
        )
    if description.name == PRESET_FILE:
        _fetch_own(folder, description)
    elif description.name == CONFIG_FILE:
        _fetch_weights(folder, CHECKPOINT_FILES)
    else:
        _fetch_weights(folder, ADAPTER_FILES)
    return description.parent


def _fetch_own(folder: HubFolder, description: Path) -> None:
    read_json(description, f"{PRESET_FILE} of {folder.address}")
    content = read_description(description.parent)
    folder.file(WEIGHTS_FILE)
    if content["model"] == "GeneformerCellClassifier":
        folder.first_of(CALIBRATION_FILE)
    if content["vocabulary"]:
        folder.vocabulary()
    quantization = content.get("quantization")
    graphs = quantization.get("graphs") if isinstance(quantization, dict) else None
    for name in graphs if isinstance(graphs, dict) else ():
        said_by = f"{PRESET_FILE} of {folder.address}"
        folder.file(f"{GRAPHS_DIRECTORY}/{check_file_name(name, said_by, folders=False)}")


def _fetch_weights(folder: HubFolder, names: tuple[str, ...]) -> None:
    found = folder.first_of(*names)
    if found is None:
        raise FileNotFoundError(
            f"{folder.address} at revision {folder.revision} holds none of {', '.join(names)}: "
            "there are no weights to read. Is the subfolder right?"
        )
    if found.name.endswith(_INDEX):
        for shard in folder.named_in(found, "weight_map", values=True):
            folder.file(shard)
