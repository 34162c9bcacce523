"""How far a perturbation moves genes, a cell towards states, and a classifier's mind; in float64.

The effect of one gene in a long cell is as small as the rounding of a float32 cosine. So all here
is computed from differences, which lose nothing: 1 minus a cosine, and the difference of two.
"""

import numpy as np


def cosine_defects(squares: np.ndarray, products: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """1 minus the cosine between vectors b and b + d, without cancellation.

    With cos = b.(b + d) / (|b| |b + d|), the defect is
    (|b|^2 |d|^2 - (b.d)^2) / (|b| |b + d| (|b| |b + d| + b.(b + d))), by Lagrange's identity.

    Args:
        squares: |d|^2.
        products: b.d.
        norms: |b|^2; where it is 0 the defect is 0.

    Returns:
        float64, of the shape of the arguments; from 0 to 2.

    Example:
        >>> import numpy as np
        >>> defect = cosine_defects(np.array(1e-10), np.array(0.0), np.array(1.0))
        >>> round(float(defect) * 1e10, 6)
        0.5
    """
    squares, products, norms = (
        np.asarray(values, dtype=np.float64) for values in (squares, products, norms)
    )
    together = norms + products
    lengths = np.sqrt(np.maximum(norms * (norms + 2 * products + squares), 0.0))
    across = np.maximum(norms * squares - products**2, 0.0)
    scale = lengths * (lengths + together)
    # Opposite vectors: the quotient above is 0 / 0 there, and nothing cancels below.
    opposite = (together < 0) & (lengths > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        defects = np.where(opposite, 1.0 - together / lengths, across / scale)
    return np.where(lengths > 0, defects, 0.0)


def vector_defects(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """1 minus the cosine between (D,) and each of (n, D)."""
    change = after.astype(np.float64) - before
    return cosine_defects((change**2).sum(-1), change @ before, before @ before)


def state_shifts(before: np.ndarray, change: np.ndarray, states: np.ndarray) -> np.ndarray:
    """How much nearer each perturbed cell is to each state than the cell is.

    Args:
        before: (D,) embedding of the cell.
        change: (n, D) embeddings of its perturbed copies, less that.
        states: (S, D).

    Returns:
        (n, S) float64: the cosine with the state after, less that before.

    Example:
        >>> import numpy as np
        >>> here, states = np.array([1.0, 0.0]), np.array([[0.0, 1.0], [1.0, 0.0]])
        >>> state_shifts(here, np.array([[0.0, 1.0]]), states).round(3).tolist()
        [[0.707, -0.293]]
    """
    before, change, states = (np.asarray(x, dtype=np.float64) for x in (before, change, states))
    states = states / np.linalg.norm(states, axis=1, keepdims=True)
    length = np.sqrt(before @ before)
    after = np.sqrt(before @ before + 2 * change @ before + (change**2).sum(-1))
    # 1 / after - 1 / length, by their squares: they are nearly the same.
    less = -(2 * change @ before + (change**2).sum(-1)) / (length * after * (length + after))
    return (change @ states.T) / after[:, None] + less[:, None] * (states @ before)


def log_odds(scores: np.ndarray) -> np.ndarray:
    """Log-odds of each class against all others, from a classifier's scores.

    Args:
        scores: (..., C), before softmax.

    Returns:
        (..., C) float64: log(p / (1 - p)).

    Example:
        >>> import numpy as np
        >>> log_odds(np.array([0.0, 0.0, 0.0])).round(3).tolist()
        [-0.693, -0.693, -0.693]
    """
    scores = np.asarray(scores, dtype=np.float64)
    others = np.repeat(scores[..., None, :], scores.shape[-1], axis=-2)
    own = np.eye(scores.shape[-1], dtype=bool)
    others = np.where(own, -np.inf, others)
    top = others.max(axis=-1)
    return scores - top - np.log(np.exp(others - top[..., None]).sum(-1))


def probabilities(scores: np.ndarray) -> np.ndarray:
    """Softmax along the last axis, in float64."""
    scores = np.asarray(scores, dtype=np.float64)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)
