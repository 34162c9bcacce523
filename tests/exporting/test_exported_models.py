"""Exported models, each run in its own runtime and compared with Keras."""

import importlib.util
import json
import os
import shutil

import keras
import numpy as np
import pytest

import keras_geneformer as kg
from keras_geneformer.exporting import formats, verification
from keras_geneformer.exporting.runtimes import read_export
from keras_geneformer.testing import tiny_backbone, tiny_vocabulary

pytestmark = pytest.mark.tensors

WRITTEN = [
    name for name, chosen in formats.FORMATS.items() if keras.config.backend() in chosen.writers
]


def needs(name):
    chosen = formats.FORMATS[name]
    for module in (*chosen.writers[keras.config.backend()], *chosen.runtime):
        pytest.importorskip(module)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A preset of a classifier whose classes have names, with its vocabulary."""
    keras.utils.set_random_seed(3)
    backbone = tiny_backbone(num_layers=1, initializer_range=0.2)
    model = kg.GeneformerCellClassifier(backbone, classes=["B", "T", "NK"], pooling="mean")
    preset = tmp_path_factory.mktemp("preset") / "classifier"
    model.save_to_preset(preset, tiny_vocabulary())
    return preset


@pytest.mark.parametrize("name", WRITTEN)
def test_each_runtime_gives_the_scores_of_keras(classifier, tmp_path, name):
    needs(name)
    directory = kg.export_model(classifier, tmp_path / "exported", format=name, verify=True)
    written = read_export(directory)
    assert written["classes"] == ["B", "T", "NK"]
    assert written["outputs"][0]["shape"] == ["batch", 3]
    assert written["largest_difference"] < 1e-5
    assert (
        kg.GeneVocabulary.load(directory / "vocabulary").checksum == written["vocabulary_checksum"]
    )
    run = kg.load_exported(directory)
    two = verification.sample_inputs(written, 2, 40)
    one = {key: value[:1, :30] for key, value in two.items()}
    assert run(two)["scores"].shape == (2, 3)
    assert run(one)["scores"].shape == (1, 3)


@pytest.mark.skipif("saved_model" not in WRITTEN, reason="the same for every format")
def test_padding_and_other_cells_change_nothing(tmp_path):
    name = "saved_model"
    masked_lm = kg.GeneformerMaskedLM(tiny_backbone(num_layers=1, initializer_range=0.2))
    directory = kg.export_model(masked_lm, tmp_path / "exported", format=name, layer=0)
    written = read_export(directory)
    assert written["outputs"][0]["meaning"] == "after 0 of 1 encoder blocks"
    run = kg.load_exported(directory)
    inputs = verification.sample_inputs(written, 3, 24)
    alone = {key: value[:1, :24] for key, value in inputs.items()}
    np.testing.assert_allclose(
        run(inputs)["hidden_states"][0], run(alone)["hidden_states"][0], atol=1e-5
    )
    # Another file of the same shape is told from it.
    other = keras.Model(masked_lm.backbone.input, masked_lm.backbone.output * 1.01)
    with pytest.raises(ValueError, match=r"hidden_states of the exported model differs by up to"):
        verification.verify_export(directory, other)
    # An earlier export is replaced, and nothing else is.
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds something else"):
        kg.export_model(masked_lm, kept, format=name)
    assert os.listdir(kept) == ["notes.txt"]


@pytest.mark.skipif(keras.config.backend() != "torch", reason="of its exporter")
def test_pytorch_does_not_write_a_masked_lm(tmp_path):
    needs("onnx")
    masked_lm = kg.GeneformerMaskedLM(tiny_backbone(num_layers=1))
    with pytest.raises(ValueError, match="masked LM") as refused:
        kg.export_model(masked_lm, tmp_path / "exported", format="onnx")
    assert str(refused.value) == (
        "Received a masked LM to write as ONNX on the torch backend, whose exporter would fix the "
        "number and length of the cells. Set KERAS_BACKEND=tensorflow, or give layer= for its "
        "hidden states."
    )
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_written_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="format=") as refused:
        formats.check_format("pickle", "tensorflow")
    assert str(refused.value) == (
        "Received format='pickle'; expected one of 'saved_model', 'onnx', 'litert', 'openvino'."
    )
    with pytest.raises(ValueError, match="not written") as refused:
        formats.check_format("onnx", "jax")
    assert str(refused.value) == (
        "The format 'onnx' is not written by the Keras backend 'jax'. Set KERAS_BACKEND=tensorflow "
        "(or torch): a preset is the same on every backend."
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError) as missing:
        formats.check_format("onnx", "tensorflow")
    assert str(missing.value) == (
        "To write the format 'onnx', onnx and tf2onnx must be installed: "
        "`pip install 'keras_geneformer[export]'`."
    )
    with pytest.raises(ImportError, match=r"To run the format 'litert', ai_edge_litert must be"):
        formats.check_runtime("litert")


def test_a_description_of_another_version_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="Expected a directory that export_model wrote"):
        read_export(tmp_path)
    (tmp_path / "export.json").write_text(json.dumps({"version": 2, "format": "onnx"}))
    with pytest.raises(ValueError, match="holds version 2 and format 'onnx'; expected version 1"):
        read_export(tmp_path)


@pytest.mark.skipif("saved_model" not in WRITTEN, reason="the command is the same elsewhere")
def test_the_command_says_what_it_wrote(classifier, tmp_path, capsys):
    from keras_geneformer.cli import main

    output = tmp_path / "states"
    options = ["--format", "saved_model", "--output", str(output), "--layer", "-1", "--verify"]
    assert main(["export", str(classifier), *options]) == 0
    assert capsys.readouterr().out == (
        f"GeneformerCellClassifier as saved_model (hidden_states) in {output}\n"
        "largest difference from Keras: 0.0e+00\n"
    )
    shutil.rmtree(output)
