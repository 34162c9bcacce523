"""Inference on Keras's openvino backend, in a process of its own: a backend is for life."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("openvino")

PROGRAM = """
import sys
import numpy as np
import keras_geneformer as kg
from keras_geneformer.data.inference import compile_forward

backbone = kg.GeneformerBackbone.from_preset(sys.argv[1])
with np.load(sys.argv[2]) as file:
    expected = dict(file)
forward = compile_forward(backbone.hidden_state_model(-2))
for cells, length in ((slice(None), 256), (slice(1, 3), 201), (slice(0, 1), 256)):
    inputs = {
        "token_ids": expected["input_ids"][cells, :length],
        "padding_mask": expected["attention_mask"][cells, :length],
    }
    real = inputs["padding_mask"].astype(bool)
    np.testing.assert_allclose(
        forward(inputs)[real],
        expected["hidden_states"][-2][cells, :length][real],
        atol=2e-5,
        rtol=1e-4,
    )
"""


def test_hidden_states_equal_the_reference_in_float32(reference):
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            PROGRAM,
            reference / "checkpoints" / "tiny-v1",
            reference / "forward" / "tiny-v1.npz",
        ],
        env={**os.environ, "KERAS_BACKEND": "openvino"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
