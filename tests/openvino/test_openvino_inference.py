"""What only infers, on the openvino backend: `make test-openvino` runs this."""

import keras
import numpy as np
import pytest

import keras_geneformer as kg
from keras_geneformer.analysis.perturbation.engine import VariantEngine, states_model
from keras_geneformer.data import openvino_forward
from keras_geneformer.data.inference import compile_forward
from keras_geneformer.layers.normalization import LayerNormalization
from keras_geneformer.testing import synthetic_dataset, tiny_backbone

pytestmark = pytest.mark.skipif(
    keras.config.backend() != "openvino", reason="of the openvino backend"
)

# The tolerances of the reference README, for float32 model outputs.
TOLERANCE = {"atol": 2e-5, "rtol": 1e-4}


@pytest.fixture(scope="module")
def backbone():
    keras.utils.set_random_seed(1)
    return tiny_backbone(num_layers=2)


def read(reference, name):
    with np.load(reference / "forward" / f"{name}.npz") as file:
        expected = dict(file)
    inputs = {"token_ids": expected["input_ids"], "padding_mask": expected["attention_mask"]}
    return expected, inputs


@pytest.mark.parametrize("name", ["tiny-v1", "tiny-v2"])
def test_one_graph_gives_the_reference_states_at_every_length(reference, name, monkeypatch):
    compiled = []
    compile_graph = openvino_forward.compile_graph
    monkeypatch.setattr(
        openvino_forward, "compile_graph", lambda graph: compiled.append(1) or compile_graph(graph)
    )
    expected, inputs = read(reference, name)
    backbone = kg.GeneformerBackbone.from_preset(reference / "checkpoints" / name)
    forward = compile_forward(backbone.hidden_state_model(-2))
    for cells, length in ((slice(None), 256), (slice(1, 3), 201), (slice(0, 1), 256)):
        part = {key: array[cells, :length] for key, array in inputs.items()}
        real = part["padding_mask"].astype(bool)
        states = expected["hidden_states"][-2][cells, :length]
        np.testing.assert_allclose(forward(part)[real], states[real], **TOLERANCE)
    assert len(compiled) == 1


@pytest.mark.parametrize("kind", ["cell", "gene"])
def test_published_classifiers_give_the_reference_scores(reference, kind):
    name = f"tiny-v1-{kind}"
    expected, inputs = read(reference, name)
    model = {"cell": kg.GeneformerCellClassifier, "gene": kg.GeneformerGeneClassifier}[kind]
    scores = compile_forward(model.from_preset(reference / "checkpoints" / name))(inputs)
    shown = inputs["padding_mask"].astype(bool) if kind == "gene" else slice(None)
    np.testing.assert_allclose(scores[shown], expected["logits"][shown], **TOLERANCE)


def test_cells_of_one_length_need_no_mask(backbone):
    token_ids = np.array(synthetic_dataset(1)[0])[None]
    masked = compile_forward(backbone.hidden_state_model(-2))
    expected = masked({"token_ids": token_ids, "padding_mask": np.ones_like(token_ids)})
    np.testing.assert_allclose(
        compile_forward(states_model(backbone, -2))({"token_ids": token_ids}), expected, atol=1e-6
    )
    first = compile_forward(states_model(backbone, -2, first=True))
    np.testing.assert_allclose(first({"token_ids": token_ids}), expected[:, :1], atol=1e-6)


def test_comparing_on_the_device_is_comparing_the_states(backbone):
    ids = np.array(synthetic_dataset(1)[0], dtype=np.int32)
    engine = VariantEngine(
        backbone, layer=-2, first=False, special=np.array([0, 1]), lengths=np.array([len(ids)])
    )
    before = engine.original(ids)
    views = np.stack([np.delete(np.arange(len(ids), dtype=np.int32), place) for place in (0, 7)])
    compared = engine.compare(ids, before, views)
    after = compile_forward(states_model(backbone, -2))({"token_ids": ids[views]})
    change = after.astype(np.float64) - before[views]
    np.testing.assert_allclose(compared.squares, (change**2).sum(-1), rtol=1e-5)
    np.testing.assert_allclose(compared.products, (change * before[views]).sum(-1), atol=1e-5)
    np.testing.assert_allclose(compared.gene_sum, change.sum(1), atol=1e-4)


def test_layer_norm_keeps_its_digits_far_from_zero():
    rng = np.random.default_rng(0)
    states = rng.normal(100.0, 0.1, (2, 5, 64)).astype(np.float32)
    layer = LayerNormalization(epsilon=1e-12)
    exact = states.astype(np.float64)
    exact = (exact - exact.mean(-1, keepdims=True)) / exact.std(-1, keepdims=True)
    normal = keras.ops.convert_to_numpy(layer(states))
    np.testing.assert_allclose(normal, exact, atol=2e-3)


def test_several_tasks_are_predicted_as_each_is(backbone):
    classes = {"cell_type": ["a", "b"], "donor": ["x", "y", "z"]}
    model = kg.GeneformerMultiTaskClassifier(backbone, classes)
    cells = synthetic_dataset(3)
    tables = kg.predict_tasks(model, cells)
    for task, names in classes.items():
        probabilities = tables[task][[f"prob_{name}" for name in names]].to_numpy()
        assert len(probabilities) == len(cells)
        np.testing.assert_allclose(probabilities.sum(1), 1.0, atol=1e-5)


def test_bfloat16_policies_compute_close_to_float32(backbone):
    config = backbone.get_config() | {"dtype": "mixed_bfloat16"}
    rounded = kg.GeneformerBackbone.from_config(config)
    rounded.set_weights(backbone.get_weights())
    cells = synthetic_dataset(2)
    difference = kg.embed_cells(rounded, cells) - kg.embed_cells(backbone, cells)
    assert 0 < np.abs(difference.to_numpy()).max() < 0.1


def test_the_command_line_infers(backbone, tmp_path):
    from keras_geneformer.cli import main

    cells = synthetic_dataset(4)
    cells.save(tmp_path / "cells.dataset")
    classifier = kg.GeneformerCellClassifier(backbone, classes=["a", "b", "c"])
    classifier.save_to_preset(tmp_path / "preset")
    given = [str(tmp_path / "cells.dataset"), "--model", str(tmp_path / "preset")]
    import pandas as pd

    def run(verb, *options):
        output = tmp_path / f"{verb}.parquet"
        assert main(["--backend", "openvino", verb, *given, *options, "--output", str(output)]) == 0
        return pd.read_parquet(output)

    embedding = run("embed").select_dtypes("number").to_numpy()
    np.testing.assert_allclose(embedding, kg.embed_cells(backbone, cells), atol=1e-6)
    assert len(run("predict")) == len(cells)
    effects = run("perturb", "--kind", "delete", "--genes", "all")
    assert len(effects) == sum(map(len, (cells[row] for row in range(len(cells)))))
