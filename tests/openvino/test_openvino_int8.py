"""Blocks in int8 on OpenVINO: near the float ones, in every reader, and the same from disk."""

import json
import shutil

import keras
import numpy as np
import pytest

import keras_geneformer as kg
from keras_geneformer.analysis.perturbation.identity import model_checksum
from keras_geneformer.analysis.perturbation.quantized_screen import QuantizedScreen
from keras_geneformer.data.inference import compile_forward
from keras_geneformer.testing import synthetic_dataset, tiny_backbone, tiny_vocabulary

pytestmark = pytest.mark.skipif(
    keras.config.backend() != "openvino", reason="of the openvino backend"
)


def cosines(one, other):
    one, other = np.asarray(one), np.asarray(other)
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Cells, a classifier in int8, what it gave in float, and its preset."""
    keras.utils.set_random_seed(1)
    cells = synthetic_dataset(3)
    model = kg.GeneformerCellClassifier(
        tiny_backbone(num_layers=1, initializer_range=0.1), classes=["B", "T"]
    )
    exact = {
        "embedding": kg.embed_cells(model, cells, layer=-1),
        "scores": compile_forward(model)(inputs_of(cells)),
        "effects": kg.perturb(model, cells.subset([0]), layer=-1),
        "checksum": model_checksum(model.backbone),
    }
    assert kg.quantize(model, "openvino-int8", cells) is model
    directory = tmp_path_factory.mktemp("presets") / "int8"
    model.save_to_preset(directory, tiny_vocabulary())
    return cells, model, exact, directory


def inputs_of(cells):
    ids = [np.asarray(cells[row]) for row in range(len(cells))]
    token_ids = np.zeros((len(ids), max(map(len, ids))), np.int32)
    for row, tokens in enumerate(ids):
        token_ids[row, : len(tokens)] = tokens
    return {"token_ids": token_ids, "padding_mask": (token_ids > 0).astype(np.int32)}


def test_every_reader_sees_the_blocks_in_int8(made):
    cells, model, exact, _ = made
    found = kg.embed_cells(model, cells, layer=-1)
    assert not np.array_equal(found, exact["embedding"])
    assert cosines(found, exact["embedding"]).min() > 0.995
    scores = compile_forward(model)(inputs_of(cells))
    assert not np.array_equal(scores, exact["scores"])
    np.testing.assert_allclose(scores, exact["scores"], atol=0.1)
    # The last block is asked for one token alone here.
    network = compile_forward(model.network())(inputs_of(cells))
    np.testing.assert_allclose(network, scores, atol=1e-5)
    effects = kg.perturb(model, cells.subset([0]), layer=-1)
    pair = np.corrcoef(effects["value"].rank(), exact["effects"]["value"].rank())
    assert pair[0, 1] > 0.8
    # A run in float is not gone on with in int8.
    assert model_checksum(model.backbone) != exact["checksum"]


def test_padding_changes_nothing(made):
    cells, model, _, _ = made
    inputs = inputs_of(cells)
    alone = {name: array[:1, : cells.lengths[0]] for name, array in inputs.items()}
    forward = compile_forward(model)
    np.testing.assert_allclose(forward(alone)[0], forward(inputs)[0], atol=1e-5)


def test_presets_come_back_to_the_bit(made):
    cells, model, _, directory = made
    again = kg.GeneformerCellClassifier.from_preset(directory)
    inputs = inputs_of(cells)
    np.testing.assert_array_equal(compile_forward(again)(inputs), compile_forward(model)(inputs))
    assert model_checksum(again.backbone) == model_checksum(model.backbone)
    graphs = json.loads((directory / "preset.json").read_text())["quantization"]["graphs"]
    assert sorted(graphs) == ["encoder_block_0.bin", "encoder_block_0.xml"]
    again.save_to_preset(directory.with_name("again"))
    labels = kg.predict(directory.with_name("again"), cells)
    np.testing.assert_array_equal(labels["prob_B"], kg.predict(model, cells)["prob_B"])


def test_damaged_graphs_are_refused(made, tmp_path):
    preset = shutil.copytree(made[3], tmp_path / "preset")
    path = preset / "openvino" / "encoder_block_0.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        ValueError, match=r"encoder_block_0\.bin has sha256 .*; preset\.json expects"
    ):
        kg.GeneformerBackbone.from_preset(preset)
    path.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"lacks openvino/encoder_block_0\.bin\. Copy or do"
    ):
        kg.GeneformerBackbone.from_preset(preset)


def test_what_int8_blocks_cannot_do_is_said(made):
    cells, model, _, _ = made
    rows = np.ones((1, 4), np.int32)
    packed = {"token_ids": rows, "cell_numbers": rows, "positions": rows * 0}
    with pytest.raises(ValueError, match=r"Received rows of several cells for a block in int8"):
        model.backbone.packed_model()(packed)
    with pytest.raises(ValueError, match=r"^The model is quantized: deletions by it are at the co"):
        QuantizedScreen(model.backbone, cells, layer=-1, pooling="mean", special=np.array([0, 1]))
