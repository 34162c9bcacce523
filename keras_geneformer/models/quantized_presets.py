"""The part of a preset that says how its weights are stored in few bits (docs/preset-format.md)."""

from pathlib import Path

from keras_geneformer.compression.openvino_int8 import Int8Block, require_openvino
from keras_geneformer.compression.quantized_layers import (
    encoder_blocks,
    int8_blocks,
    quantize_as,
    quantized_layers,
)
from keras_geneformer.hub import file_sha256
from keras_geneformer.models.preset_format import GRAPHS_DIRECTORY, PRESET_FILE

SUFFIXES = (".xml", ".bin")
"""The two files of a graph."""


def save_quantization(model, directory):
    """Describe how a model is quantized, and write the graphs of its blocks if it has them.

    Args:
        model: a Geneformer model.
        directory: of the preset.

    Returns:
        The entry `quantization` of preset.json; None for a model in float.
    """
    layers, blocks = quantized_layers(model), int8_blocks(model)
    if not layers:
        return None
    entry = {"layers": layers}
    if blocks:
        graphs = Path(directory) / GRAPHS_DIRECTORY
        graphs.mkdir()
        for block in blocks:
            block.int8.save(graphs / block.name)
        entry["graphs"] = {path.name: file_sha256(path) for path in sorted(graphs.iterdir())}
    return entry


def check_quantization(entry, directory, dtype):
    """Refuse, before a model is built, a quantized preset that cannot be loaded so.

    Args:
        entry: `quantization` of preset.json; None for a model in float.
        directory: of the preset.
        dtype: as given to `from_preset`.

    Raises:
        ValueError: a dtype is asked for, the entry is damaged, or the backend is another than
            openvino and the preset is quantized for it.
    """
    if entry is None:
        return
    if dtype is not None:
        raise ValueError(
            f"Received dtype={dtype!r} for {directory}, which is quantized and computes in what "
            "it was quantized in. Leave dtype out, or load the preset that it was made from."
        )
    parts = (entry.get("layers"), entry.get("graphs", {})) if isinstance(entry, dict) else ()
    if not all(_names(part) for part in parts or (None,)):
        raise ValueError(
            f"The entry quantization of {Path(directory) / PRESET_FILE} is damaged. Copy the "
            "preset again."
        )
    if "graphs" in entry:
        require_openvino(f"The preset {directory}, quantized to 'openvino-int8',")


def quantize_like_saved(model, entry):
    """Give a model in float the quantized layers of the preset that it is built from."""
    if entry is not None:
        quantize_as(model, entry["layers"])


def load_graphs(model, entry, directory):
    """Let the graphs in a preset stand for the encoder blocks of its model.

    Raises:
        FileNotFoundError: a graph is missing.
        ValueError: a graph is damaged, or the preset has graphs of other blocks.
    """
    if entry is None or "graphs" not in entry:
        return
    blocks = {block.name: block for block in encoder_blocks(model)}
    expected = {name + suffix for name in blocks for suffix in SUFFIXES}
    if entry["graphs"].keys() != expected:
        raise ValueError(
            f"The preset {directory} has the graphs {', '.join(sorted(entry['graphs']))}; expected "
            f"{', '.join(sorted(expected))}. Copy the preset again."
        )
    graphs = Path(directory) / GRAPHS_DIRECTORY
    for name, checksum in entry["graphs"].items():
        if not (graphs / name).is_file():
            raise FileNotFoundError(
                f"The preset {directory} lacks {GRAPHS_DIRECTORY}/{name}. Copy or download the "
                "whole directory."
            )
        found = file_sha256(graphs / name)
        if found != checksum:
            raise ValueError(
                f"{graphs / name} has sha256 {found}; {PRESET_FILE} expects {checksum}. The file "
                "is truncated or not of this preset: copy or download the directory again."
            )
    for name, block in blocks.items():
        block.int8 = Int8Block.load(graphs / name)


def _names(part):
    return isinstance(part, dict) and all(isinstance(value, str) for value in part.values())
