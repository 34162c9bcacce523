import numpy as np
import pytest

from keras_geneformer.analysis.perturbation.projections import across, below, orthonormal


def test_across_is_the_derivative_of_a_projected_unit_vector():
    rng = np.random.default_rng(0)
    states, vectors = rng.standard_normal((2, 3, 5))
    change = 1e-6 * rng.standard_normal((3, 5))

    def projected(states):
        return (vectors * states / np.linalg.norm(states, axis=1, keepdims=True)).sum()

    slope = (projected(states + change) - projected(states - change)) / 2
    assert (across(vectors, states) * change).sum() == pytest.approx(slope, rel=1e-5)


def test_directions_are_at_right_angles_to_each_other_and_to_the_state():
    state = np.array([1.0, -2.0, 0.5, 3.0])
    directions = orthonormal(3, state, np.random.default_rng(0))
    np.testing.assert_allclose(directions @ directions.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(directions @ state, 0.0, atol=1e-12)


def test_below_leaves_the_token_itself_out_along_the_last_axis():
    assert below(np.array([[1.0, 2.0, 4.0], [0.0, 0.0, 1.0]])).tolist() == [[6, 4, 0], [1, 1, 0]]
