"""What a student is held to."""

import keras
import numpy as np
import pytest

from keras_geneformer.training.distilling.objective import (
    DistillationObjective,
    divergence,
    misalignment,
)

pytestmark = pytest.mark.tensors

RNG = np.random.default_rng(0)
TEACHER, STUDENT = RNG.normal(size=(2, 4, 5)).astype("float32")


def value(tensor):
    return float(keras.ops.convert_to_numpy(tensor))


def softmax(scores):
    raised = np.exp(scores.astype(np.float64))
    return raised / raised.sum(axis=-1, keepdims=True)


def test_divergence_is_that_of_the_softened_scores_times_the_square_of_the_temperature():
    expected, given = softmax(TEACHER / 3), softmax(STUDENT / 3)
    weights = np.array([1, 1, 0, 1], "float32")
    each = (expected * np.log(expected / given)).sum(axis=1)[weights > 0]
    assert value(divergence(TEACHER, STUDENT, weights, 3.0)) == pytest.approx(9 * each.mean(), 1e-5)


def test_states_are_compared_by_their_cosine_where_they_count():
    teacher, student = TEACHER[None], STUDENT[None]
    counted = np.array([[1, 0, 1, 0]])
    cosine = (TEACHER * STUDENT).sum(1) / np.linalg.norm(TEACHER, axis=1)
    cosine = (cosine / np.linalg.norm(STUDENT, axis=1))[[0, 2]]
    found = value(misalignment(teacher, student, counted))
    assert found == pytest.approx(1 - cosine.mean(), 1e-5)
    assert value(misalignment(teacher, 7 * teacher, counted)) == pytest.approx(0, abs=1e-6)


def test_the_parts_are_added_with_their_weights():
    labels, weights = np.array([0, 1, 2, 3]), np.ones(4, "float32")
    outputs = {
        "scores": STUDENT,
        "teacher_scores": TEACHER,
        "states": STUDENT[None],
        "teacher_states": TEACHER[None],
        "counted": np.ones((1, 4)),
    }
    parts = [
        value(DistillationObjective(2.0, *shares)(labels, outputs, weights))
        for shares in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (5, 2, 1))
    ]
    assert parts[3] == pytest.approx(5 * parts[0] + 2 * parts[1] + parts[2], 1e-5)
    truth = -np.log(softmax(STUDENT)[np.arange(4), labels]).mean()
    assert parts[1] == pytest.approx(truth, 1e-5)
