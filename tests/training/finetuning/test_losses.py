"""Losses against ten-line references, torch's own values, and numbers that are none."""

import re

import keras
import numpy as np
import pytest
from keras import ops
from sklearn.metrics import log_loss
from sklearn.utils import compute_sample_weight

from keras_geneformer.training.finetuning.losses import LOSSES, LOSSES_OF, huber, make_loss

pytestmark = pytest.mark.tensors

CLASSES = 4
RNG = np.random.default_rng(3)
SCORES = RNG.normal(0.0, 2.0, (3, 5, CLASSES)).astype("float32")
LABELS = RNG.integers(CLASSES, size=(3, 5)).astype("int32")
SEVERAL = RNG.integers(2, size=(3, 5, CLASSES)).astype("float32")
WEIGHTS = RNG.integers(3, size=(3, 5)).astype("float32")
OF_CLASS = np.array([0.5, 1.0, 3.0, 0.2], dtype="float32")


def one_hot(labels):
    return np.eye(CLASSES)[labels]


def softmax(scores):
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    return scores / scores.sum(-1, keepdims=True)


def sigmoid(scores):
    return 1.0 / (1.0 + np.exp(-scores.astype("float64")))


def reference_dice(probability, truth, of_class):
    weights = WEIGHTS[..., None]
    overlap = (weights * probability * truth).sum((0, 1))
    both = (weights * (probability + truth)).sum((0, 1))
    return np.average(1 - (2 * overlap + 1) / (both + 1), weights=of_class)


def reference(name, several, of_class, smoothing, gamma):
    """What each loss is, entry by entry, in float64."""
    truth = SEVERAL if several else one_hot(LABELS)
    p = sigmoid(SCORES) if several else softmax(SCORES.astype("float64"))
    if name.startswith("dice_"):
        parts = ("dice", name.removeprefix("dice_"))
        return sum(reference(part, several, of_class, smoothing, gamma) for part in parts)
    if name == "dice":
        return reference_dice(p, truth, of_class)
    gamma = gamma if name == "focal" else 0.0
    if name == "binary_cross_entropy" or several:
        p, soft = sigmoid(SCORES), truth * (1 - smoothing) + smoothing / 2
        terms = -soft * (1 - p) ** gamma * np.log(p) - (1 - soft) * p**gamma * np.log(1 - p)
        own = of_class if several else (truth @ of_class)[..., None]
        return np.average(terms, weights=np.broadcast_to(WEIGHTS[..., None] * own, terms.shape))
    soft = truth * (1 - smoothing) + smoothing / CLASSES
    terms = (soft * of_class * (1 - p) ** gamma * -np.log(p)).sum(-1)
    return (WEIGHTS * terms).sum() / (WEIGHTS * of_class[LABELS]).sum()


CASES = [
    (task, name, smoothing)
    for task in ("single-label", "multi-label")
    for name in LOSSES_OF[task]
    for smoothing in (0.0, 0.1)
    if not (name == "dice" and smoothing)
]


@pytest.mark.parametrize(("task", "name", "smoothing"), CASES)
@pytest.mark.parametrize("of_class", [None, OF_CLASS], ids=["", "class weights"])
def test_a_loss_is_its_reference(task, name, smoothing, of_class):
    loss = make_loss(
        name,
        task=task,
        num_classes=CLASSES,
        class_weights=of_class,
        label_smoothing=smoothing,
        focal_gamma=1.5,
    )
    several = task == "multi-label"
    value = float(loss(SEVERAL if several else LABELS, SCORES, WEIGHTS))
    weights = np.ones(CLASSES) if of_class is None else of_class.astype("float64")
    assert value == pytest.approx(reference(name, several, weights, smoothing, 1.5), rel=2e-5)


def test_cross_entropy_is_that_of_scikit_learn():
    loss = make_loss("cross_entropy", class_weights=OF_CLASS)
    labels = LABELS.ravel()
    expected = log_loss(
        labels,
        softmax(SCORES.reshape(-1, CLASSES).astype("float64")),
        labels=range(CLASSES),
        sample_weight=compute_sample_weight(dict(enumerate(OF_CLASS)), labels),
    )
    assert float(loss(LABELS, SCORES, np.ones((3, 5)))) == pytest.approx(expected, rel=1e-5)


def test_values_are_those_of_torch():
    torch = pytest.importorskip("torch")
    scores, labels = torch.tensor(SCORES).reshape(-1, CLASSES), torch.tensor(LABELS).ravel().long()
    several = torch.tensor(SEVERAL).reshape(-1, CLASSES)
    theirs = torch.nn.CrossEntropyLoss(weight=torch.tensor(OF_CLASS), label_smoothing=0.1)
    ours = make_loss("cross_entropy", class_weights=OF_CLASS, label_smoothing=0.1)
    assert float(ours(LABELS, SCORES)) == pytest.approx(float(theirs(scores, labels)), rel=1e-5)
    theirs = torch.nn.BCEWithLogitsLoss()
    ours = make_loss("binary_cross_entropy", task="multi-label")
    assert float(ours(SEVERAL, SCORES)) == pytest.approx(float(theirs(scores, several)), rel=1e-5)
    for name, theirs in (
        ("mean_squared_error", torch.nn.MSELoss()),
        ("huber", torch.nn.HuberLoss()),
    ):
        ours = make_loss(name, task="regression")
        expected = float(theirs(scores[:, 0], several[:, 0]))
        assert float(ours(SEVERAL[..., 0], SCORES[..., :1])) == pytest.approx(expected, rel=1e-5)


