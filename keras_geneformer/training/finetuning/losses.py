"""Losses of fine-tuning, for classes, several labels at once and numbers, on every backend.

All take `(labels, scores, weights)` and give one float32 number. An entry of weight 0 (padding, a
missing label) never counts, neither in the value nor in the gradient, whatever stands there: it is
left out before anything is computed of it, since 0 x NaN would be NaN.

Scores have one more axis than labels where every entry is of one class, labels being its number;
and the shape of the labels where an entry may have any of several labels, each 0 or 1.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from keras import ops

Objective = Callable[..., Any]

_LEAST = 1e-7
"""Below it a modulating factor is held, for powers under 1 have no slope at 0."""


def cross_entropy(labels, scores, weights=None, class_weights=None, label_smoothing=0.0):
    """Cross-entropy of the softmax, as `torch.nn.CrossEntropyLoss` has it.

    With class weights the sum is divided by the weights of the true classes, not by the number of
    entries: torch's mean. Smoothed labels are `1 - s` of the true class and `s` of all alike, and
    the part of each class is weighted with its own weight.

    Args:
        labels: class of every entry, integers of shape `(...)`.
        scores: before any softmax, shape `(..., classes)`.
        weights: of the entries, shape `(...)`; 1 by default.
        class_weights: (classes,) weight of each class; 1 by default.
        label_smoothing: share of a label spread over all classes, from 0 to below 1.

    Returns:
        The weighted mean over entries, a float32 scalar in nats; 0 where no entry counts.

    Example:
        >>> import numpy as np
        >>> round(float(cross_entropy(np.array([1]), np.zeros((1, 2), "float32"))), 4)
        0.6931
    """
    return focal(labels, scores, weights, class_weights, label_smoothing, gamma=0.0)


def focal(labels, scores, weights=None, class_weights=None, label_smoothing=0.0, gamma=2.0):
    """Focal loss: the cross-entropy, less of it the surer the model is already.

    An entry counts `(1 - p)^gamma * -log(p)`, where p is the probability of the truth: that of the
    softmax, or, where an entry may have several labels, of each label's sigmoid (Lin et al., 2017,
    arXiv:1708.02002). Their alpha is `class_weights` here. Divided as in `cross_entropy`, of which
    it is the case `gamma=0`, and in `binary_cross_entropy`.

    Args:
        labels, scores, weights, class_weights, label_smoothing: as there.
        gamma: 0 or more.
    """
    labels, scores, weights, multi = _entries(labels, scores, weights)
    of_class = _class_weights(class_weights, scores)
    if multi:
        labels = labels * (1.0 - label_smoothing) + 0.5 * label_smoothing
        positive = _faded(ops.softplus(-scores), ops.sigmoid(-scores), gamma)
        negative = _faded(ops.softplus(scores), ops.sigmoid(scores), gamma)
        return _mean(labels * positive + (1.0 - labels) * negative, weights * of_class)
    truth = ops.one_hot(labels, scores.shape[-1], dtype="float32")
    log_probability = ops.log_softmax(scores, axis=-1)
    terms = _faded(-log_probability, -ops.expm1(log_probability), gamma)
    target = truth * (1.0 - label_smoothing) + label_smoothing / scores.shape[-1]
    total = ops.sum(weights[..., None] * target * of_class * terms)
    return total / _at_least_something(ops.sum(weights * ops.sum(truth * of_class, axis=-1)))


def binary_cross_entropy(labels, scores, weights=None, class_weights=None, label_smoothing=0.0):
    """Cross-entropy of a sigmoid a class, averaged over classes as well.

    Every class is a question of its own. Where an entry is of one class, that is a yes and all
    others are a no.

    Args:
        labels: class of every entry, integers of shape `(...)`; or 0 and 1, shape `(..., classes)`.
        scores: before any sigmoid, shape `(..., classes)`.
        weights: of the entries, shape `(...)`, or with several labels `(..., classes)` as well.
        class_weights: (classes,) weight of each class: of an entry, that of its class (as in Cui et
            al., 2019); with several labels, that of each question. Divided by their sum.
        label_smoothing: brings 0 and 1 nearer to 0.5 by this share.

    Returns:
        The weighted mean, a float32 scalar in nats; 0 where no entry counts.

    Example:
        >>> import numpy as np
        >>> labels, scores = np.array([[1.0, 0.0]]), np.zeros((1, 2), "float32")
        >>> round(float(binary_cross_entropy(labels, scores)), 4)
        0.6931
    """
    labels, scores, weights, multi = _entries(labels, scores, weights)
    of_class = _class_weights(class_weights, scores)
    if not multi:
        labels = ops.one_hot(labels, scores.shape[-1], dtype="float32")
        weights = weights[..., None]
        of_class = ops.sum(labels * of_class, axis=-1, keepdims=True)
    labels = labels * (1.0 - label_smoothing) + 0.5 * label_smoothing
    terms = labels * ops.softplus(-scores) + (1.0 - labels) * ops.softplus(scores)
    return _mean(terms, weights * of_class)


def dice(labels, scores, weights=None, class_weights=None, smooth=1.0):
    """Soft Dice: one minus the overlap of probabilities and truth, class by class.

    For a class it is `(2 sum(p g) + smooth) / (sum(p) + sum(g) + smooth)`, summed over all entries
    of the batch (Milletari et al., 2016, arXiv:1606.04797; with plain sums below the line, as in
    Sudre et al., 2017, arXiv:1707.03237, and not sums of squares), then averaged over classes. It
    does not add up over batches: small ones hold few cells of a class, and make it noisy.

    Args:
        labels, scores, weights: as in `binary_cross_entropy`. Probabilities are of the softmax
            where an entry is of one class, and of sigmoids where it may have several labels.
        class_weights: (classes,) weight of each class in the average.
        smooth: above 0; makes the loss of a class that neither occurs nor is expected 0.

    Returns:
        A float32 scalar between 0 and 1; 0 where no entry counts.

    Example:
        >>> import numpy as np
        >>> float(dice(np.array([0, 1]), np.array([[99.0, 0.0], [0.0, 99.0]])))
        0.0
    """
    labels, scores, weights, multi = _entries(labels, scores, weights)
    if multi:
        probability, truth = ops.sigmoid(scores), labels
    else:
        probability = ops.softmax(scores, axis=-1)
        truth = ops.one_hot(labels, scores.shape[-1], dtype="float32")
        weights = weights[..., None]
    entries = tuple(range(len(scores.shape) - 1))
    overlap = ops.sum(weights * probability * truth, axis=entries)
    both = ops.sum(weights * (probability + truth), axis=entries)
    of_class = _class_weights(class_weights, scores)
    return _mean(1.0 - (2.0 * overlap + smooth) / (both + smooth), of_class)


def dice_cross_entropy(labels, scores, weights=None, class_weights=None, label_smoothing=0.0):
    """`dice` plus `cross_entropy`, whose arguments it takes; smoothed is the second alone."""
    entropy = cross_entropy(labels, scores, weights, class_weights, label_smoothing)
    return dice(labels, scores, weights, class_weights) + entropy


def dice_binary_cross_entropy(
    labels, scores, weights=None, class_weights=None, label_smoothing=0.0
):
    """`dice` plus `binary_cross_entropy`, whose arguments it takes; smoothed is the second alone.

    Where an entry is of one class, Dice goes by the softmax and the other by sigmoids.
    """
    entropy = binary_cross_entropy(labels, scores, weights, class_weights, label_smoothing)
    return dice(labels, scores, weights, class_weights) + entropy


def mean_squared_error(labels, scores, weights=None):
    """Mean squared error.

    Args:
        labels: numbers, shape `(...)` or that of the scores.
        scores: predicted numbers, shape `(...)` or `(..., 1)`.
        weights: of the entries, shape `(...)`; 1 by default.

    Returns:
        The weighted mean, a float32 scalar; 0 where no entry counts.

    Example:
        >>> import numpy as np
        >>> float(mean_squared_error(np.array([1.0, 2.0]), np.array([[1.0], [4.0]])))
        2.0
    """
    difference, weights = _differences(labels, scores, weights)
    return _mean(ops.square(difference), weights)


def huber(labels, scores, weights=None, delta=1.0):
    """Half the squared error up to `delta`, and beyond it linear, so that outliers pull less.

    Args:
        labels, scores, weights: as in `mean_squared_error`.
        delta: in the units of the labels (Huber, 1964; the form of `torch.nn.HuberLoss`).
    """
    difference, weights = _differences(labels, scores, weights)
    size = ops.abs(difference)
    near = ops.minimum(size, delta)
    return _mean(near * (size - 0.5 * near), weights)


LOSSES: dict[str, Objective] = {
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "focal": focal,
    "dice": dice,
    "dice_cross_entropy": dice_cross_entropy,
    "dice_binary_cross_entropy": dice_binary_cross_entropy,
    "mean_squared_error": mean_squared_error,
    "huber": huber,
}
"""Every loss by its name in the settings. Class-balanced is any of them for classes with
`class_weights="effective_number"`."""

LOSSES_OF: dict[str, tuple[str, ...]] = {
    "single-label": tuple(LOSSES)[:6],
    "multi-label": ("binary_cross_entropy", "focal", "dice", "dice_binary_cross_entropy"),
    "regression": ("mean_squared_error", "huber"),
}
"""Which losses a task can be trained with; the first is its usual one."""


def make_loss(
    name: str,
    *,
    task: str = "single-label",
    num_classes: int | None = None,
    class_weights: np.ndarray | None = None,
    label_smoothing: float = 0.0,
    focal_gamma: float = 2.0,
) -> Objective:
    """The loss of a task, with its options.

    Args:
        name: one of `LOSSES`, of those that `LOSSES_OF` the task.
        task: `"single-label"`, `"multi-label"` or `"regression"`.
        num_classes: of the scores, to check the class weights against.
        class_weights: (classes,) weight of each class.
        label_smoothing: for the losses with a cross-entropy.
        focal_gamma: of `focal` alone.

    Returns:
        A function of labels, scores and weights. (`keras.Model.compile(loss=...)` takes it too; the
        sample weights that Keras is given there do not reach it.)

    Raises:
        ValueError: no such task, no loss of that name for it, or options that it has no use for.

    Example:
        >>> import numpy as np
        >>> loss = make_loss("focal", num_classes=2, focal_gamma=1.0)
        >>> round(float(loss(np.array([0]), np.zeros((1, 2), "float32"), np.ones(1))), 4)
        0.3466
    """
    if task not in LOSSES_OF:
        raise ValueError(f"Received task={task!r}; expected one of {', '.join(LOSSES_OF)}.")
    if name not in LOSSES_OF[task]:
        raise ValueError(
            f"Received loss={name!r} for a {task} task; expected one of "
            f"{', '.join(LOSSES_OF[task])}."
        )
    if not 0.0 <= label_smoothing < 1.0 or focal_gamma < 0.0:
        raise ValueError(
            f"Received label_smoothing={label_smoothing} and focal_gamma={focal_gamma}; expected a "
            "share from 0 to below 1, and 0 or more."
        )
    options: dict[str, Any] = {}
    if class_weights is not None:
        if task == "regression":
            raise ValueError("Class weights were given for a regression, which has no classes.")
        class_weights = np.asarray(class_weights, dtype=np.float32)
        if num_classes is not None and class_weights.shape != (num_classes,):
            raise ValueError(
                f"Received class weights of shape {class_weights.shape}; expected one for each of "
                f"the {num_classes} classes."
            )
        if not np.isfinite(class_weights).all() or class_weights.min() < 0:
            raise ValueError(
                f"Received class weights {class_weights.tolist()}; expected finite numbers, 0 or "
                "more."
            )
        options["class_weights"] = class_weights
    if label_smoothing:
        if name == "dice" or task == "regression":
            raise ValueError(
                f"Received label_smoothing={label_smoothing} with loss={name!r}, which smooths no "
                "labels: leave it at 0, or choose a loss with a cross-entropy."
            )
        options["label_smoothing"] = label_smoothing
    if name == "focal":
        options["gamma"] = focal_gamma
    return partial(LOSSES[name], **options)


def _entries(labels, scores, weights):
    """Labels, scores and weights of the entries that count; zeros where an entry does not."""
    scores = ops.cast(ops.convert_to_tensor(scores), "float32")
    labels = ops.convert_to_tensor(labels)
    multi = len(labels.shape) == len(scores.shape)
    weights = ops.ones_like(scores[..., 0]) if weights is None else weights
    weights = ops.cast(ops.convert_to_tensor(weights), "float32")
    if multi and len(weights.shape) < len(scores.shape):
        weights = weights[..., None]
    if multi:
        weights = ops.broadcast_to(weights, ops.shape(scores))
    counted = weights != 0
    labels = ops.where(counted, labels, ops.zeros_like(labels))
    scores = ops.where(counted if multi else counted[..., None], scores, ops.zeros_like(scores))
    return ops.cast(labels, "float32" if multi else "int32"), scores, weights, multi


def _differences(labels, scores, weights):
    """Scores minus labels, 0 where an entry does not count, and weights of the same shape."""
    labels, scores = ops.convert_to_tensor(labels), ops.convert_to_tensor(scores)
    if len(labels.shape) < len(scores.shape):
        labels = labels[..., None]
    labels, scores, weights, _ = _entries(labels, scores, weights)
    return scores - labels, weights


def _class_weights(class_weights, scores):
    """(classes,) float32: those given, or ones."""
    if class_weights is None:
        return ops.ones((scores.shape[-1],), dtype="float32")
    return ops.convert_to_tensor(np.asarray(class_weights, dtype=np.float32))


def _faded(terms, doubt, gamma):
    return terms * ops.power(ops.maximum(doubt, _LEAST), gamma) if gamma else terms


def _mean(terms, weights):
    weights = ops.broadcast_to(weights, ops.shape(terms))
    return ops.sum(weights * terms) / _at_least_something(ops.sum(weights))


def _at_least_something(total):
    return ops.where(total > 0, total, ops.ones_like(total))
