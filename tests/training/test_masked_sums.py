"""The objective as a step takes it: whole, chunked, recomputed, and in half precision."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.testing import tiny_backbone
from keras_geneformer.training.objective import masked_sums

pytestmark = pytest.mark.tensors

BATCH, LENGTH, MASKS = 3, 10, 4


def batch():
    rng = np.random.default_rng(3)
    token_ids = rng.integers(2, 122, (BATCH, LENGTH)).astype("int32")
    padding_mask = (np.arange(LENGTH) < np.array([[10], [7], [4]])).astype("int32")
    mask_positions = np.array([[1, 3, 5, 9], [0, 2, 6, 0], [3, 0, 0, 0]], "int32")
    weights = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0]], "float32")
    labels = np.take_along_axis(token_ids, mask_positions, axis=1)
    np.put_along_axis(token_ids, mask_positions[:, :1], 1, axis=1)
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
    return inputs | {"mask_positions": mask_positions}, labels, weights


def masked_lm(**options):
    keras.utils.set_random_seed(4)
    return GeneformerMaskedLM(tiny_backbone(initializer_range=0.2, **options))


def gradient_step(model, scalar):
    """A function that gives a scalar and its gradients to the model's trainable weights.

    Seeds go on from call to call, as they do in a training step.
    """
    backend = keras.config.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        def step():
            with tf.GradientTape() as tape:
                value = scalar()
            return value, [
                tf.convert_to_tensor(part)
                for part in tape.gradient(value, [v.value for v in model.trainable_variables])
            ]

        step = tf.function(step)
    elif backend == "jax":
        import jax

        def value(trainable, others):
            mapping = [
                *zip(model.trainable_variables, trainable),
                *zip(model.non_trainable_variables, others),
            ]
            with keras.StatelessScope(mapping) as scope:
                result = scalar()
            after = [scope.get_current_value(v) for v in model.non_trainable_variables]
            return result, after

        function = jax.jit(jax.value_and_grad(value, has_aux=True))

        def step():
            (result, others), gradients = function(
                [v.value for v in model.trainable_variables],
                [v.value for v in model.non_trainable_variables],
            )
            for variable, other in zip(model.non_trainable_variables, others, strict=True):
                variable.assign(other)
            return result, gradients
    else:
        import torch

        def step():
            value = scalar()
            return value, torch.autograd.grad(value, [v.value for v in model.trainable_variables])

    def in_numpy():
        value, gradients = step()
        return float(value), [ops.convert_to_numpy(part).astype("float32") for part in gradients]

    return in_numpy


def assert_close(received, expected, **tolerance):
    assert received[0] == pytest.approx(expected[0], rel=1e-5)
    for one, other in zip(received[1], expected[1], strict=True):
        np.testing.assert_allclose(one, other, **tolerance)


def test_equal_to_keras_over_the_model_s_scores():
    model = masked_lm(num_layers=1, dropout=0.0)
    inputs, labels, weights = batch()
    by_keras = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    expected = gradient_step(
        model, lambda: by_keras(labels, model(inputs, training=True), sample_weight=weights)
    )()
    received = gradient_step(
        model, lambda: masked_sums(model, inputs, labels, weights, training=True, chunk=5)["loss"]
    )()
    assert_close(received, expected, rtol=1e-4, atol=1e-5)
    sums = masked_sums(model, inputs, labels, weights, chunk=5)
    scores = ops.convert_to_numpy(model(inputs))
    rank = (scores > np.take_along_axis(scores, labels[..., None], -1)).sum(-1)
    assert float(sums["loss"]) == pytest.approx(expected[0], rel=1e-5)
    assert float(sums["accuracy"]) == ((rank == 0) * weights).sum()
    assert float(sums["top5"]) == ((rank < 5) * weights).sum()
    assert float(sums["masked"]) == 8.0


def test_packed_rows_lose_what_their_cells_lose():
    model = masked_lm(num_layers=1, dropout=0.0)
    inputs, labels, weights = batch()
    expected = masked_sums(model, inputs, labels, weights)
    lengths = [10, 7, 4]
    starts = np.cumsum([0, *lengths[:-1]])
    packed = {
        "token_ids": np.concatenate([row[:n] for row, n in zip(inputs["token_ids"], lengths)]),
        "cell_numbers": np.repeat([1, 2, 3], lengths),
        "positions": np.concatenate([np.arange(n) for n in lengths]),
        "mask_positions": (inputs["mask_positions"] + starts[:, None]).ravel(),
    }
    packed = {name: array[None].astype("int32") for name, array in packed.items()}
    received = masked_sums(model, packed, labels.reshape(1, -1), weights.reshape(1, -1))
    for name, value in expected.items():
        assert float(received[name]) == pytest.approx(float(value), rel=1e-5)


def test_recomputed_blocks_give_the_same_gradients():
    inputs, labels, weights = batch()
    results = []
    for recompute in (False, True):
        model = masked_lm(num_layers=2, dropout=0.3)
        model.backbone.recompute_blocks(recompute)

        def loss(model=model):
            return masked_sums(model, inputs, labels, weights, training=True)["loss"]

        keras.utils.set_random_seed(9)
        step = gradient_step(model, loss)
        # Twice: the seeds must go on alike, too.
        results.append([step(), step()])
    (first, second), _ = results
    assert first[0] != second[0]
    # To 1e-6 of the largest gradients, which are of the order of ten.
    for plain, recomputed in zip(*results, strict=True):
        assert_close(recomputed, plain, rtol=1e-4, atol=1e-5)


def test_mixed_precision_learns_as_float32_does():
    inputs, labels, weights = batch()
    losses = {}
    for dtype in ("float32", "mixed_bfloat16"):
        model = masked_lm(num_layers=1, dropout=0.0, dtype=dtype)
        step = gradient_step(
            model,
            lambda model=model: (
                masked_sums(model, inputs, labels, weights, training=True, chunk=5)["loss"] / 8.0
            ),
        )
        optimizer = keras.optimizers.Adam(1e-2)
        losses[dtype] = []
        for _ in range(10):
            loss, gradients = step()
            losses[dtype].append(loss)
            optimizer.apply(
                [ops.convert_to_tensor(g) for g in gradients], model.trainable_variables
            )
        assert {v.dtype for v in model.trainable_variables} == {"float32"}
    exact, mixed = losses["float32"], losses["mixed_bfloat16"]
    assert mixed[0] == pytest.approx(exact[0], rel=1e-2)
    assert mixed[0] != exact[0]
    assert exact[-1] < 0.5 * exact[0]
    assert mixed[-1] == pytest.approx(exact[-1], abs=0.05 * exact[0])
