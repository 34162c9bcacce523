import numpy as np

from keras_geneformer.compression.gptq import LEVELS, round_with_feedback


def restored(levels, scales, zeros, group):
    rows = np.arange(len(levels)) // group
    return (levels - zeros[rows].astype(float)) * scales[rows]


def test_outputs_change_less_than_by_rounding_to_the_nearest_level():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(300, 300)) / 4 + np.eye(300)
    inputs = rng.normal(size=(2000, 300)) @ mixing
    inputs[:, 7] = 0.0
    kernel = rng.normal(size=(300, 40)).astype(np.float32)
    moment = inputs.T @ inputs

    def error(moment):
        levels, scales, zeros = round_with_feedback(kernel, moment, group=64)
        assert levels.max() <= LEVELS
        assert scales.shape == zeros.shape == (5, 40)
        change = inputs @ (restored(levels, scales, zeros, 64) - kernel)
        return np.sqrt((change**2).mean())

    # Where inputs are independent and alike, no error can be made up for: nearest levels.
    nearest = error(np.eye(300))
    levels, scales, zeros = round_with_feedback(kernel, np.eye(300), group=64)
    steps = scales[np.arange(300) // 64]
    assert (np.abs(restored(levels, scales, zeros, 64) - kernel) <= 1.001 * steps).all()
    assert error(moment) < 0.8 * nearest


def test_spans_change_nothing_but_the_order_of_sums():
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(500, 96)) @ rng.normal(size=(96, 96))
    kernel = rng.normal(size=(96, 8)).astype(np.float32)
    whole = round_with_feedback(kernel, inputs.T @ inputs, group=32, span=96)
    parts = round_with_feedback(kernel, inputs.T @ inputs, group=32, span=20)
    for one, other in zip(whole, parts):
        np.testing.assert_allclose(one, other, rtol=1e-5)
