"""Presets of quantized models: what is on disk, and what is refused."""

import copy
import json
import re

import keras
import numpy as np
import pytest

import keras_geneformer as kg
from keras_geneformer.testing import synthetic_dataset, tiny_backbone, tiny_vocabulary


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A classifier in int8 and its preset, which tests must not change."""
    keras.utils.set_random_seed(0)
    backbone = tiny_backbone(num_layers=1, hidden_dim=64, intermediate_dim=128)
    model = kg.GeneformerCellClassifier(backbone, classes=["B", "T"], head_layers=1)
    directory = tmp_path_factory.mktemp("presets")
    model.save_to_preset(directory / "float", tiny_vocabulary())
    kg.quantize(model, "int8")
    model.save_to_preset(directory / "int8", tiny_vocabulary())
    return model, directory


@pytest.fixture
def preset(saved, tmp_path):
    """A copy of the preset in int8, to be damaged."""
    import shutil

    return shutil.copytree(saved[1] / "int8", tmp_path / "preset")


def describe(preset, **changes):
    path = preset / "preset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_description_names_the_layers_and_the_weights_are_fewer_bytes(saved):
    _, directory = saved
    description = json.loads((directory / "int8" / "preset.json").read_text())
    assert description["format"] == 2
    layers = description["quantization"].pop("layers")
    assert not description["quantization"]
    assert set(layers.values()) == {"int8"}
    assert {path.split("/")[0] for path in layers} == {
        "embeddings",
        "encoder_block_0",
        "head_block_0",
    }
    assert json.loads((directory / "float" / "preset.json").read_text())["format"] == 1
    # HDF5 takes some kilobytes a layer, which count in so small a model.
    sizes = [(directory / k / "model.weights.h5").stat().st_size for k in ("int8", "float")]
    assert sizes[0] < 0.6 * sizes[1]


def test_the_head_and_the_backbone_come_from_a_quantized_preset(saved):
    model, directory = saved
    cells = synthetic_dataset(3)
    expected = kg.predict(model, cells)
    found = kg.predict(directory / "int8", cells)
    np.testing.assert_array_equal(found["prob_B"], expected["prob_B"])
    again = kg.GeneformerBackbone.from_preset(directory / "int8")
    np.testing.assert_array_equal(kg.embed_cells(again, cells), kg.embed_cells(model, cells))


def test_training_and_other_types_are_refused_with_what_to_do(saved):
    model, directory = saved
    cells = synthetic_dataset(12)
    message = (
        r"^The GeneformerBackbone '.*' is quantized and cannot be trained: rounded weights are all "
        r"that is left of it\. Use the model that it was made from, and quantize the result"
    )
    with pytest.raises(ValueError, match=message):
        kg.finetune_cells(model.backbone, cells, "cell_type", epochs=1)
    with pytest.raises(ValueError, match="is quantized and cannot be trained"):
        kg.pretrain(model.backbone, cells, steps=1)
    with pytest.raises(ValueError, match="is quantized and cannot be made to compute in bfloat16"):
        kg.embed_cells(model, cells, dtype="bfloat16")
    message = (
        f"Received dtype='mixed_bfloat16' for {directory / 'int8'}, which is quantized and "
        "computes in what it was quantized in. Leave dtype out, or load the preset that it was "
        "made from."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        kg.GeneformerBackbone.from_preset(directory / "int8", dtype="mixed_bfloat16")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 1}, r"received format 1 and model .*; expected format 2 and one of"),
        ({"quantization": {}}, r"^The entry quantization of .*preset\.json is damaged\. Copy the"),
        ({"quantization": {"layers": {"a": 3}}}, "is damaged"),
        (
            {"quantization": {"layers": {"encoder_block_9/intermediate": "int8"}}},
            r"^Received quantized layers that this GeneformerCellClassifier does not have: "
            r"encoder_block_9/intermediate\. Copy the preset again\.$",
        ),
        (
            {"quantization": {"layers": {"encoder_block_0/intermediate": "int3"}}},
            r"^encoder_block_0/intermediate cannot be quantized to 'int3'\. It may come from a ne",
        ),
    ],
)
def test_damaged_descriptions_are_refused(preset, changes, message):
    describe(preset, **changes)
    with pytest.raises(ValueError, match=message):
        kg.GeneformerCellClassifier.from_preset(preset)


@pytest.mark.skipif(keras.config.backend() == "openvino", reason="of the other backends")
def test_graphs_of_openvino_are_refused_elsewhere(preset):
    entry = json.loads((preset / "preset.json").read_text())["quantization"]
    describe(preset, quantization=entry | {"graphs": {}})
    message = rf"^The preset {re.escape(str(preset))}, quantized to 'openvino-int8', needs the open"
    with pytest.raises(ValueError, match=message):
        kg.GeneformerCellClassifier.from_preset(preset)


def test_the_command_line_quantizes_and_says_what_it_cost(saved, tmp_path, capsys):
    from keras_geneformer.cli import main
    from keras_geneformer.models.presets import preset_vocabulary

    synthetic_dataset(3).save(tmp_path / "cells.dataset")
    given = ["quantize", str(saved[1] / "float"), "--output", str(tmp_path / "out")]
    given += ["--calibration", str(tmp_path / "cells.dataset")]
    assert main([*given, "--mode", "int8"]) == 0
    said = capsys.readouterr().out
    assert re.search(
        r"^GeneformerCellClassifier in int8: 0\.\d+ MB of weights, \d+% of 0\.\d", said
    )
    cosine = re.search(
        r"embeddings of 3 cells, .*: cosine ([\d.]+) on average, [\d.]+ at the", said
    )
    assert 0.999 < float(cosine.group(1)) < 1.0001
    assert preset_vocabulary(tmp_path / "out").checksum == tiny_vocabulary().checksum
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    given[3] = str(tmp_path / "notes")
    assert main([*given, "--mode", "int8"]) == 2
    assert "holds something else" in capsys.readouterr().err


def test_what_keras_would_not_load_again_is_not_written(saved, tmp_path):
    model, _ = saved
    message = r"^The GeneformerCellClassifier .* is quantized and cannot be {}: Keras would not lo"
    with pytest.raises(ValueError, match=message.format("saved as a file of Keras")):
        model.save(tmp_path / "x.keras")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=message.format("copied or pickled")):
        copy.deepcopy(model)


def test_a_name_is_not_quantized(saved):
    with pytest.raises(ValueError, match=r"^Received a str as the model; expected a model, which"):
        kg.quantize(str(saved[1] / "float"), "int8")
