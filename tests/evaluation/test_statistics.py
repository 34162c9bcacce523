import numpy as np
import pytest
from scipy import stats

from keras_geneformer.evaluation.statistics import (
    bootstrap_interval,
    cell_intervals,
    corrected_t_test,
)
from keras_geneformer.training.metrics import classification_metrics

ONE = np.array([0.91, 0.93, 0.90, 0.95, 0.92])
OTHER = np.array([0.88, 0.94, 0.87, 0.90, 0.91])


def test_the_corrected_test_is_nadeau_and_bengios():
    found = corrected_t_test(ONE, OTHER, 0.25)
    plain = stats.ttest_rel(ONE, OTHER)
    # Their factor: the variance is (1/k + test/train) s^2 in place of s^2 / k.
    t = plain.statistic * np.sqrt((1 / 5) / (1 / 5 + 1 / 4))
    assert found.t == pytest.approx(t)
    assert found.p == pytest.approx(2 * stats.t.sf(t, 4))
    assert found.difference == pytest.approx((ONE - OTHER).mean())
    assert found.p > plain.pvalue
    assert corrected_t_test(OTHER, ONE, 0.25).t == pytest.approx(-t)


def test_equal_and_single_folds():
    assert corrected_t_test(ONE, ONE, 0.25) == (0.0, 0.0, 1.0)
    assert corrected_t_test([1.0, 0.5], [0.5, 0.0], 0.25).p == 0.0
    assert np.isnan(corrected_t_test([0.9], [0.8], 0.25).p)


def test_scores_that_do_not_pair_are_refused():
    with pytest.raises(ValueError, match=r"Received \(5,\) and \(4,\) scores; expected one a fold"):
        corrected_t_test(ONE, OTHER[:4], 0.25)
    with pytest.raises(ValueError, match="Received test_share=0; expected"):
        corrected_t_test(ONE, OTHER, 0)


def test_the_interval_of_folds_is_that_of_scipy():
    ours = bootstrap_interval(ONE)
    theirs = stats.bootstrap((ONE,), np.mean, method="percentile", rng=1, n_resamples=10_000)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=2e-3)
    assert np.isnan(bootstrap_interval([0.9])).all()


def test_the_intervals_of_cells_are_those_of_drawing_cells():
    rng = np.random.default_rng(0)
    true = rng.choice(["B", "T", "NK"], size=80, p=[0.6, 0.3, 0.1])
    predicted = np.where(rng.random(80) < 0.75, true, "B")
    ours = cell_intervals(true, predicted)
    drawn = rng.integers(80, size=(400, 80))
    scores = [classification_metrics(true[rows], predicted[rows]) for rows in drawn]
    for metric, interval in ours.items():
        expected = np.quantile([score[metric] for score in scores], (0.025, 0.975))
        assert interval == pytest.approx(tuple(expected), abs=0.03)
