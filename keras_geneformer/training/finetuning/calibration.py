"""Probabilities that mean what they say, and cells better left without a label."""

from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.models.calibration import Calibration


def calibrate(
    scores: np.ndarray,
    targets: np.ndarray,
    features: np.ndarray,
    training_features: np.ndarray,
    training_targets: np.ndarray,
    *,
    share: float = 0.95,
    inside: float = 0.99,
) -> Calibration:
    """Calibrate a classifier on cells that it was not trained on.

    Args:
        scores: (cells, classes) of the validation cells, before any softmax.
        targets: (cells,) their classes, from 0.
        features: (cells, hidden_dim), what the last layer saw of them.
        training_features, training_targets: of training cells of every class.
        share: of the validation cells that keep their label which are to be right.
        inside: share of the validation cells that are to be within the distance.

    Returns:
        The calibration.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> targets = rng.integers(2, size=200)
        >>> features = rng.normal(size=(200, 3)) + 4 * targets[:, None]
        >>> scores = 20 * np.stack([4 - features[:, 0], features[:, 0]], axis=1)
        >>> calibrate(scores, targets, features, features, targets).temperature > 1
        True
    """
    from sklearn.covariance import LedoitWolf

    temperature = fit_temperature(scores, targets)
    probabilities = softmax(scores / temperature)
    right = probabilities.argmax(axis=1) == targets
    threshold = confidence_threshold(probabilities.max(axis=1), right, share)
    classes = scores.shape[1]
    known = training_features.astype(np.float64)
    means = np.stack([known[training_targets == number].mean(axis=0) for number in range(classes)])
    # Shrunk towards a multiple of the identity: few cells cannot fill a whole covariance.
    covariance = LedoitWolf(assume_centered=True).fit(known - means[training_targets]).covariance_
    floor = 1e-6 * max(float(np.trace(covariance)) / len(covariance), 1e-12)
    precision = np.linalg.inv(covariance + floor * np.eye(len(covariance)))
    found = Calibration(temperature, threshold, share, means, precision, np.inf)
    nearest = found.distances(features).min(axis=1)
    return Calibration(
        temperature, threshold, share, means, precision, float(np.quantile(nearest, inside))
    )


def fit_temperature(scores: np.ndarray, targets: np.ndarray) -> float:
    """The temperature under which the cross-entropy of the truth is least (Guo et al. 2017).

    Its logarithm has a standard normal prior: a handful of cells, all of them right, would
    otherwise make every probability 1.

    Args:
        scores: (cells, classes), before any softmax.
        targets: (cells,) classes, from 0.

    Returns:
        Between .05 and 20; above 1 where the scores were too sure of themselves.

    Example:
        >>> fit_temperature(np.tile([9.0, 0.0], (30, 1)), np.arange(30) % 3 // 2) > 5
        True
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    rows = np.arange(len(targets))

    def loss(log_temperature: float) -> float:
        truth = log_softmax(scores / np.exp(log_temperature), axis=1)[rows, targets]
        return 0.5 * log_temperature**2 - float(truth.sum())

    bounds = (np.log(0.05), np.log(20.0))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def confidence_threshold(confidence: np.ndarray, right: np.ndarray, share: float) -> float:
    """The least confidence at and above which `share` of the cells are right.

    Args:
        confidence: (cells,) greatest probability of each.
        right: (cells,) whether the label is the true one.
        share: of cells that are to be right.

    Returns:
        0 where that holds of all cells; infinity where it holds at no threshold.

    Example:
        >>> confidence_threshold(np.array([0.9, 0.8, 0.4]), np.array([True, True, False]), 0.95)
        0.8
    """
    if np.mean(right) >= share:
        return 0.0
    order = np.argsort(-confidence, kind="stable")
    shares = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    # Cells of one confidence stand or fall together.
    last = np.append(np.diff(confidence[order]) != 0, True)
    enough = np.flatnonzero((shares >= share) & last)
    return float(confidence[order][enough[-1]]) if len(enough) else float("inf")


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities, float64, from scores (cells, classes)."""
    scores = scores.astype(np.float64)
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def reliability_table(confidence: Any, right: Any, bins: int = 15) -> pd.DataFrame:
    """Confidence against accuracy, over bins of equal width.

    Args:
        confidence: (cells,) greatest probability of each, between 0 and 1.
        right: (cells,) whether the label is the true one.
        bins: how many.

    Returns:
        One row a bin that holds cells: `low`, `high`, `confidence` and `accuracy` (means over its
        cells) and `cells`.
    """
    confidence, right = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float)
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    rows = []
    for number in np.unique(place):
        own = place == number
        rows.append(
            {
                "low": number / bins,
                "high": (number + 1) / bins,
                "confidence": confidence[own].mean(),
                "accuracy": right[own].mean(),
                "cells": int(own.sum()),
            }
        )
    return pd.DataFrame(rows)


def expected_calibration_error(confidence: Any, right: Any, bins: int = 15) -> float:
    """Mean distance between confidence and accuracy, over bins weighted by their cells (ECE).

    Source: Naeini et al. 2015; Guo et al. 2017, with 15 bins of equal width.

    Example:
        >>> round(expected_calibration_error([0.9, 0.9], [True, False]), 6)
        0.4
    """
    table = reliability_table(confidence, right, bins)
    gaps = (table["confidence"] - table["accuracy"]).abs()
    return float((gaps * table["cells"]).sum() / table["cells"].sum())
