import json
import re
import shutil

import numpy as np
import pytest
from loopback_hub import NEW, OLD, serving

from keras_geneformer.models.hub_presets import CHECKPOINT_FILES, fetch_preset
from keras_geneformer.models.preset_format import QUANTIZED_FORMAT
from keras_geneformer.shipped_presets import local_directory
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary

REPO = "lab/cells"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub whose repository has a preset in `ours`, and one without vocabulary in `ours/bare`."""
    ours = tmp_path / "repositories" / REPO / "ours"
    shutil.copytree(local_directory("geneformer_mini"), ours)
    (ours / "bare").mkdir()
    shutil.copy(ours / "model.weights.h5", ours / "bare")
    description = json.loads((ours / "preset.json").read_text()) | {"vocabulary": False}
    (ours / "bare" / "preset.json").write_text(json.dumps(description))
    with serving(tmp_path / "repositories", tmp_path / "cache", monkeypatch) as server:
        server.folder = server.root / REPO
        yield server


def write(folder, **content):
    folder.mkdir(parents=True, exist_ok=True)
    for name, held in content.items():
        (folder / name).write_text(held)


def write_published(root, *names):
    write(root, **{name: f"{root.name}/{name}" for name in names})


def names_in(directory):
    found = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix() for path in found}


def test_a_preset_of_ours_and_then_from_the_cache(hub, monkeypatch):
    address = f"hf://{REPO}/ours"
    directory = fetch_preset(address)
    vocabulary = {f"vocabulary/{n}" for n in ("vocabulary.json", "genes.parquet")}
    needed = {"preset.json", "model.weights.h5", "vocabulary/aliases.parquet"} | vocabulary
    assert names_in(directory) == needed
    assert {name for _, name in hub.sent} == {f"ours/{name}" for name in needed}
    hub.sent.clear()
    assert fetch_preset(address) == directory
    assert not hub.sent
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.asked.clear()
    assert fetch_preset(address) == directory
    assert GeneVocabulary.load(address).checksum == GeneVocabulary.load(directory).checksum
    assert not hub.asked


def test_a_preset_without_vocabulary(hub):
    directory = fetch_preset(f"hf://{REPO}/ours/bare/")
    assert names_in(directory) == {"preset.json", "model.weights.h5"}


def test_a_vocabulary_alone(hub):
    expected = GeneVocabulary.load("geneformer_mini").checksum
    assert GeneVocabulary.load(f"hf://{REPO}/ours").checksum == expected
    assert {name.split("/")[1] for _, name in hub.sent} == {"vocabulary"}


def test_the_calibration_of_a_cell_classifier_comes_with_it(hub, monkeypatch):
    address, path = f"hf://{REPO}/ours/bare", hub.folder / "ours" / "bare" / "preset.json"
    description = json.loads(path.read_text()) | {"model": "GeneformerCellClassifier"}
    path.write_text(json.dumps(description))
    without = {"preset.json", "model.weights.h5"}
    assert names_in(fetch_preset(address, OLD)) == without
    (path.parent / "calibration.safetensors").write_bytes(b"8")
    assert names_in(fetch_preset(address)) == without | {"calibration.safetensors"}
    # Without a connection it is remembered that there was none in the first.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert names_in(fetch_preset(address, OLD)) == without


def test_the_graphs_of_a_quantized_preset_come_with_it(hub):
    bare = hub.folder / "ours" / "bare"
    content = json.loads((bare / "preset.json").read_text()) | {"format": QUANTIZED_FORMAT}
    graphs = {"encoder_block_0.xml": "0", "encoder_block_0.bin": "0"}
    write(bare / "openvino", **graphs)
    write(bare, **{"preset.json": json.dumps(content | {"quantization": {"graphs": graphs}})})
    found = names_in(fetch_preset(f"hf://{REPO}/ours/bare"))
    assert found == {"preset.json", "model.weights.h5", *(f"openvino/{name}" for name in graphs)}
    evil = {"quantization": {"graphs": {"../../x": "0"}}}
    write(bare, **{"preset.json": json.dumps(content | evil)})
    message = (
        r"^preset\.json of hf://lab/cells/ours/bare names the file '\.\./\.\./x'; expected a nam"
    )
    refused(ValueError, message, f"hf://{REPO}/ours/bare", OLD)


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_a_published_checkpoint_and_then_from_the_cache(hub, monkeypatch, weights):
    names = ("config.json", weights, "training_args.bin", "x_id_class_dict.pkl")
    write_published(hub.folder / "V1", *names)
    directory = fetch_preset(f"hf://{REPO}/V1")
    assert names_in(directory) == {"config.json", weights}
    assert (directory / weights).read_text() == f"V1/{weights}"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch_preset(f"hf://{REPO}/V1") == directory


def test_safetensors_are_preferred_and_a_repository_may_be_a_preset(hub):
    write_published(hub.folder, "config.json", "model.safetensors", "pytorch_model.bin")
    directory = fetch_preset(f"hf://{REPO}")
    assert names_in(directory) == {"config.json", "model.safetensors"}


@pytest.mark.parametrize("index", [name for name in CHECKPOINT_FILES if name.endswith("json")])
def test_the_shards_that_an_index_names(hub, index):
    suffix = index.split(".")[1]
    shards = [f"part-{number}-of-2.{suffix}" for number in (1, 2)]
    write_published(hub.folder / "big", "config.json", *shards, f"part-3-of-2.{suffix}")
    weight_map = {"a": shards[0], "b": shards[1], "c": shards[0]}
    write(hub.folder / "big", **{index: json.dumps({"weight_map": weight_map})})
    directory = fetch_preset(f"hf://{REPO}/big")
    assert names_in(directory) == {"config.json", index, *shards}
    assert len(hub.sent) == 4


@pytest.mark.parametrize("weights", ["adapter_model.safetensors", "adapter_model.bin"])
def test_an_adapter_of_peft(hub, weights):
    write_published(hub.folder / "lora", "adapter_config.json", weights, "README.md")
    directory = fetch_preset(f"hf://{REPO}/lora")
    assert names_in(directory) == {"adapter_config.json", weights}


def test_all_files_are_of_one_commit(hub):
    directory = fetch_preset(f"hf://{REPO}/ours")
    # The first name is a branch; what it stood for then is asked for by its commit.
    assert [revision for revision, _ in hub.sent] == ["main"] + [NEW] * 4
    assert directory.parent.name == NEW
    hub.sent.clear()
    assert fetch_preset(f"hf://{REPO}/ours", revision=OLD).parent.name == OLD
    assert {revision for revision, _ in hub.sent} <= {OLD}


def refused(error, message, address, revision=None):
    with pytest.raises(error, match=message):
        fetch_preset(address, revision)


def test_what_the_hub_does_not_have(hub):
    message = r"^the hub has no preset\.json of no/model at revision main: there is no such repos"
    refused(FileNotFoundError, message, "hf://no/model")
    message = r"^the hub has no ours/preset\.json of lab/cells at revision x: there is no such revi"
    refused(FileNotFoundError, message, f"hf://{REPO}/ours", "x")
    message = re.escape(
        f"hf://{REPO}/elsewhere at revision main holds neither preset.json nor config.json nor "
        "adapter_config.json: expected a preset of ours, a published checkpoint or a PEFT adapter. "
        "Is the subfolder right?"
    )
    refused(FileNotFoundError, f"^{message}$", f"hf://{REPO}/elsewhere")
    write_published(hub.folder / "V1", "config.json")
    message = re.escape(
        f"hf://{REPO}/V1 at revision {NEW} holds none of model.safetensors, "
        "model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json: there are "
        "no weights to read. Is the subfolder right?"
    )
    refused(FileNotFoundError, f"^{message}$", f"hf://{REPO}/V1")


@pytest.mark.parametrize(
    "name", ["model.weights.h5", "vocabulary/vocabulary.json", "vocabulary/aliases.parquet"]
)
def test_an_incomplete_preset_names_what_it_lacks(hub, name):
    (hub.folder / "ours" / name).unlink()
    message = rf"^the hub has no ours/{re.escape(name)} of {REPO} at revision {NEW}: this revision"
    refused(FileNotFoundError, message, f"hf://{REPO}/ours")


def test_offline_without_a_copy(hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    message = r"^ours/preset.json of lab/cells at revision main is not in the cache and HF_HUB_OFF"
    refused(ConnectionError, message, f"hf://{REPO}/ours")


@pytest.mark.parametrize(
    "address", ["hf://lab", "hf://", "hf:///cells", "hf://lab/cells/../x", "hf://a//b", "lab/cells"]
)
def test_other_addresses_are_refused(address):
    message = (
        f"Received preset={address!r}; expected 'hf://organisation/repository' or "
        "'hf://organisation/repository/subfolder'."
    )
    refused(ValueError, f"^{re.escape(message)}$", address)


@pytest.mark.parametrize(
    "name",
    [
        "../../x",
        "/etc/passwd",
        "..\\x",
        "C:\\x",
        "C:x",
        "a/b",
        "..",
        ".ssh",
        "x\0",
        "x\n",
        "NUL",
        "",
    ],
)
def test_names_that_lead_out_of_the_folder_are_not_asked_for(hub, name):
    vocabulary = hub.folder / "ours" / "vocabulary" / "vocabulary.json"
    manifest = json.loads(vocabulary.read_text())
    vocabulary.write_text(json.dumps(manifest | {"files": {name: "0"}}))
    write_published(hub.folder / "big", "config.json")
    index = json.dumps({"weight_map": {"a": name}})
    write(hub.folder / "big", **{"model.safetensors.index.json": index})
    for folder, said_by in (("ours", "vocabulary.json"), ("big", "model.safetensors.index.json")):
        message = (
            f"{said_by} of hf://{REPO}/{folder} names the file {name!r}; expected a name without "
            "folders, of letters, digits, '_', '-' and '.'. Nothing of that name was fetched: do "
            "not trust where it came from"
        )
        refused(ValueError, f"^{re.escape(message)}$", f"hf://{REPO}/{folder}")
    asked = {path.split("/", 1)[1] for _, path in hub.asked}
    assert asked <= {
        *("preset.json", "config.json", "model.weights.h5", "vocabulary/vocabulary.json"),
        *("model.safetensors", "model.safetensors.index.json"),
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"weight_map": {}}', "names no weight_map; expected an object with file names"),
        ('{"weight_map": [1]}', "names no weight_map; expected an object with file names"),
        ("[1]", "names no weight_map; expected an object with file names"),
        ("{", "is not valid JSON"),
        ('{"weight_map": {"a": 3}}', "names the file 3; expected a name without folders"),
    ],
)
def test_a_damaged_index(hub, content, message):
    write_published(hub.folder / "big", "config.json")
    write(hub.folder / "big", **{"model.safetensors.index.json": content})
    message = f"^model.safetensors.index.json of hf://{REPO}/big {message}"
    refused(ValueError, message, f"hf://{REPO}/big")


def test_a_description_too_long_for_one(hub):
    with (hub.folder / "ours" / "preset.json").open("wb") as file:
        file.truncate(2**25 + 1)
    message = rf"^preset\.json of hf://{REPO}/ours has 33,554,433 bytes; expected at most 33,55"
    refused(ValueError, message, f"hf://{REPO}/ours")


@pytest.mark.tensors
def test_a_published_checkpoint_from_the_hub_is_the_local_one(hub, reference):
    import keras_geneformer as kg

    shutil.copytree(reference / "checkpoints" / "tiny-v1", hub.folder / "tiny")
    local = kg.GeneformerMaskedLM.from_preset(reference / "checkpoints" / "tiny-v1")
    back = kg.GeneformerMaskedLM.from_preset(f"hf://{REPO}/tiny")
    for one, other in zip(local.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
