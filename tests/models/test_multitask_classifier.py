"""The multi-task classifier: its heads, its presets, and what it refuses."""

import re

import keras
import numpy as np
import pytest

from keras_geneformer.models.backbone import GeneformerBackbone
from keras_geneformer.models.multitask_classifier import GeneformerMultiTaskClassifier
from keras_geneformer.testing import tiny_backbone

pytestmark = pytest.mark.tensors

TASKS = {"cell type": ["B", "T", "NK"], "disease/state": ["no", "yes"]}
REAL = np.array([[1] * 12, [1] * 5 + [0] * 7], "int32")


@pytest.fixture(scope="module")
def cells():
    token_ids = np.random.default_rng(1).integers(2, 122, (2, 12)).astype("int32") * REAL
    return {"token_ids": token_ids, "padding_mask": REAL}


@pytest.fixture(scope="module")
def classifier():
    keras.utils.set_random_seed(7)
    return GeneformerMultiTaskClassifier(
        tiny_backbone(num_layers=2, initializer_range=0.2), TASKS, head_layers=1
    )


def scores_of(model, cells):
    return {task: keras.ops.convert_to_numpy(scores) for task, scores in model(cells).items()}


def test_a_preset_gives_the_same_model_and_lends_its_backbone(classifier, cells, tmp_path):
    classifier.save_to_preset(tmp_path / "preset")
    again = GeneformerMultiTaskClassifier.from_preset(tmp_path / "preset", tasks=TASKS)
    assert again.get_config() == classifier.get_config()
    assert again.tasks == TASKS
    for task, scores in scores_of(classifier, cells).items():
        np.testing.assert_array_equal(scores_of(again, cells)[task], scores)
    backbone = GeneformerBackbone.from_preset(tmp_path / "preset")
    for ours, theirs in zip(classifier.backbone.get_weights(), backbone.get_weights()):
        np.testing.assert_array_equal(ours, theirs)
    others = GeneformerMultiTaskClassifier.from_preset(tmp_path / "preset", tasks={"sex": "fm"})
    assert others.tasks == {"sex": ["f", "m"]}
    np.testing.assert_array_equal(others.backbone.get_weights()[0], backbone.get_weights()[0])


def test_the_network_above_some_blocks_and_joined_scores_are_the_same(classifier, cells):
    scores = scores_of(classifier, cells)
    below = keras.ops.convert_to_numpy(classifier.backbone.hidden_state_model(1)(cells))
    above = scores_of(classifier.network(1), cells | {"hidden_states": below})
    joined = keras.ops.convert_to_numpy(classifier.joined_scores()(cells))
    assert classifier.network() is classifier
    np.testing.assert_allclose(joined, np.concatenate(list(scores.values()), axis=1), atol=1e-6)
    for task in TASKS:
        np.testing.assert_allclose(above[task], scores[task], atol=1e-5)


def test_padding_and_the_order_of_cells_change_nothing(classifier, cells):
    scores = scores_of(classifier, cells)
    turned = scores_of(
        classifier,
        {name: np.pad(array[::-1], [(0, 0), (0, 4)]) for name, array in cells.items()},
    )
    for task in TASKS:
        np.testing.assert_allclose(turned[task][::-1], scores[task], atol=1e-5)


def test_every_task_has_a_head_of_its_own(classifier):
    heads = {weight.path.split("/")[0] for weight in classifier.weights}
    assert {f"task_{n}_{part}" for n in range(2) for part in ("pooling", "pooler", "scores")} <= (
        heads
    )
    mean = GeneformerMultiTaskClassifier(classifier.backbone, TASKS, pooling="mean")
    assert not mean.get_layer("task_0_pooling").weights


def test_tasks_that_share_attention_pooling_as_published(classifier, cells, tmp_path):
    options = {"pooling": "shared_attention", "pooler": False}
    ours = GeneformerMultiTaskClassifier(classifier.backbone, TASKS, **options)
    weights = np.random.default_rng(2).normal(size=(32, 1)).astype("float32")
    ours.get_layer("pooling").attention_weights.assign(weights)
    heads = [weight.path for weight in ours.weights if not weight.path.startswith(("enc", "emb"))]
    assert sorted(heads) == [
        "pooling/attention_weights",
        *(f"task_{n}_scores/{part}" for n in range(2) for part in ("bias", "kernel")),
    ]
    theirs = GeneformerMultiTaskClassifier.from_config(ours.get_config() | {"published": True})
    theirs.set_weights(ours.get_weights())
    wider = {name: np.pad(array, [(0, 0), (0, 4)]) for name, array in cells.items()}
    masked, padded = scores_of(ours, cells), scores_of(theirs, cells)
    below = keras.ops.convert_to_numpy(classifier.backbone.hidden_state_model(1)(cells))
    for task in TASKS:
        np.testing.assert_allclose(scores_of(ours, wider)[task], masked[task], atol=1e-5)
        np.testing.assert_allclose(padded[task][0], masked[task][0], atol=1e-5)
        for other in (masked, scores_of(theirs, wider)):
            assert np.abs(padded[task][1] - other[task][1]).max() > 1e-4
        above = scores_of(theirs.network(1), cells | {"hidden_states": below})
        np.testing.assert_allclose(above[task], padded[task], atol=1e-5)
    ours.save_to_preset(tmp_path / "preset")
    again = GeneformerMultiTaskClassifier.from_preset(tmp_path / "preset")
    assert again.get_config() == ours.get_config()
    again = GeneformerMultiTaskClassifier.from_preset(tmp_path / "preset", published=True)
    assert again.get_config() == ours.get_config() | {"published": True}
    for task, scores in scores_of(again, cells).items():
        np.testing.assert_allclose(scores, padded[task], atol=1e-5)
    with pytest.raises(ValueError, match=r"^Received published=True with pooling='attention'; exp"):
        classifier.pool_as_published()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {},
            "Received tasks=None; expected the names of the classes of each task, as in "
            "{'cell_type': ['B cell', 'T cell'], 'disease': ['no', 'yes']}.",
        ),
        (
            {"tasks": {"sex": ["f"]}},
            "Received classes=['f'] for task 'sex'; expected two or more.",
        ),
        (
            {"tasks": TASKS, "pooling": "max"},
            "Received pooling='max'; expected one of 'attention', 'mean', 'first', 'cls', "
            "'shared_attention'.",
        ),
        (
            {"tasks": TASKS, "pooling": "cls"},
            "Received pooling='cls', but the vocabulary of this backbone has no <cls> token "
            "(special token ids: [0, 1]). Use 'attention', 'mean' or 'first'.",
        ),
        (
            {"tasks": TASKS, "pooling": "mean", "published": True},
            "Received published=True with pooling='mean'; expected 'shared_attention', the "
            "published model's attention pooling. Other poolings never pool padding.",
        ),
    ],
)
def test_what_does_not_fit_is_refused(classifier, options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        GeneformerMultiTaskClassifier(classifier.backbone, **options)
