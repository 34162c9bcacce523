"""Checkpoints there and back, and the proof that they are the same."""

import json
import re
import shutil

import numpy as np
import pytest

import keras_geneformer as kg
from keras_geneformer.models.converting import convert_with_table
from keras_geneformer.models.verification import VerificationError
from keras_geneformer.testing import tiny_backbone, tiny_vocabulary

pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def source(reference):
    return reference / "checkpoints" / "tiny-v1-cell"


@pytest.fixture(scope="module")
def converted(source, tmp_path_factory):
    """The preset and the checkpoint that it became, with the tables of both."""
    folder = tmp_path_factory.mktemp("converted")
    _, there = convert_with_table(source, folder / "preset", verify=True)
    _, back = convert_with_table(folder / "preset", folder / "bert", verify=True)
    return folder, there, back


@pytest.fixture
def damaged(converted, tmp_path):
    """A copy of the checkpoint that was written, to be damaged."""
    return shutil.copytree(converted[0] / "bert", tmp_path / "bert")


def test_there_and_back(source, converted):
    folder, there, back = converted
    for table, words in ((there, ("transformers", "ours")), (back, ("ours", "transformers"))):
        assert table["check"].tolist() == [
            *("model", "keys", "shapes", "config", "tensors", "sha256", "vocabulary"),
            *(f"hidden states {layer}" for layer in range(4)),
            "scores",
        ]
        assert table["passed"].sum() == 10
        assert table["passed"].isna().sum() == 2
        outputs = table[table["difference"].notna()]
        assert len(outputs) == 5
        assert (outputs["difference"] < 2e-5).all()
        assert tuple(outputs.loc[7, ["source", "converted"]]) == words
    # transformers writes these very bytes.
    written = (folder / "bert" / "model.safetensors").read_bytes()
    assert written == (source / "model.safetensors").read_bytes()
    ours, theirs = (
        json.loads((path / "config.json").read_text()) for path in (folder / "bert", source)
    )
    assert ours["special_token_ids"] == [0, 1]
    for key in ("hidden_act", "initializer_range", "layer_norm_eps", "type_vocab_size"):
        assert ours[key] == theirs[key]


def test_a_bit_that_differs(source, damaged):
    path = damaged / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-4] ^= 1  # the last digit of the last number
    path.write_bytes(content)
    table = kg.verify_checkpoint(source, damaged).set_index("check")
    expected = "56 of 57 bit-equal; unlike: classifier.weight"
    assert table.loc["tensors", "converted"] == expected
    assert table["passed"].eq(False).sum() == 1
    assert not table.loc["tensors", "passed"]


def test_another_config(source, damaged):
    path = damaged / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"layer_norm_eps": 0.1, "hidden_act": "gelu"}))
    table = kg.verify_checkpoint(source, damaged).set_index("check")
    assert not table.loc["config", "passed"]
    assert "hidden_act 'gelu', layer_norm_eps 0.1" in table.loc["config", "converted"]
    assert table.loc["tensors", "passed"]
    assert not table.loc["scores", "passed"]
    assert not table.loc["hidden states 3", "passed"]


def test_another_model(source, reference):
    table = kg.verify_checkpoint(source, reference / "checkpoints" / "tiny-v1-gene")
    table = table.set_index("check")
    failed = table.index[table["passed"].eq(False)].tolist()
    assert failed == ["model", "keys", "shapes", "config", "tensors"]
    assert table.loc["outputs", "converted"] == "not compared: other keys or shapes"


def test_a_truncated_destination_is_an_error(source, damaged):
    path = damaged / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=re.escape(str(path))):
        kg.verify_checkpoint(source, damaged)


def test_nothing_stays_where_it_differs(source, tmp_path, monkeypatch):
    from keras_geneformer.models import converting

    def written_wrong(model, place, vocabulary=None):
        model.get_layer("scores").bias.assign(np.ones(5))
        save_preset(model, place, vocabulary)

    save_preset = converting.save_preset
    monkeypatch.setattr(converting, "save_preset", written_wrong)
    message = (
        "The converted checkpoint differs from its source in 2 of 12 checks: tensors, scores. "
        "Nothing was written."
    )
    with pytest.raises(VerificationError, match=f"^{re.escape(message)}$") as caught:
        kg.convert_checkpoint(source, tmp_path / "preset", verify=True)
    assert caught.value.table["passed"].eq(False).sum() == 2
    assert not list(tmp_path.iterdir())


def test_options(source, converted, tmp_path):
    def refused(message, *arguments, **options):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            kg.convert_checkpoint(*arguments, tmp_path / "out", **options)
        assert not list(tmp_path.iterdir())

    preset = converted[0] / "preset"
    refused("Received to='onnx'; expected 'preset' or 'transformers'.", source, to="onnx")
    refused(
        "Received vocabulary_files or max_shard_bytes for a preset; they are of a checkpoint for "
        "transformers (to='transformers').",
        source,
        max_shard_bytes=10,
    )
    refused(
        f"Received names of classes for {preset}, which is a preset and has its own. They are for "
        "a published checkpoint.",
        preset,
        classes=["a"],
    )


def test_a_preset_takes_its_vocabulary_along(tmp_path):
    vocabulary = tiny_vocabulary(cls=True)
    tiny_backbone(cls=True).save_to_preset(tmp_path / "preset", vocabulary)
    kg.convert_checkpoint(tmp_path / "preset", tmp_path / "bert", vocabulary_files=True)
    assert kg.GeneVocabulary.load(tmp_path / "bert").checksum == vocabulary.checksum
    back = kg.convert_checkpoint(tmp_path / "bert", tmp_path / "again")
    assert back.vocabulary_checksum == vocabulary.checksum
    assert back.special_token_ids == (0, 1, 2, 3)
    table = kg.verify_checkpoint(tmp_path / "preset", tmp_path / "again").set_index("check")
    assert table["passed"].all()
    assert table.loc["vocabulary", "converted"] == vocabulary.checksum
    assert table.loc["outputs", "converted"] == "not compared: both are presets"
