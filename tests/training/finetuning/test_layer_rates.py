"""Rates by block, and an optimizer that takes in more weights on the way, against numpy."""

import keras
import numpy as np
import pytest

from keras_geneformer.testing import tiny_backbone
from keras_geneformer.training.finetuning.layer_rates import layer_rates
from keras_geneformer.training.finetuning.optimizer_state import carry_moments
from keras_geneformer.training.optimizers import adamw

pytestmark = pytest.mark.tensors

RATE, DECAY = 0.1, 0.2
RNG = np.random.default_rng(0)
GRADIENTS = RNG.normal(size=(5, 3))


def numpy_adamw(weight, gradients, factor, decay):
    """AdamW as PyTorch computes it."""
    first = second = 0.0
    rate = RATE * factor
    for step, gradient in enumerate(gradients, start=1):
        weight = weight * (1 - rate * decay)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        corrected = first / (1 - 0.9**step), second / (1 - 0.999**step)
        weight = weight - rate * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
    return weight


def step(optimizer, variables, gradients):
    gradients = [keras.ops.convert_to_tensor(gradients, "float32") for _ in variables]
    optimizer.apply(gradients, variables)


def test_rates_and_late_beginners_step_as_in_numpy():
    values = RNG.normal(size=3)
    kernel, bias, late = (keras.Variable(values, name=name) for name in ("kernel", "bias", "late"))
    rates = {"kernel": 0.25, "bias": 0.5, "late": 0.5}
    before = adamw(RATE, DECAY, clip_norm=None)
    before.rates = rates
    for gradients in GRADIENTS[:2]:
        step(before, [kernel, bias], gradients)
    after = adamw(RATE, DECAY, clip_norm=None)
    after.rates = rates
    after.build([late, bias, kernel])
    carry_moments(before, after)
    for gradients in GRADIENTS[2:]:
        step(after, [late, bias, kernel], gradients)

    for variable, value in (
        (kernel, numpy_adamw(values, GRADIENTS, 0.25, DECAY)),
        (bias, numpy_adamw(values, GRADIENTS, 0.5, 0.0)),
        (late, numpy_adamw(values, GRADIENTS[2:], 0.5, DECAY)),
    ):
        found = keras.ops.convert_to_numpy(variable)
        np.testing.assert_allclose(found, value, rtol=1e-5, err_msg=variable.name)
    assert int(after.iterations) == len(GRADIENTS)


def test_each_block_learns_at_a_share_of_the_one_above():
    backbone = tiny_backbone()
    rates = layer_rates(backbone, backbone, 0.5)
    assert set(rates) == {variable.path for variable in backbone.weights}
    by_layer = {path.split("/")[0]: rate for path, rate in rates.items()}
    assert by_layer == {
        "embeddings": 0.125,
        "encoder_block_0": 0.25,
        "encoder_block_1": 0.5,
        "encoder_block_2": 1.0,
    }
    message = "Received layer_decay=0; expected a share above 0, up to 1"
    with pytest.raises(ValueError, match=message):
        layer_rates(backbone, backbone, 0)
