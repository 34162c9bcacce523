"""The model card of a preset that has none: what preset.json says of it, for people."""

import re
from typing import Any

from keras_geneformer.models.config_check import backbone_config, parameter_count

CARD_FILE = "README.md"
TAGS = ("keras", "biology", "single-cell", "transcriptomics", "geneformer")
_HUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
_WHAT = {
    "GeneformerBackbone": "encoder",
    "GeneformerMaskedLM": "masked language model",
    "GeneformerCellClassifier": "cell classifier",
    "GeneformerGeneClassifier": "gene classifier",
    "GeneformerMultiTaskClassifier": "multi-task cell classifier",
}


def preset_card(
    description: dict[str, Any],
    address: str,
    licence: str | None = None,
    base_model: str | None = None,
) -> str:
    """The text of a model card, with the front matter that the Hugging Face hub reads.

    Args:
        description: of preset.json.
        address: where the preset will lie, `hf://organisation/repository/subfolder`.
        licence: its identifier on the hub, such as "apache-2.0".
        base_model: the hub's name of the model that it was trained on from.

    Raises:
        ValueError: one of the two is no name that the hub gives.

    Example:
        >>> from keras_geneformer.testing import tiny_backbone
        >>> description = {"model": "GeneformerBackbone", "config": tiny_backbone().get_config(),
        ...                "vocabulary": False, "vocabulary_checksum": None}
        >>> print(preset_card(description, "hf://lab/cells").splitlines()[1])
        library_name: keras
    """
    for name, given in (("licence", licence), ("base_model", base_model)):
        if given is not None and not _HUB_NAME.fullmatch(given):
            raise ValueError(
                f"Received {name}={given!r}; expected a name as the hub has them, such as "
                "'apache-2.0' or 'ctheodoris/Geneformer'."
            )
    model, config = description["model"], description["config"]
    backbone = backbone_config(model, config, "preset.json")
    lines = ["---", "library_name: keras"]
    lines += [f"license: {licence}"] if licence else []
    lines += [f"base_model: {base_model}"] if base_model else []
    lines += ["tags:", *(f"- {tag}" for tag in TAGS), "---", ""]
    lines += [
        f"# {address.rstrip('/').split('/')[-1]}",
        "",
        f"A Geneformer {_WHAT[model]} of {parameter_count(model, config):,} parameters: "
        f"{backbone['num_layers']} encoder blocks, {backbone['hidden_dim']} dim, "
        f"{_numbers(backbone['num_heads'])} heads, {_numbers(backbone['intermediate_dim'])} "
        "feed-forward units, cells of up to "
        f"{backbone['max_sequence_length']:,} tokens, {backbone['vocabulary_size']:,} token ids.",
        *_classes(config),
        *_quantization(description),
        "",
        "```python",
        "import keras_geneformer as kg",
        "",
        f'model = kg.{model}.from_preset("{address}")',
        "```",
        "",
        _vocabulary(description),
        "",
        f"Written by keras_geneformer {description.get('keras_geneformer', 'of unknown version')} "
        f"with Keras {description.get('keras', 'of unknown version')}. Weights: sha256 "
        f"`{description.get('weights_sha256', 'unknown')}`.",
    ]
    return "\n".join(lines) + "\n"


def _numbers(given: int | list[int]) -> str:
    """One number, or the range of those that differ by block."""
    if isinstance(given, list):
        return f"{min(given)} to {max(given)}"
    return f"{given}"


def _classes(config: dict[str, Any]) -> list[str]:
    tasks = config.get("tasks")
    if tasks:
        return ["", *(f"- {task}: {', '.join(classes)}" for task, classes in tasks.items())]
    if config.get("classes"):
        return ["", f"Classes, in the order of the scores: {', '.join(config['classes'])}."]
    return []


def _quantization(description: dict[str, Any]) -> list[str]:
    entry = description.get("quantization")
    if entry is None:
        return []
    modes = sorted(set(entry["layers"].values()))
    graphs = " Its blocks are OpenVINO graphs, for that backend alone." if "graphs" in entry else ""
    return ["", f"Its weights are quantized: {', '.join(modes)}.{graphs}"]


def _vocabulary(description: dict[str, Any]) -> str:
    checksum = description["vocabulary_checksum"]
    if checksum is None:
        return "It is not known which vocabulary the weights belong to."
    held = "is kept with it" if description["vocabulary"] else "is not kept with it"
    return f"The vocabulary it belongs to has checksum `{checksum}` and {held}."
