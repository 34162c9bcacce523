"""Hidden states and scores against the published package's own model, on real cells."""

import keras
import numpy as np
import pytest

import keras_geneformer as kg

pytestmark = pytest.mark.tensors

# The tolerances of the reference README, for float32 model outputs.
TOLERANCE = {"atol": 2e-5, "rtol": 1e-4}
MODELS = {
    "tiny-v1": kg.GeneformerMaskedLM,
    "tiny-v2": kg.GeneformerMaskedLM,
    "tiny-v1-cell": kg.GeneformerCellClassifier,
    "tiny-v1-gene": kg.GeneformerGeneClassifier,
}


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.fixture(scope="module", params=MODELS)
def case(request, reference):
    """The model, and what the reference says of it."""
    model = MODELS[request.param].from_preset(reference / "checkpoints" / request.param)
    with np.load(reference / "forward" / f"{request.param}.npz") as file:
        return model, dict(file)


def batch(expected, cells=slice(None), length=None):
    token_ids, mask = expected["input_ids"][cells], expected["attention_mask"][cells]
    extra = (length or token_ids.shape[1]) - token_ids.shape[1]
    token_ids, mask = token_ids[:, : token_ids.shape[1] + extra], mask[:, : mask.shape[1] + extra]
    pad = ((0, 0), (0, max(extra, 0)))
    return {
        "token_ids": np.pad(token_ids, pad).astype("int32"),
        "padding_mask": np.pad(mask, pad).astype("int32"),
    }


def scores(model, expected, inputs, cells=slice(None)):
    """Scores in the shape of the reference's `logits`."""
    if isinstance(model, kg.GeneformerMaskedLM):
        positions = expected["logits_positions"][cells].astype("int32")
        return numpy(model({**inputs, "mask_positions": positions}))
    return numpy(model(inputs))


def compare_scores(model, expected, received, cells=slice(None)):
    if isinstance(model, kg.GeneformerMaskedLM):
        columns = expected["logits_columns"]
        np.testing.assert_allclose(received[:, :, columns], expected["logits"][cells], **TOLERANCE)
        total = np.log(np.exp(received.astype("float64")).sum(-1))
        np.testing.assert_allclose(total, expected["logits_logsumexp"][cells], **TOLERANCE)
        np.testing.assert_array_equal(received.argmax(-1), expected["logits_argmax"][cells])
        top5 = np.sort(np.argsort(-received, axis=-1)[:, :, :5], axis=-1)
        np.testing.assert_array_equal(top5, expected["logits_top5"][cells])
    elif isinstance(model, kg.GeneformerGeneClassifier):
        real = expected["attention_mask"][cells].astype(bool)
        length = received.shape[1]
        np.testing.assert_allclose(
            received[real[:, :length]],
            expected["logits"][cells][:, :length][real[:, :length]],
            **TOLERANCE,
        )
    else:
        np.testing.assert_allclose(received, expected["logits"][cells], **TOLERANCE)


def test_hidden_states_of_every_layer(case):
    model, expected = case
    real = expected["attention_mask"].astype(bool)
    states = expected["hidden_states"]
    last = model.backbone.num_layers
    layers = range(last + 1) if len(states) > 1 else [last]
    for layer, state in zip(layers, states, strict=True):
        received = numpy(model.backbone.hidden_state_model(layer)(batch(expected)))
        np.testing.assert_allclose(received[real], state[real], **TOLERANCE)


def test_scores(case):
    model, expected = case
    compare_scores(model, expected, scores(model, expected, batch(expected)))


def test_scores_do_not_depend_on_padding_or_order(case):
    model, expected = case
    order = np.array([5, 0, 7, 2, 1, 6, 3, 4])
    inputs = batch(expected, order, length=301)
    received = scores(model, expected, inputs, order)
    if isinstance(model, kg.GeneformerGeneClassifier):
        received = received[:, :256]
    compare_scores(model, expected, received, order)
    for cell, length in enumerate(expected["lengths"]):
        if isinstance(model, kg.GeneformerMaskedLM) and (
            expected["logits_positions"][cell].max() >= length
        ):
            continue
        alone = batch(expected, slice(cell, cell + 1), length=int(length))
        received = scores(model, expected, alone, slice(cell, cell + 1))
        if isinstance(model, kg.GeneformerGeneClassifier):
            received = np.pad(received, ((0, 0), (0, 256 - int(length)), (0, 0)))
        compare_scores(model, expected, received, slice(cell, cell + 1))


@pytest.mark.parametrize("name", ["tiny-v1", "tiny-v2"])
@pytest.mark.parametrize("cell", ["longest_real", "synthetic_full_length"])
def test_longest_cells(name, cell, reference):
    backbone = kg.GeneformerBackbone.from_preset(reference / "checkpoints" / name)
    with np.load(reference / "forward" / f"{name}.long.npz") as file:
        expected = {key.removeprefix(f"{cell}_"): value for key, value in file.items()}
    token_ids = expected["input_ids"][None].astype("int32")
    inputs = {"token_ids": token_ids, "padding_mask": np.ones_like(token_ids)}
    for layer in range(backbone.num_layers + 1):
        states = numpy(backbone.hidden_state_model(layer)(inputs))[0]
        np.testing.assert_allclose(
            states[expected["positions"]], expected["hidden_states"][layer], **TOLERANCE
        )
        np.testing.assert_allclose(states.mean(0), expected["mean_over_tokens"][layer], **TOLERANCE)
