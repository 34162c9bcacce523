"""Published checkpoints by name: pinned to a commit and to their bytes, with their vocabulary."""

import hashlib
import json
import logging
import re
import shutil
from pathlib import Path

import pytest
from loopback_hub import OLD, serving

import keras_geneformer as kg
from keras_geneformer import hub as hub_files
from keras_geneformer import published_presets as presets
from keras_geneformer.models.preset_source import preset_directory

NAME, FOLDER = "geneformer_v1_10m", "Geneformer-V1-10M"
SHAPE = {"num_layers": 3, "num_heads": 4, "hidden_dim": 32, "vocabulary_size": 25_426}
NAMES = [NAME, "geneformer_v2_104m", "geneformer_v2_104m_clcancer", "geneformer_v2_316m"]


@pytest.fixture
def hub(reference, dictionaries, tmp_path, monkeypatch):
    """A hub with a small checkpoint in the place of V1-10M, which the manifest knows."""
    repository = tmp_path / "hub" / hub_files.PUBLISHED_REPO
    shutil.copytree(reference / "checkpoints" / "tiny-v1", repository / FOLDER)
    shutil.copytree(dictionaries / "V1", repository / "geneformer" / "gene_dictionaries_30m")
    manifest = json.loads((presets.weights_folder() / presets.MANIFEST_FILE).read_text())
    weights = (repository / FOLDER / "model.safetensors").read_bytes()
    known = {"sha256": hashlib.sha256(weights).hexdigest(), "bytes": len(weights)}
    manifest["presets"][NAME] |= {"files": {"model.safetensors": known}, "shape": SHAPE}
    (tmp_path / presets.MANIFEST_FILE).write_text(json.dumps(manifest))
    monkeypatch.setattr(presets, "weights_folder", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    presets.published_presets.cache_clear()
    with serving(tmp_path / "hub", tmp_path / "cache", monkeypatch) as server:
        server.commits.add(hub_files.PUBLISHED_REVISION)
        server.known, server.folder = known, repository / FOLDER
        yield server
    presets.published_presets.cache_clear()


def test_the_names_there_are():
    found = presets.published_presets()
    assert list(found) == NAMES
    assert {one.vocabulary for one in found.values()} == {"v1", "v2"}
    for one in found.values():
        assert one.revision == hub_files.PUBLISHED_REVISION
        assert re.fullmatch("[0-9a-f]{64}", one.files["model.safetensors"].sha256)


def test_the_checksums_of_their_vocabularies(dictionaries):
    expected = {n: kg.GeneVocabulary.load(dictionaries / n.upper()).checksum for n in ("v1", "v2")}
    for one in presets.published_presets().values():
        assert one.vocabulary_checksum == expected[one.vocabulary]


def test_a_name_is_what_the_manifest_pins(hub, caplog, monkeypatch):
    with caplog.at_level(logging.INFO, logger="keras_geneformer.hub"):
        directory = preset_directory(NAME)
    assert {path.name for path in directory.iterdir()} == {"config.json", "model.safetensors"}
    assert {revision for revision, _ in hub.asked} == {hub_files.PUBLISHED_REVISION}
    said = f"sha256 {hub.known['sha256']}, as expected"
    assert any(message.endswith(said) for message in caplog.messages)
    assert preset_directory(f"hf://{hub_files.PUBLISHED_REPO}/{FOLDER}/") == directory
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert preset_directory(NAME) == directory


def test_a_directory_of_that_name_goes_before(hub):
    Path(NAME).mkdir()
    Path(NAME, "config.json").write_text("{}")
    assert preset_directory(NAME) == Path(NAME)
    assert presets.find_published_preset(NAME) is None
    assert not hub.asked


def test_another_revision_is_fetched_and_said_not_to_be_verified(hub, caplog):
    (hub.folder / "model.safetensors").write_bytes(b"another one")
    with caplog.at_level(logging.INFO, logger="keras_geneformer.hub"):
        directory = preset_directory(NAME, revision=OLD)
    assert (directory / "model.safetensors").read_bytes() == b"another one"
    assert caplog.messages[0] == (
        f"hf://{hub_files.PUBLISHED_REPO}/{FOLDER} at revision {OLD}: the sha256 of its weights is "
        f"known of revision {hub_files.PUBLISHED_REVISION} alone, and is not verified"
    )
    assert presets.find_published_preset(NAME, revision=OLD) is None


@pytest.mark.parametrize("kind", ["size", "sha256"])
def test_other_bytes_are_refused_until_they_are_fetched_again(hub, kind):
    path = hub.folder / "model.safetensors"
    right = path.read_bytes()
    wrong = right + b"0" if kind == "size" else right[:-1] + bytes([right[-1] ^ 1])
    path.write_bytes(wrong)
    with pytest.raises(ValueError, match="It is not used") as caught:
        preset_directory(NAME)
    sha256 = hashlib.sha256(wrong).hexdigest()
    received, expected = {
        "size": (f"{len(wrong):,} bytes", f"{len(right):,}"),
        "sha256": (f"sha256 {sha256}", hub.known["sha256"]),
    }[kind]
    cached = re.search(r"delete (.*) and download", str(caught.value))[1]
    assert str(caught.value) == (
        f"{FOLDER}/model.safetensors of {hub_files.PUBLISHED_REPO} at revision "
        f"{hub_files.PUBLISHED_REVISION} has {received} in the cache; expected {expected}. It is "
        f"not used: delete {cached} and download it again"
    )
    path.write_bytes(right)
    with pytest.raises(ValueError, match="It is not used"):
        preset_directory(NAME)
    Path(cached).unlink()
    assert (preset_directory(NAME) / "model.safetensors").read_bytes() == right


def test_its_vocabulary_comes_of_its_name(hub):
    expected = presets.published_presets()[NAME].vocabulary_checksum
    assert kg.RankValueTokenizer.from_preset(NAME).vocabulary.checksum == expected
    address = f"hf://{hub_files.PUBLISHED_REPO}/{FOLDER}"
    assert kg.GeneVocabulary.load(address).checksum == expected
    assert not [name for _, name in hub.asked if name.startswith(FOLDER)]


def test_a_vocabulary_that_is_not_at_hand_is_said_to_be(monkeypatch, tmp_path, caplog):
    from keras_geneformer.models.presets import preset_vocabulary

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert preset_vocabulary(NAME) is None
    (message,) = caplog.messages
    assert message.startswith(
        f"The vocabulary of {NAME} is not at hand: geneformer/gene_dictionaries_30m/"
        f"token_dictionary_gc30M.pkl of {hub_files.PUBLISHED_REPO} at revision "
    )


def test_a_mirror_cannot_put_a_preset_in_its_place(hub):
    (hub.folder / "preset.json").write_text("{}")
    (hub.folder / "model.weights.h5").write_bytes(b"others")
    names = {path.name for path in preset_directory(NAME).iterdir()}
    assert names == {"config.json", "model.safetensors"}


@pytest.mark.tensors
def test_a_model_of_that_name_refuses_cells_of_another_vocabulary(hub):
    from keras_geneformer.testing import tiny_vocabulary

    model = kg.GeneformerMaskedLM.from_preset(NAME)
    assert model.vocabulary_checksum == presets.published_presets()[NAME].vocabulary_checksum
    assert kg.GeneformerBackbone.from_preset(NAME, revision=OLD).vocabulary_checksum is None
    other = kg.CellDataset([[5, 6, 7]], vocabulary=tiny_vocabulary())
    with pytest.raises(ValueError, match="tokenized with another vocabulary"):
        kg.embed_cells(model, other)


def test_another_shape_than_the_published_one_is_refused(hub):
    path = hub.folder / "config.json"
    path.write_text(
        path.read_text().replace('"num_attention_heads": 4', '"num_attention_heads": 2')
    )
    with pytest.raises(ValueError, match="came with") as caught:
        kg.GeneformerMaskedLM.from_preset(NAME)
    assert str(caught.value) == (
        f"The config.json of {NAME} came with num_heads=2; expected 4. Delete it from the hub's "
        "cache and download it again, and do not trust a mirror that gives it so."
    )


def test_another_activation_than_the_published_one_is_refused(hub):
    path = hub.folder / "config.json"
    path.write_text(path.read_text().replace('"relu"', '"gelu"'))
    with pytest.raises(ValueError, match="came with activation=gelu; expected relu"):
        kg.GeneformerMaskedLM.from_preset(NAME)


def test_a_package_without_its_manifest(tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "weights_folder", lambda: tmp_path)
    presets.published_presets.cache_clear()
    try:
        with pytest.raises(FileNotFoundError) as caught:
            presets.published_presets()
        manifest = tmp_path / "manifest.json"
        assert str(caught.value) == (
            f"There is no {manifest}, which names the published checkpoints. Install "
            "keras_geneformer again."
        )
        manifest.write_text('{"format": 2}')
        with pytest.raises(ValueError, match=r"has format 2; expected 1\. Install keras_geneform"):
            presets.published_presets()
    finally:
        presets.published_presets.cache_clear()
