import math
import re
from operator import attrgetter

import keras
import numpy as np
import pytest

from keras_geneformer.layers.chunked_cross_entropy import token_losses

pytestmark = pytest.mark.tensors

POSITIONS, WIDTH, VOCABULARY = 11, 4, 50


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(5)
    states = rng.normal(size=(POSITIONS, WIDTH)).astype("float32")
    table = rng.normal(size=(VOCABULARY, WIDTH)).astype("float32")
    bias = rng.normal(size=VOCABULARY).astype("float32")
    ranking = np.argsort(-(states @ table.T + bias), axis=1)
    return {
        "states": states,
        "table": table,
        "bias": bias,
        # Of every kind: the best token, the fifth, the sixth, the last.
        "labels": ranking[np.arange(POSITIONS), np.resize([0, 4, 5, 49], POSITIONS)].astype(
            "int32"
        ),
        "weights": (rng.random(POSITIONS) < 0.7).astype("float32") * 2,
    }


def in_numpy(states, table, bias, labels, weights):
    scores = states.astype("float64") @ table.T + bias
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    true = np.take_along_axis(scores, labels[:, None], 1)
    rank = (scores > true).sum(1)
    to_scores = weights[:, None] * (shares - np.eye(VOCABULARY)[labels])
    losses = -np.log(np.take_along_axis(shares, labels[:, None], 1))[:, 0]
    sums = [weights @ losses, weights @ (rank == 0), weights @ (rank < 5)]
    return sums, [to_scores @ table, to_scores.T @ states, to_scores.sum(0)]


def with_gradients(case, chunk):
    """The sums, and the gradients of three times the loss, from a compiled step."""
    backend = keras.config.backend()
    learned = [case[name] for name in ("states", "table", "bias")]
    others = [case["labels"], case["weights"]]
    if backend == "tensorflow":
        import tensorflow as tf

        def unknown(array):
            return tf.TensorSpec([None] * array.ndim, array.dtype)

        @tf.function(input_signature=[unknown(array) for array in learned + others])
        def step(*arrays):
            with tf.GradientTape() as tape:
                tape.watch(arrays[:3])
                sums = token_losses(*arrays, chunk=chunk)
                loss = 3.0 * sums[0]
            return sums, tape.gradient(loss, arrays[:3])

        sums, gradients = step(*learned, *others)
    elif backend == "jax":
        import jax

        def loss(*learned):
            sums = token_losses(*learned, *others, chunk=chunk)
            return 3.0 * sums[0], sums

        gradients, sums = jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True))(*learned)
    else:
        import torch

        learned = [torch.tensor(array, requires_grad=True) for array in learned]
        sums = token_losses(*learned, *map(torch.tensor, others), chunk=chunk)
        assert [part.requires_grad for part in sums] == [True, False, False]
        gradients = torch.autograd.grad(3.0 * sums[0], learned)
    return [[keras.ops.convert_to_numpy(part) for part in parts] for parts in (sums, gradients)]


@pytest.mark.parametrize("chunk", [None, 1, 4, 64])
def test_sums_and_gradients_against_numpy(case, chunk):
    expected_sums, expected = in_numpy(**case)
    sums, gradients = with_gradients(case, chunk)
    assert 0 < expected_sums[1] < expected_sums[2] < case["weights"].sum()
    np.testing.assert_allclose(sums, expected_sums, rtol=1e-5)
    for received, part in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(received, 3 * part, rtol=1e-4, atol=1e-5)
    without = token_losses(**case, chunk=chunk, gradient=False)
    np.testing.assert_allclose([float(part) for part in without], expected_sums, rtol=1e-5)


@pytest.mark.parametrize("chunk", [None, 4])
def test_what_stands_at_positions_of_no_weight_counts_nothing(case, chunk):
    expected, gradients = with_gradients(case, chunk)
    unused = case["weights"] == 0
    spoilt = case | {"states": case["states"].copy(), "labels": case["labels"].copy()}
    spoilt["states"][unused] = np.nan
    spoilt["labels"][unused] = -100
    received, same = with_gradients(spoilt, chunk)
    np.testing.assert_array_equal(received, expected)
    for one, other in zip(same, gradients, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not same[0][unused].any()


def test_equal_scores_are_in_the_top_and_lost_ones_are_not(case):
    table = np.zeros_like(case["table"])
    equal = token_losses(**case | {"table": table, "bias": np.zeros_like(case["bias"])})
    np.testing.assert_allclose([float(part) for part in equal[1:]], case["weights"].sum())
    lost = token_losses(**case | {"table": np.full_like(table, np.nan)}, chunk=4)
    assert np.isnan(float(lost[0]))
    assert [float(part) for part in lost[1:]] == [0.0, 0.0]


@pytest.mark.parametrize("chunk", [None, 4])
def test_half_precision_states_have_float32_sums(case, chunk):
    states = keras.ops.cast(case["states"], "bfloat16")
    sums = token_losses(**case | {"states": states}, chunk=chunk)
    assert {keras.backend.standardize_dtype(part.dtype) for part in sums} == {"float32"}
    assert float(sums[0]) == pytest.approx(in_numpy(**case)[0][0], rel=2e-2)


@pytest.mark.parametrize(("chunk", "expected"), [(None, POSITIONS), (4, 4)])
def test_no_more_scores_than_a_chunk_holds(case, chunk, expected):
    # The vocabulary is larger than all other sides: its largest multiple is that of the scores.
    rows = max(size // VOCABULARY for size in array_sizes(case, chunk))
    assert rows == expected


def test_chunk_out_of_range(case):
    message = (
        r"^Received chunk=0; expected 1 or more positions scored at a time, or None for all at "
        r"once\.$"
    )
    with pytest.raises(ValueError, match=message):
        token_losses(**case, chunk=0)


def array_sizes(case, chunk):
    """Elements of every array of a step, forward and backward, but those of the width."""
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        def loss(*learned):
            return token_losses(*learned, case["labels"], case["weights"], chunk)[0]

        learned = [case[name] for name in ("states", "table", "bias")]
        step = jax.jit(jax.grad(loss, (0, 1, 2))).lower(*learned).compile()
        shapes = [
            [int(side) for side in shape.split(",")]
            for shape in re.findall(r"\w+\[([\d,]+)\]", step.as_text())
        ]
    elif backend == "tensorflow":
        import tensorflow as tf

        @tf.function
        def step(states, table, bias):
            with tf.GradientTape() as tape:
                tape.watch([states, table, bias])
                loss = token_losses(states, table, bias, case["labels"], case["weights"], chunk)[0]
            return tape.gradient(loss, [states, table, bias])

        learned = [tf.constant(case[name]) for name in ("states", "table", "bias")]
        graph = step.get_concrete_function(*learned).graph.as_graph_def(add_shapes=True)
        functions = attrgetter("library")(graph).function
        nodes = [*graph.node, *(node for part in functions for node in part.node_def)]
        shapes = [
            [side.size for side in shape.dim]
            for node in nodes
            for shape in node.attr["_output_shapes"].list.shape
            if all(side.size >= 0 for side in shape.dim)
        ]
    else:
        from torch.utils._python_dispatch import TorchDispatchMode
        from torch.utils._pytree import tree_leaves

        shapes = []

        class Shapes(TorchDispatchMode):
            def __torch_dispatch__(self, function, types, args=(), kwargs=None):
                result = function(*args, **(kwargs or {}))
                shapes.extend(list(part.shape) for part in tree_leaves(result))
                return result

        with Shapes():
            with_gradients(case, chunk)
    return [math.prod(shape) for shape in shapes if WIDTH not in shape[1:]]
