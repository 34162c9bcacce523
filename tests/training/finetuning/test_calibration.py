import numpy as np
import pytest
from scipy.special import log_softmax

from keras_geneformer.models.calibration import Calibration
from keras_geneformer.training.finetuning.calibration import (
    calibrate,
    confidence_threshold,
    expected_calibration_error,
    fit_temperature,
    reliability_table,
    softmax,
)


def unsure(cells=4000, seed=0):
    """Scores that are three times as sure as they may be, and the truth."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(cells, 3))
    shares = softmax(scores).cumsum(axis=1)
    return 3 * scores, (rng.random(cells)[:, None] > shares).sum(axis=1)


def test_the_temperature_undoes_what_was_too_sure():
    scores, targets = unsure()
    found = fit_temperature(scores, targets)
    assert found == pytest.approx(3, rel=0.1)
    grid = np.exp(np.linspace(-1, 3, 400))
    losses = [-log_softmax(scores / t, axis=1)[np.arange(4000), targets].mean() for t in grid]
    assert found == pytest.approx(grid[int(np.argmin(losses))], rel=0.02)
    right = scores.argmax(axis=1) == targets
    before = expected_calibration_error(softmax(scores).max(axis=1), right)
    after = expected_calibration_error(softmax(scores / found).max(axis=1), right)
    assert after < 0.03 < 0.2 < before


def test_a_few_right_cells_do_not_make_all_sure():
    assert 0.3 < fit_temperature(np.array([[4.0, 0.0]] * 5), np.zeros(5, int)) <= 1


def test_calibration_error_by_hand():
    confidence, right = [0.95, 0.95, 0.65, 0.65], [True, False, True, True]
    assert expected_calibration_error(confidence, right, bins=10) == pytest.approx(
        0.5 * 0.45 + 0.5 * 0.35
    )
    table = reliability_table(confidence, right, bins=10)
    assert table["cells"].tolist() == [2, 2]
    assert table["accuracy"].tolist() == [1.0, 0.5]


def test_the_threshold_keeps_what_is_right_often_enough():
    confidence = np.array([0.9, 0.8, 0.7, 0.7, 0.4])
    right = np.array([True, True, True, False, False])
    assert confidence_threshold(confidence, right, 0.75) == 0.7
    assert confidence_threshold(confidence, right, 0.8) == 0.8
    assert confidence_threshold(confidence, right, 0.5) == 0.0
    assert confidence_threshold(confidence, ~right, 0.95) == np.inf


def test_distances_are_those_of_scipy_and_tell_unseen_types(tmp_path):
    from scipy.spatial.distance import mahalanobis

    rng = np.random.default_rng(1)
    targets = np.arange(300) % 3
    features = rng.normal(size=(300, 4)) @ np.diag([1, 2, 3, 4]) + 10 * targets[:, None]
    scores = -((features[:, :1] - 10 * np.arange(3)) ** 2)
    found = calibrate(scores, targets, features, features, targets)
    expected = mahalanobis(features[5], found.means[1], found.precision)
    assert found.distances(features[5:6])[0, 1] == pytest.approx(expected, rel=1e-9)
    assert (found.distances(features).min(axis=1) <= found.distance).mean() == pytest.approx(0.99)
    unseen = rng.normal(size=(50, 4)) + np.array([60.0, -60, 60, -60])
    assert (found.distances(unseen).min(axis=1) > found.distance).all()
    found.save(tmp_path)
    again = Calibration.load(tmp_path)
    assert again is not None
    for name in ("temperature", "threshold", "share", "distance"):
        assert getattr(again, name) == getattr(found, name)
        assert isinstance(getattr(again, name), float)
    np.testing.assert_array_equal(again.precision, found.precision)
