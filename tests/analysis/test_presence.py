import numpy as np
import pytest

from keras_geneformer.analysis.perturbation import presence
from keras_geneformer.analysis.perturbation.presence import GatedEncoder
from keras_geneformer.data.inference import compile_forward
from keras_geneformer.testing import synthetic_dataset, tiny_backbone

pytestmark = pytest.mark.tensors

DELETED = 7


@pytest.fixture(scope="module")
def backbone():
    backbone = tiny_backbone(num_layers=2, num_heads=2, hidden_dim=8, intermediate_dim=16)
    rng = np.random.default_rng(0)
    spread = {"kernel": 0.3, "embeddings": 0.2, "position_table": 0.05, "segment_table": 0.0}
    for variable in backbone.trainable_variables:
        name = variable.path.split("/")[-1]
        if name in spread:
            variable.assign(spread[name] * rng.standard_normal(variable.shape))
    return backbone


@pytest.fixture(scope="module")
def encoder(backbone):
    return GatedEncoder(backbone, -1)


@pytest.fixture(scope="module")
def ids():
    return synthetic_dataset(1)[0][:30]


def test_whole_tokens_have_the_states_of_the_model_and_a_shut_gate_those_of_a_deletion(
    backbone, encoder, ids
):
    forward = compile_forward(backbone.hidden_state_model(-1))

    def states(ids):
        return forward({"token_ids": ids[None], "padding_mask": np.ones_like(ids)[None]})[0]

    np.testing.assert_allclose(encoder.states(ids, np.zeros(30)), states(ids), atol=2e-6)
    log_gates = np.where(np.arange(30) == DELETED, -1e30, 0.0)
    shifts = (np.arange(30) > DELETED).astype(float)
    gated = np.delete(encoder.states(ids, shifts, log_gates), DELETED, axis=0)
    np.testing.assert_allclose(gated, states(np.delete(ids, DELETED)), atol=2e-6)


def test_derivatives_are_slopes(encoder, ids):
    rng = np.random.default_rng(0)
    vectors = list(rng.standard_normal((2, 30, 8)))
    shifts = np.full(30, 0.4)
    run = encoder.run(ids, shifts)
    in_gates, in_shifts = encoder.derivatives(run, vectors)
    # Along one direction of all tokens, as float32 takes no smaller a change.
    step = 0.003 * rng.standard_normal(30)
    gated = encoder.states(ids, shifts, step) - encoder.states(ids, shifts, -step)
    shifted = encoder.states(ids, shifts + step) - encoder.states(ids, shifts - step)
    for slopes, change in ((in_gates, gated), (in_shifts, shifted)):
        expected = np.array([(vector * change).sum() / 2 for vector in vectors])
        np.testing.assert_allclose(slopes @ step, expected, atol=0.05 * np.abs(expected).max())


def test_gates_of_pairs_add_up_to_those_of_tokens(encoder, ids):
    vectors = list(np.random.default_rng(1).standard_normal((2, 30, 8)))
    run = encoder.run(ids, np.zeros(30))
    in_pairs, of_shifts = encoder.derivatives(run, vectors, pairs=True)
    in_gates, same_shifts = encoder.derivatives(run, vectors)
    np.testing.assert_allclose(in_pairs.sum(1), in_gates, atol=1e-5)
    np.testing.assert_allclose(of_shifts, same_shifts, atol=1e-5)
    assert not in_pairs[:, np.arange(30), np.arange(30)].any()


def test_refuses(encoder, backbone, monkeypatch):
    with pytest.raises(ValueError, match="Received a cell of 129 tokens; this model has 128 pos"):
        encoder.states(np.ones(129, "int32"), np.zeros(129))
    with pytest.raises(ValueError, match="Received layer=5; this model has 2 encoder blocks"):
        GatedEncoder(backbone, 5)
    monkeypatch.setattr(presence, "require_backend", lambda: "openvino")
    with pytest.raises(
        ValueError,
        match="'openvino', which takes no gradients; expected tensorflow, jax or torch",
    ):
        GatedEncoder(backbone, -1)
