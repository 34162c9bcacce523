"""What a student is held to: its teacher's scores, the truth, and its teacher's hidden states."""

from typing import Any

from keras import ops


class DistillationObjective:
    """The loss of a student, as `objective(labels, outputs, weights)`.

    It is `soft * T^2 KL(teacher || student) + hard * cross-entropy + hidden * (1 - cosine)`: the
    Kullback-Leibler divergence of the scores divided by the temperature T (Hinton et al. 2015), the
    cross-entropy of the labels, and the cosine of hidden states of the last layer (DistilBERT, Sanh
    et al. 2019).

    Args:
        temperature: T; above 1 the teacher's less likely classes count more.
        soft, hard, hidden: how much each part counts.

    Outputs of a student are a dict: `scores` and `teacher_scores`, `(..., classes)`; `states` and
    `teacher_states`, `(batch, length, dim)`; and `counted`, `(batch, length)`, 1 at the states that
    count. Labels and weights are those of the scores.

    Example:
        >>> import numpy as np
        >>> scores, states = np.zeros((1, 2), "float32"), np.ones((1, 3, 4), "float32")
        >>> outputs = {"scores": scores, "teacher_scores": scores, "states": states,
        ...            "teacher_states": states, "counted": np.ones((1, 3), "float32")}
        >>> objective = DistillationObjective(2.0, soft=1.0, hard=0.0, hidden=1.0)
        >>> round(float(objective(np.array([0]), outputs, np.ones(1, "float32"))), 5)
        0.0
    """

    def __init__(self, temperature: float, soft: float, hard: float, hidden: float) -> None:
        self._temperature = temperature
        self._soft = soft
        self._hard = hard
        self._hidden = hidden

    def __call__(self, labels: Any, outputs: dict[str, Any], weights: Any) -> Any:
        """A float32 scalar."""
        loss = ops.zeros((), dtype="float32")
        if self._soft:
            loss = loss + self._soft * divergence(
                outputs["teacher_scores"], outputs["scores"], weights, self._temperature
            )
        if self._hard:
            loss = loss + self._hard * _surprise(labels, outputs["scores"], weights)
        if self._hidden:
            loss = loss + self._hidden * misalignment(
                outputs["teacher_states"], outputs["states"], outputs["counted"]
            )
        return loss


def divergence(teacher: Any, student: Any, weights: Any, temperature: float) -> Any:
    """T^2 times the mean divergence of softened scores, in nats; that of gradients is T's own.

    Args:
        teacher, student: scores before any softmax, `(..., classes)`.
        weights: `(...)`, 0 where an entry does not count.
        temperature: T.

    Example:
        >>> import numpy as np
        >>> scores = np.array([[1.0, 2.0]], "float32")
        >>> float(divergence(scores, scores, np.ones(1, "float32"), 2.0))
        0.0
    """
    expected = ops.log_softmax(ops.cast(teacher, "float32") / temperature, axis=-1)
    given = ops.log_softmax(ops.cast(student, "float32") / temperature, axis=-1)
    each = ops.sum(ops.exp(expected) * (expected - given), axis=-1)
    return temperature**2 * _mean(each, weights)


def misalignment(teacher: Any, student: Any, counted: Any) -> Any:
    """1 less the mean cosine of hidden states, between 0 and 2.

    Args:
        teacher, student: `(batch, length, dim)`.
        counted: `(batch, length)`, 0 at padding.
    """
    cosine = ops.sum(_unit(teacher) * _unit(student), axis=-1)
    return 1.0 - _mean(cosine, counted)


def _surprise(labels: Any, scores: Any, weights: Any) -> Any:
    """Mean cross-entropy in nats. `losses.cross_entropy` would hold a vocabulary's truth whole."""
    log_probability = ops.log_softmax(ops.cast(scores, "float32"), axis=-1)
    labels = ops.cast(labels, "int32")[..., None]
    return -_mean(ops.take_along_axis(log_probability, labels, axis=-1)[..., 0], weights)


def _unit(states: Any) -> Any:
    return ops.normalize(ops.cast(states, "float32"), axis=-1, order=2)


def _mean(values: Any, weights: Any) -> Any:
    weights = ops.cast(weights, "float32")
    # Where nothing counts there may be no number: 0 x NaN would be NaN.
    values = ops.where(weights != 0, values, ops.zeros_like(values))
    return ops.sum(values * weights) / ops.maximum(ops.sum(weights), 1e-7)
