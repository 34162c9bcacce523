"""Weights of classes, against scikit-learn and the formula of the paper."""

import re

import numpy as np
import pytest
from sklearn.utils import compute_class_weight

from keras_geneformer.training.finetuning.class_weights import class_weights

TARGETS = np.repeat([0, 1, 3], [400, 40, 4])


def test_balanced_is_scikit_learns():
    present = class_weights(TARGETS, 4, "balanced")[[0, 1, 3]]
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=TARGETS)
    np.testing.assert_allclose(present, expected, rtol=1e-6)


def test_effective_number_is_the_papers():
    weights = class_weights(TARGETS, 4, "effective_number", beta=0.99)
    effective = np.array([sum(0.99**power for power in range(n)) for n in (400, 40, 4)])
    expected = 3 * (1 / effective) / (1 / effective).sum()
    np.testing.assert_allclose(weights[[0, 1, 3]], expected, rtol=1e-6)
    even = class_weights(TARGETS, 4, "effective_number", beta=0.0)
    np.testing.assert_allclose(even, [1, 1, 0, 1])


@pytest.mark.parametrize("kind", ["balanced", "effective_number"])
def test_what_does_not_occur_weighs_nothing_and_missing_labels_do_not_count(kind):
    weights = class_weights(TARGETS, 4, kind)
    assert weights[2] == 0
    assert weights.dtype == np.float32
    with_missing = np.concatenate([TARGETS, [-1] * 9])
    np.testing.assert_array_equal(class_weights(with_missing, 4, kind), weights)
    several = np.eye(4)[TARGETS]
    several[several == 0] = np.nan
    np.testing.assert_array_equal(class_weights(several, 4, kind), weights)


def test_weights_by_name_come_in_the_order_of_the_classes():
    given = {"T cell": 2.0, "B cell": 0.5}
    assert class_weights(TARGETS, 2, given, classes=["B cell", "T cell"]).tolist() == [0.5, 2.0]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (
            "inverse",
            {},
            "Received class_weights='inverse'; expected 'balanced', 'effective_number', or a "
            "weight for each class by name.",
        ),
        ("effective_number", {"beta": 1.0}, "Received beta=1.0; expected 0 or more, and below 1."),
        (
            {"B": 1.0, "NK": 2.0},
            {"classes": ["B", "T"]},
            "class_weights lacks classes (T) or names some that do not occur (NK); expected a "
            "weight for each of B, T.",
        ),
        (
            {"B": 1.0, "T": -1.0},
            {"classes": ["B", "T"]},
            "Received class_weights {'B': 1.0, 'T': -1.0}; expected finite numbers, 0 or more, and "
            "not all 0.",
        ),
    ],
)
def test_what_does_not_fit_is_refused(kind, options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        class_weights(np.array([0, 1]), 2, kind, **options)


def test_no_labelled_cell_is_refused():
    with pytest.raises(
        ValueError, match=r"^No cell has a class, so there is nothing to weigh classes by\.$"
    ):
        class_weights(np.array([-1, -1]), 2, "balanced")
