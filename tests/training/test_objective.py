import keras
import numpy as np
import pytest

from keras_geneformer.training.objective import in_top, masked_lm_loss, masked_lm_metrics

pytestmark = pytest.mark.tensors


def test_loss_and_metrics_against_numpy():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(3, 4, 20)).astype("float32")
    labels = rng.integers(20, size=(3, 4))
    weights = (rng.random((3, 4)) < 0.6).astype("float32")
    counted = weights > 0
    exponents = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares = exponents / exponents.sum(axis=-1, keepdims=True)
    true = np.take_along_axis(shares, labels[..., None], axis=-1)[..., 0]
    loss = float(masked_lm_loss()(labels, scores, sample_weight=weights))
    assert loss == pytest.approx(-np.log(true[counted]).mean(), rel=1e-5)
    ranks = np.argsort(np.argsort(-scores, axis=-1), axis=-1)
    rank = np.take_along_axis(ranks, labels[..., None], axis=-1)[..., 0]
    expected = {"accuracy": (rank[counted] == 0).mean(), "top5": (rank[counted] < 5).mean()}
    for metric in masked_lm_metrics():
        metric.update_state(labels, scores, sample_weight=weights)
        assert float(metric.result()) == pytest.approx(expected[metric.name])
    assert expected["top5"] > expected["accuracy"]


def test_equal_scores_are_in_the_top():
    found = keras.ops.convert_to_numpy(in_top(np.array([[3]]), np.zeros((1, 1, 9), "float32")))
    assert found.tolist() == [[1.0]]
