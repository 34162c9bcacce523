"""One loss of several tasks: weighed as said, or as is learnt."""

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_geneformer.training.finetuning.losses import Objective


class TaskObjective(keras.layers.Layer):
    """The weighted sum of the losses of several tasks.

    With learnt uncertainty (Kendall et al., 2018, arXiv:1705.07115) a task of loss L counts
    `exp(-s) L + s / 2`, where s, the logarithm of its variance, is a weight that is trained with
    the others from 0 on: a task that is hard to get right counts less. In a batch without a label
    of a task that task's s stays as it is.

    Args:
        losses: for each task `loss(labels, scores, weights)`.
        weights: `"uncertainty"`, a number of 0 or more for each task, or None: 1 each.

    Raises:
        ValueError: weights that are none of these.

    Example:
        >>> import numpy as np
        >>> from keras_geneformer.training.finetuning.losses import make_loss
        >>> loss = make_loss("cross_entropy")
        >>> objective = TaskObjective({"a": loss, "b": loss}, weights={"a": 1.0, "b": 2.0})
        >>> labels, scores = np.array([0], "int32"), np.zeros((1, 2), "float32")
        >>> both = {"a": labels, "b": labels}, {"a": scores, "b": scores}
        >>> round(float(objective(*both, {"a": np.ones(1), "b": np.zeros(1)})), 4)
        0.6931
    """

    def __init__(
        self,
        losses: Mapping[str, Objective],
        weights: str | Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(dtype="float32", name="task_objective")
        self._loss_of = dict(losses)
        self._fixed = _fixed_weights(weights, list(losses))
        self.log_variances: Any = None
        if self._fixed is None:
            self.log_variances = self.add_weight(
                (len(self._loss_of),), initializer="zeros", name="log_variances"
            )
        self.built = True

    def call(self, labels, scores, weights):
        """The loss of a batch, from dicts of arrays by task."""
        total = 0.0
        for number, (task, loss) in enumerate(self._loss_of.items()):
            value = loss(labels[task], scores[task], weights[task])
            if self._fixed is not None:
                total = total + self._fixed[task] * value
                continue
            log_variance = self.log_variances[number]
            learnt = ops.exp(-log_variance) * value + 0.5 * log_variance
            total = total + ops.where(ops.sum(weights[task]) > 0, learnt, 0.0)
        return total

    def task_weights(self) -> dict[str, float]:
        """By how much the loss of each task is multiplied."""
        if self._fixed is not None:
            return dict(self._fixed)
        values = ops.convert_to_numpy(self.log_variances)
        return {task: math.exp(-value) for task, value in zip(self._loss_of, values)}


def _fixed_weights(weights: Any, tasks: list[str]) -> dict[str, float] | None:
    """The weight of each task; None where they are learnt."""
    if weights is None:
        return dict.fromkeys(tasks, 1.0)
    if isinstance(weights, str) and weights == "uncertainty":
        return None
    if isinstance(weights, Mapping) and {str(task) for task in weights} == set(tasks):
        fixed = {str(task): float(weight) for task, weight in weights.items()}
        if all(0 <= weight < math.inf for weight in fixed.values()) and any(fixed.values()):
            return fixed
    raise ValueError(
        f"Received task_weights={weights!r}; expected 'uncertainty', None, or a number of 0 or "
        f"more for each of {', '.join(tasks)}, not all 0."
    )
