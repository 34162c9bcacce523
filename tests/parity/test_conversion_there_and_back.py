"""Each published shape: from PyTorch to a preset and back, every tensor and score the same."""

import keras
import numpy as np
import pytest

import keras_geneformer as kg
from keras_geneformer.conversion.checkpoint_files import read_checkpoint

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TOLERANCE = {"atol": 2e-5, "rtol": 1e-4}
SHAPES = {
    # layers, heads, width of a feed-forward network over that of the model, vocabulary
    "V1-10M": (3, 4, 2, 90),
    "12L-30M": (4, 8, 2, 90),
    "V2-104M": (12, 12, 4, 80),
    "V2-316M": (6, 18, 4, 80),
    "20L-95M": (5, 14, 2, 80),
}
"""Heads as published, of 4 dimensions; layers as published in one of them, fewer in the others."""
FULL_V1 = {
    "vocab_size": 25_426,
    "hidden_size": 256,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "max_position_embeddings": 2048,
}


def small(name):
    layers, heads, factor, vocabulary = SHAPES[name]
    return {
        "vocab_size": vocabulary,
        "hidden_size": 4 * heads,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * heads * factor,
        "max_position_embeddings": 64,
    }


def scores(model):
    """Of a cell with padding."""
    token_ids = torch.arange(4, 40)[None] % model.config.vocab_size
    padding_mask = torch.ones_like(token_ids)
    padding_mask[:, 30:] = 0
    with torch.no_grad():
        return model.eval()(input_ids=token_ids, attention_mask=padding_mask).logits[:, :30]


@pytest.mark.parametrize(
    "config",
    [
        *(pytest.param(small(name), id=name) for name in SHAPES),
        pytest.param(FULL_V1, id="V1-10M in full", marks=pytest.mark.tensors),
    ],
)
def test_bits_and_scores(config, tmp_path):
    torch.manual_seed(7)
    rates = {"hidden_dropout_prob": 0.02, "attention_probs_dropout_prob": 0.02}
    theirs = transformers.BertForMaskedLM(
        transformers.BertConfig(**config, **rates, hidden_act="relu")
    )
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    theirs.save_pretrained(tmp_path / "published")
    kg.convert_checkpoint(tmp_path / "published", tmp_path / "preset")
    ours = kg.convert_checkpoint(tmp_path / "preset", tmp_path / "back")

    written, published = (
        (tmp_path / name / "model.safetensors").read_bytes() for name in ("back", "published")
    )
    assert written == published
    keys = read_checkpoint(tmp_path / "back").shapes
    assert len(keys) == 10 + 16 * config["num_hidden_layers"]
    back = transformers.BertForMaskedLM.from_pretrained(tmp_path / "back")
    expected = scores(theirs)
    assert torch.equal(scores(back), expected)
    assert expected.std() > 0.05

    if config is FULL_V1:
        return  # our scores of that shape: test_transformers_parity.py
    token_ids = np.arange(4, 40, dtype="int32")[None] % config["vocab_size"]
    inputs = {
        "token_ids": token_ids,
        "padding_mask": (np.arange(36) < 30).astype("int32")[None],
        "mask_positions": np.arange(30, dtype="int32")[None],
    }
    received = keras.ops.convert_to_numpy(ours(inputs))
    np.testing.assert_allclose(received, expected.numpy(), **TOLERANCE)