def gradients(loss, labels, scores, weights):
    """The gradient of a loss by the scores, on the backend in use."""
    backend = keras.config.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        given = tf.convert_to_tensor(scores)
        with tf.GradientTape() as tape:
            tape.watch(given)
            value = loss(labels, given, weights)
        return tape.gradient(value, given).numpy()
    if backend == "jax":
        import jax

        return np.asarray(jax.grad(lambda given: loss(labels, given, weights))(scores))
    import torch

    given = torch.tensor(scores, requires_grad=True)
    loss(labels, given, weights).backward()
    return given.grad.numpy()


def task_of(name):
    return "regression" if name in LOSSES_OF["regression"] else "single-label"


@pytest.mark.parametrize(
    ("task", "name"), [(task_of(name), name) for name in LOSSES] + [("multi-label", "focal")]
)
def test_what_has_weight_0_does_not_count_whatever_it_is(task, name):
    single = task == "single-label"
    width = 1 if task == "regression" else CLASSES
    labels = LABELS.copy() if single else SEVERAL[..., :width].copy()
    scores, weights = SCORES[..., :width].copy(), WEIGHTS.copy()
    weights[0, :3] = 0.0
    loss = make_loss(name, task=task, focal_gamma=0.5)
    value = float(loss(labels, scores, weights))
    gradient = gradients(loss, labels, scores, weights)
    scores[0, 0], scores[0, 1], scores[0, 2] = np.nan, np.inf, -np.inf
    labels[0, 0] = -100 if single else np.nan
    assert float(loss(labels, scores, weights)) == value
    spoilt = gradients(loss, labels, scores, weights)
    np.testing.assert_array_equal(spoilt, gradient)
    assert not spoilt[0, :3].any()
    assert np.abs(spoilt).sum() > 0
    nothing = np.zeros_like(weights)
    assert float(loss(labels, scores, nothing)) == 0.0
    assert not gradients(loss, labels, scores, nothing).any()


@pytest.mark.parametrize(
    ("task", "name"), [(task_of(name), name) for name in LOSSES] + [("multi-label", "focal")]
)
def test_gradients_of_scores_far_out_are_finite(task, name):
    scores = np.array([[200.0, -200.0], [-200.0, 200.0], [0.0, 0.0]], dtype="float32")
    labels = np.array([0, 0, 1], dtype="int32") if task == "single-label" else scores / 200.0 > 0
    gradient = gradients(make_loss(name, task=task), labels, scores, np.ones(3, dtype="float32"))
    assert np.isfinite(gradient).all()


def test_a_missing_label_of_several_leaves_the_others():
    weights = np.ones_like(SEVERAL)
    weights[..., 1] = 0.0
    loss = make_loss("binary_cross_entropy", task="multi-label")
    without = [0, 2, 3]
    expected = float(loss(SEVERAL[..., without], SCORES[..., without]))
    assert float(loss(SEVERAL, SCORES, weights)) == pytest.approx(expected, rel=1e-6)


def test_huber_is_linear_beyond_delta():
    assert float(huber(np.array([0.0]), np.array([5.0]), delta=2.0)) == pytest.approx(8.0)


def test_a_loss_goes_into_compile():
    model = keras.Sequential([keras.layers.Dense(CLASSES, kernel_initializer="zeros")])
    model.compile(loss=make_loss("cross_entropy"))
    value = model.evaluate(SCORES[0], LABELS[0], verbose=0)
    assert value == pytest.approx(np.log(CLASSES), rel=1e-5)


def test_half_precision_scores_are_taken_in_float32():
    value = make_loss("cross_entropy")(LABELS, ops.cast(SCORES, "bfloat16"))
    assert keras.backend.standardize_dtype(value.dtype) == "float32"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"name": "hinge"},
            "Received loss='hinge' for a single-label task; expected one of cross_entropy, "
            "binary_cross_entropy, focal, dice, dice_cross_entropy, dice_binary_cross_entropy.",
        ),
        (
            {"name": "huber", "task": "ranking"},
            "Received task='ranking'; expected one of single-label, multi-label, regression.",
        ),
        (
            {"name": "focal", "label_smoothing": 1.0},
            "Received label_smoothing=1.0 and focal_gamma=2.0; expected a share from 0 to below 1, "
            "and 0 or more.",
        ),
        (
            {"name": "focal", "num_classes": 3, "class_weights": [1.0, 2.0]},
            "Received class weights of shape (2,); expected one for each of the 3 classes.",
        ),
        (
            {"name": "focal", "class_weights": [1.0, -2.0]},
            "Received class weights [1.0, -2.0]; expected finite numbers, 0 or more.",
        ),
        (
            {"name": "huber", "task": "regression", "class_weights": [1.0]},
            "Class weights were given for a regression, which has no classes.",
        ),
        (
            {"name": "dice", "label_smoothing": 0.1},
            "Received label_smoothing=0.1 with loss='dice', which smooths no labels: leave it at "
            "0, or choose a loss with a cross-entropy.",
        ),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make_loss(**options)
