"""What is computed from differences, against long double."""

import numpy as np

from keras_geneformer.analysis.perturbation.measures import (
    cosine_defects,
    log_odds,
    probabilities,
    state_shifts,
    vector_defects,
)


def cosine(one, other):
    one, other = np.asarray(one, np.longdouble), np.asarray(other, np.longdouble)
    norms = np.sqrt((one**2).sum(-1)) * np.sqrt((other**2).sum(-1))
    return (one * other).sum(-1) / norms


def test_tiny_differences_keep_their_digits():
    rng = np.random.default_rng(0)
    before = rng.normal(size=(6, 40))
    for size in (1e-9, 1e-6, 1e-3, 1.0):
        change = size * rng.normal(size=(6, 40))
        defects = cosine_defects(
            (change**2).sum(-1), (before * change).sum(-1), (before**2).sum(-1)
        )
        exact = before.astype(np.longdouble) + change
        if size > 1e-8:  # Below it even long double loses digits.
            np.testing.assert_allclose(defects, 1 - cosine(before, exact), rtol=1e-4)
        assert (defects > 0).all()
    assert cosine_defects(np.array(0.0), np.array(0.0), np.array(1.0)) == 0.0


def test_opposite_and_missing_vectors():
    assert cosine_defects(np.array(4.0), np.array(-2.0), np.array(1.0)) == 2.0
    assert cosine_defects(np.array(4.0), np.array(0.0), np.array(0.0)) == 0.0
    np.testing.assert_allclose(
        vector_defects(np.array([1.0, 0.0]), np.array([[0.0, 3.0], [-1.0, 1.0]])),
        [1.0, 1.0 + np.sqrt(0.5)],
    )


def test_shifts_towards_states_are_differences_of_cosines():
    rng = np.random.default_rng(1)
    before, states = rng.normal(size=30), rng.normal(size=(3, 30))
    for size in (1e-7, 1e-2, 1.0):
        change = size * rng.normal(size=(5, 30))
        after = before.astype(np.longdouble) + change
        expected = cosine(after[:, None], states) - cosine(before, states)
        np.testing.assert_allclose(state_shifts(before, change, states), expected, rtol=1e-7)


def test_log_odds_and_probabilities():
    scores = np.random.default_rng(2).normal(scale=5, size=(4, 3))
    p = probabilities(scores)
    np.testing.assert_allclose(p.sum(-1), 1)
    np.testing.assert_allclose(log_odds(scores), np.log(p) - np.log1p(-p), rtol=1e-9)
    assert np.isfinite(log_odds(np.array([[900.0, 0.0]]))).all()
