"""Losses against ten-line references, torch's own values, and numbers that are none."""

import re

import keras
import numpy as np
import pytest
from keras import ops
from sklearn.metrics import log_loss
from sklearn.utils import compute_sample_weight

from keras_geneformer.training.finetuning.losses import LOSSES_OF, huber, make_loss

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


def compiled(function):
    """Eagerly JAX would compile every operation by itself, which takes longer than all at once."""
    if keras.config.backend() != "jax":
        return function
    import jax

    return jax.jit(function)


def labels_of(task):
    return {"single-label": LABELS, "multi-label": SEVERAL, "regression": SEVERAL[..., :1]}[task]


CASES = [
    (task, name, plain)
    for task in ("single-label", "multi-label")
    for name in LOSSES_OF[task]
    for plain in (True, False)
]


def smoothing_of(name, plain):
    return 0.0 if plain or name == "dice" else 0.1


@pytest.fixture(scope="module")
def values():
    losses = {
        (task, name, plain): make_loss(
            name,
            task=task,
            num_classes=CLASSES,
            class_weights=None if plain else OF_CLASS,
            label_smoothing=smoothing_of(name, plain),
            focal_gamma=1.5,
        )
        for task, name, plain in CASES
    }
    every = compiled(
        lambda scores, weights: [
            loss(labels_of(task), scores, weights) for (task, _, _), loss in losses.items()
        ]
    )
    return dict(zip(losses, map(float, every(SCORES, WEIGHTS))))


@pytest.mark.parametrize(("task", "name", "plain"), CASES)
def test_a_loss_is_its_reference(values, task, name, plain):
    of_class = np.ones(CLASSES) if plain else OF_CLASS.astype("float64")
    expected = reference(name, task == "multi-label", of_class, smoothing_of(name, plain), 1.5)
    assert values[task, name, plain] == pytest.approx(expected, rel=2e-5)


def test_cross_entropy_is_that_of_scikit_learn():
    loss = make_loss("cross_entropy", class_weights=OF_CLASS)
    labels = LABELS.ravel()
    expected = log_loss(
        labels,
        softmax(SCORES.reshape(-1, CLASSES).astype("float64")),
        labels=range(CLASSES),
        sample_weight=compute_sample_weight(dict(enumerate(OF_CLASS)), labels),
    )
    assert float(compiled(loss)(LABELS, SCORES, np.ones((3, 5)))) == pytest.approx(
        expected, rel=1e-5
    )


def test_values_are_those_of_torch():
    if keras.config.backend() != "torch":
        pytest.skip("importing torch beside another backend takes longer than the test")
    import torch

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


def value_and_gradient(loss, labels, scores, weights):
    """A loss and its gradient by the scores, on the backend in use."""
    if keras.config.backend() == "jax":
        import jax

        return jax.value_and_grad(loss, argnums=1)(labels, scores, weights)
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        given = tf.convert_to_tensor(scores)
        with tf.GradientTape() as tape:
            tape.watch(given)
            value = loss(labels, given, weights)
        return value, tape.gradient(value, given)
    import torch

    given = torch.tensor(scores, requires_grad=True)
    value = loss(labels, given, weights)
    value.backward()
    return value.detach(), given.grad


GRADIENTS = [
    *(("single-label", name) for name in LOSSES_OF["single-label"]),
    *(("regression", name) for name in LOSSES_OF["regression"]),
    ("multi-label", "focal"),
]


@pytest.fixture(scope="module")
def spoilt():
    """Values and gradients as they are, with nonsense at weight 0, and with no weight at all."""

    @compiled
    def every(labels, scores, weights):
        return {
            (task, name): value_and_gradient(
                make_loss(name, task=task, focal_gamma=0.5),
                labels[task],
                scores[..., : labels[task].shape[-1] if task == "regression" else CLASSES],
                weights,
            )
            for task, name in GRADIENTS
        }

    labels = {task: labels_of(task).copy() for task in LOSSES_OF}
    scores, weights = SCORES.copy(), WEIGHTS.copy()
    weights[0, :3] = 0.0
    # Scores far out, on the right side and on the wrong one, have gradients too.
    scores[1, 0, 0], scores[1, 1, 0] = 200.0, -200.0
    weights[1, :2] = 1.0
    plain = every(labels, scores, weights)
    nothing = every(labels, scores, np.zeros_like(weights))
    scores[0, 0], scores[0, 1], scores[0, 2] = np.nan, np.inf, -np.inf
    for task in LOSSES_OF:
        labels[task][0, 0] = -100 if task == "single-label" else np.nan
    return plain, every(labels, scores, weights), nothing


@pytest.mark.parametrize(("task", "name"), GRADIENTS)
def test_what_has_weight_0_does_not_count_whatever_it_is(spoilt, task, name):
    (value, gradient), (of_nonsense, its_gradient), (none, no_gradient) = (
        [np.asarray(result) for result in results[task, name]] for results in spoilt
    )
    assert of_nonsense == value
    np.testing.assert_array_equal(its_gradient, gradient)
    assert np.isfinite(gradient).all()
    assert not gradient[0, :3].any()
    assert np.abs(gradient).sum() > 0
    assert none == 0.0
    assert not no_gradient.any()


def test_a_missing_label_of_several_leaves_the_others():
    weights = np.ones_like(SEVERAL)
    weights[..., 1] = 0.0
    loss = make_loss("binary_cross_entropy", task="multi-label")
    without = [0, 2, 3]
    expected = float(compiled(loss)(SEVERAL[..., without], SCORES[..., without]))
    assert float(compiled(loss)(SEVERAL, SCORES, weights)) == pytest.approx(expected, rel=1e-6)


def test_huber_is_linear_beyond_delta():
    assert float(huber(np.array([0.0]), np.array([5.0]), delta=2.0)) == pytest.approx(8.0)


def test_a_loss_goes_into_compile():
    model = keras.Sequential([keras.layers.Dense(CLASSES, kernel_initializer="zeros")])
    model.compile(loss=make_loss("cross_entropy"))
    value = model.evaluate(SCORES[0], LABELS[0], verbose=0)
    assert value == pytest.approx(np.log(CLASSES), rel=1e-5)


def test_half_precision_scores_are_taken_in_float32():
    loss = compiled(make_loss("cross_entropy"))
    value = loss(LABELS, ops.cast(SCORES, "bfloat16"), WEIGHTS)
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
