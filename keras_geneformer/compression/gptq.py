"""Rounding weights to 4 bits so that what a layer gives changes least (GPTQ).

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
2022, arXiv:2210.17323. In numpy, and so the same on every backend.
"""

import numpy as np

LEVELS = 15
"""The largest of the 16 levels of 4 bits."""


def round_with_feedback(
    kernel: np.ndarray,
    second_moment: np.ndarray,
    group: int,
    damping: float = 0.01,
    span: int = 128,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Round a kernel row by row; the error of each row is made up for by those after it.

    Args:
        kernel: (inputs, outputs) float weights.
        second_moment: (inputs, inputs) float64, the sum of x x' over inputs x of the layer.
        group: inputs that share a scale and a zero point.
        damping: share of the mean of the diagonal that is added to it, so that it can be inverted.
        span: rows after which the error is carried on to all the others.

    Returns:
        (inputs, outputs) uint8 levels from 0 to 15; and (groups, outputs) float32 scales and uint8
        zero points: a weight is `(level - zero) * scale`.

    Example:
        >>> kernel = np.array([[0.0, 0.3], [1.5, -0.2]])
        >>> levels, scales, zeros = round_with_feedback(kernel, np.eye(2), group=64)
        >>> np.round((levels - zeros.astype(float)) * scales, 2).tolist()
        [[0.0, 0.3], [1.5, -0.2]]
    """
    weights = np.array(kernel, dtype=np.float64)
    inputs, outputs = weights.shape
    factor = _inverse_factor(second_moment, damping)
    levels = np.zeros((inputs, outputs), dtype=np.uint8)
    scales, zeros = [], []
    for start in range(0, inputs, span):
        end = min(start + span, inputs)
        errors = np.zeros((end - start, outputs))
        for row in range(start, end):
            if row % group == 0:
                scale, zero = _levels_of(_updated(weights, factor, errors, start, row, end, group))
                scales.append(scale)
                zeros.append(zero)
            levels[row] = np.clip(np.rint(weights[row] / scale) + zero, 0, LEVELS)
            error = (weights[row] - (levels[row] - zero) * scale) / factor[row, row]
            weights[row + 1 : end] -= factor[row, row + 1 : end, None] * error
            errors[row - start] = error
        weights[end:] -= factor[start:end, end:].T @ errors
    return levels, np.array(scales, dtype=np.float32), np.array(zeros, dtype=np.uint8)


def _updated(
    weights: np.ndarray,
    factor: np.ndarray,
    errors: np.ndarray,
    start: int,
    row: int,
    end: int,
    group: int,
) -> np.ndarray:
    """The rows of a group as they are once all errors so far are carried on to them."""
    rows = weights[row : row + group].copy()
    beyond = slice(end, row + group)
    rows[end - row :] -= factor[start:row, beyond].T @ errors[: row - start]
    return rows


def _levels_of(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale and zero point, float64 of whole float32 values, of each column."""
    low, high = np.minimum(rows.min(axis=0), 0.0), np.maximum(rows.max(axis=0), 0.0)
    spread = np.where(high > low, high - low, 1.0)
    scale = (spread / LEVELS).astype(np.float32).astype(np.float64)
    return scale, np.clip(np.rint(-low / scale), 0, LEVELS)


def _inverse_factor(second_moment: np.ndarray, damping: float) -> np.ndarray:
    """The upper Cholesky factor of the inverse, which eliminates row after row."""
    matrix = np.array(second_moment, dtype=np.float64)
    # An input that is always 0 has no say: its weights are rounded alone.
    silent = np.diag(matrix) == 0
    matrix[silent, silent] = 1.0
    matrix[np.diag_indices_from(matrix)] += damping * np.diag(matrix).mean()
    return np.linalg.cholesky(np.linalg.inv(matrix)).T
