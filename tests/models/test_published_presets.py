"""Published PyTorch checkpoints as presets, and their conversion."""

import json
import re
import shutil

import keras
import numpy as np
import pytest

import keras_geneformer as kg
from keras_geneformer.conversion.assignment import export_checkpoint
from keras_geneformer.conversion.checkpoint_files import read_checkpoint
from keras_geneformer.conversion.table import checkpoint_table
from keras_geneformer.models.presets import preset_vocabulary

pytestmark = pytest.mark.tensors


@pytest.fixture
def published(reference, tmp_path):
    """A copy of a published checkpoint, to be damaged."""

    def copy(name):
        return shutil.copytree(reference / "checkpoints" / name, tmp_path / name)

    return copy


@pytest.mark.parametrize(
    ("name", "cls", "kind"),
    [
        ("tiny-v1", kg.GeneformerMaskedLM, "masked_lm"),
        ("tiny-v1-bin", kg.GeneformerMaskedLM, "masked_lm"),
        ("tiny-v1-cell", kg.GeneformerCellClassifier, "cell_classifier"),
        ("tiny-v1-gene", kg.GeneformerGeneClassifier, "gene_classifier"),
    ],
)
def test_import_preset_export_is_bit_equal(reference, tmp_path, name, cls, kind):
    source = reference / "checkpoints" / name
    cls.from_preset(source).save_to_preset(tmp_path / "preset")
    exported = export_checkpoint(
        cls.from_preset(tmp_path / "preset").weights, checkpoint_table(3, kind)
    )
    tensors = read_checkpoint(source)
    assert exported.keys() == {key for key in tensors if ".decoder." not in key}
    for key, value in exported.items():
        assert value.tobytes() == tensors[key].tobytes(), key


@pytest.mark.parametrize("name", ["tiny-v1", "tiny-v1-cell", "tiny-v1-gene"])
def test_a_backbone_from_each(reference, name):
    source = reference / "checkpoints" / name
    backbone = kg.GeneformerBackbone.from_preset(source, dtype="mixed_bfloat16")
    assert backbone.dtype_policy.name == "mixed_bfloat16"
    assert (backbone.vocabulary_checksum, backbone.special_token_ids) == (None, (0, 1))
    exported = export_checkpoint(backbone.weights, checkpoint_table(3, "backbone"))
    tensors = read_checkpoint(source)
    assert all(np.array_equal(value, tensors[key]) for key, value in exported.items())


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(published, name):
    directory = published("tiny-v1")
    (directory / name).unlink()
    message = {
        "config.json": rf"^{re.escape(str(directory))}/config\.json is missing\. A published check",
        "model.safetensors": (
            rf"^{re.escape(str(directory))} holds neither model\.safetensors nor "
            r"pytorch_model\.bin \(found: config\.json, generation_config\.json\)\. Download the"
        ),
    }[name]
    with pytest.raises(FileNotFoundError, match=message):
        kg.GeneformerMaskedLM.from_preset(directory)


def test_weights_of_another_config(published):
    directory = published("tiny-v1")
    path = directory / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"max_position_embeddings": 1024}))
    message = (
        r"^The checkpoint's bert\.embeddings\.position_embeddings\.weight has shape \(2048, 32\); "
        r"the model's embeddings/position_table expects \(1024, 32\)\. The weights do not belong "
    )
    with pytest.raises(ValueError, match=message):
        kg.GeneformerMaskedLM.from_preset(directory)
    path.write_text(json.dumps(config | {"num_hidden_layers": 2}))
    with pytest.raises(ValueError, match=r"keys missing: none; keys unknown: bert\.encoder\.layer"):
        kg.GeneformerMaskedLM.from_preset(directory)


def test_conversion_keeps_the_vocabulary(reference, dictionaries, tmp_path):
    source = reference / "checkpoints" / "tiny-v1-cell"
    vocabulary = kg.GeneVocabulary.load(dictionaries / "V1")
    model = kg.convert_checkpoint(source, tmp_path / "preset", vocabulary=vocabulary)
    again = kg.GeneformerCellClassifier.from_preset(tmp_path / "preset")
    assert again.get_config() == model.get_config()
    assert again.vocabulary_checksum == model.vocabulary_checksum == vocabulary.checksum
    assert again.backbone.special_token_ids == (0, 1)
    assert again.num_classes == 5
    assert preset_vocabulary(tmp_path / "preset").checksum == vocabulary.checksum
    for one, other in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (one, other)))


def test_a_checkpoint_for_another_vocabulary(reference, dictionaries, tmp_path):
    source = reference / "checkpoints" / "tiny-v1"
    message = (
        "Received a vocabulary of 20275 tokens for a model of 25426. Expected the vocabulary the "
        "model was trained with."
    )
    vocabulary = kg.GeneVocabulary.load(dictionaries / "V2")
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        kg.convert_checkpoint(source, tmp_path / "preset", vocabulary=vocabulary)
    assert not list(tmp_path.iterdir())
