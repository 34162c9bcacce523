"""Directions in which changes of hidden states are looked at, and sums along the ranking."""

import numpy as np


def across(vectors: np.ndarray, states: np.ndarray) -> np.ndarray:
    """The derivative of vectors . (states / |states|): what of them lies across the states.

    Args:
        vectors: (..., D).
        states: (..., D).

    Returns:
        (..., D) float64: across the states, and divided by their length.

    Example:
        >>> import numpy as np
        >>> across(np.array([3.0, 1.0]), np.array([2.0, 0.0])).tolist()
        [0.0, 0.5]
    """
    vectors, states = np.asarray(vectors, np.float64), np.asarray(states, np.float64)
    lengths = np.linalg.norm(states, axis=-1, keepdims=True)
    units = states / lengths
    return (vectors - (vectors * units).sum(-1, keepdims=True) * units) / lengths


def orthonormal(count: int, state: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random directions across a state, at right angles to each other.

    Args:
        count: how many; at most D - 1.
        state: (D,).
        rng: draws them.

    Returns:
        (count, D) float64.
    """
    drawn = rng.standard_normal((len(state), count))
    return np.linalg.qr(np.column_stack([state, drawn]))[0].T[1:]


def below(values: np.ndarray) -> np.ndarray:
    """For each token the sum over those below it in rank, along the last axis.

    Example:
        >>> import numpy as np
        >>> below(np.array([1, 2, 3])).tolist()
        [5, 3, 0]
    """
    return np.cumsum(values[..., ::-1], axis=-1)[..., ::-1] - values
