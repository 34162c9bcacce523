"""Attention weights against the published package's own model, on real cells."""

import numpy as np
import pytest

import keras_geneformer as kg

pytestmark = pytest.mark.tensors


@pytest.mark.parametrize(("name", "cell", "length"), [("tiny-v1", 0, 64), ("tiny-v2", 1, 33)])
def test_weights_of_every_layer_and_head(name, cell, length, reference):
    backbone = kg.GeneformerBackbone.from_preset(reference / "checkpoints" / name)
    with np.load(reference / "forward" / f"{name}.npz") as file:
        token_ids, lengths = file["input_ids"], file["lengths"]
    with np.load(reference / "forward" / f"{name}.attentions.npz") as file:
        expected = file["attentions"]
    ids = token_ids[lengths == length][0, :length]
    received = kg.attention_weights(backbone, ids)
    wanted = expected[:, cell, :, :length, :length]
    np.testing.assert_allclose(received, wanted, atol=2e-5, rtol=0)
    assert np.abs(wanted - 1 / length).max() > 0.1
