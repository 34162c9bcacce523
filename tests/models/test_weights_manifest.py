"""weights/manifest.json: what it says of each checkpoint is so."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from keras_geneformer.conversion.published_bytes import published_bytes
from keras_geneformer.conversion.published_config import backbone_arguments
from keras_geneformer.conversion.table import checkpoint_shapes, checkpoint_table

PROJECT = Path(__file__).resolve().parents[2]
MANIFEST = json.loads((PROJECT / "weights" / "manifest.json").read_text())["presets"]
PUBLISHED = {name: entry for name, entry in MANIFEST.items() if entry["source"] == "published"}
POSITION_IDS = {"geneformer_v1_10m"}
"""Written by transformers 4.6, which stored the positions too."""


def test_names():
    assert sorted(PUBLISHED) == [
        *("geneformer_v1_10m", "geneformer_v2_104m", "geneformer_v2_104m_clcancer"),
        "geneformer_v2_316m",
    ]
    assert MANIFEST.keys() - PUBLISHED.keys() == {"geneformer_mini"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_pointers_say_so(shared, name):
    entry, folder = MANIFEST[name], shared / "data" / "checkpoints"
    pointer = (folder / f"{entry['subfolder']}.safetensors.lfs-pointer.txt").read_text()
    file = entry["files"]["model.safetensors"]
    assert pointer.split("\n")[1:3] == [f"oid sha256:{file['sha256']}", f"size {file['bytes']}"]
    config = json.loads((folder / f"{entry['subfolder']}.config.json").read_text())
    arguments = backbone_arguments(config)
    assert {key: arguments[key] for key in entry["shape"]} == entry["shape"]
    assert config["architectures"] == ["BertForMaskedLM"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_our_table_has_the_published_keys_and_shapes(name):
    """To the byte: the header names every key, shape and place."""
    entry = MANIFEST[name]
    expected = published_bytes(entry["shape"], position_ids=name in POSITION_IDS)
    assert entry["files"]["model.safetensors"]["bytes"] == expected
    # The other way would be wrong.
    assert published_bytes(entry["shape"], position_ids=name not in POSITION_IDS) != expected


@pytest.mark.parametrize("name", MANIFEST)
def test_parameters_are_those_of_the_shape(name):
    shape = MANIFEST[name]["shape"] | {"num_segments": 2}
    shapes = checkpoint_shapes(shape, checkpoint_table(shape["num_layers"], "masked_lm"), 0)
    total = sum(one[0] * (one[1] if len(one) == 2 else 1) for one in shapes.values())
    assert total == MANIFEST[name]["parameters"]


def test_the_shipped_preset_is_the_one_named():
    entry, folder = MANIFEST["geneformer_mini"], PROJECT / "weights" / "geneformer_mini"
    content = (folder / "model.weights.h5").read_bytes()
    file = entry["files"]["model.weights.h5"]
    assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
    description = json.loads((folder / "preset.json").read_text())
    backbone = description["config"]["backbone"]["config"]
    assert {key: backbone[key] for key in entry["shape"]} == entry["shape"]
    assert description["vocabulary_checksum"] == entry["vocabulary_checksum"]
    assert (PROJECT / entry["source"]).is_file()


def test_the_page_names_each():
    page = (PROJECT / "weights" / "README.md").read_text()
    for name, entry in MANIFEST.items():
        row = re.search(rf"^\| `{name}` \|.*$", page, re.MULTILINE)
        assert row, name
        for file in entry["files"].values():
            assert file["sha256"][:12] in row[0]
            assert f"{file['bytes']:,}" in row[0]
        assert f"{entry['parameters']:,}" in row[0]
