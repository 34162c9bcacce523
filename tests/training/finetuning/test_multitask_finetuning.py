"""Several obs columns learnt at once, on the weights of the preset that is given."""

import re

import keras
import numpy as np
import pandas as pd
import pytest

from keras_geneformer.testing import synthetic_dataset, tiny_backbone, tiny_vocabulary
from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.training.finetuning.finetuning_model import FinetuningModel
from keras_geneformer.training.finetuning.losses import make_loss
from keras_geneformer.training.finetuning.multitask_finetuning import finetune_multitask
from keras_geneformer.training.finetuning.multitask_prediction import predict_tasks
from keras_geneformer.training.finetuning.prediction import predict
from keras_geneformer.training.finetuning.task_objective import TaskObjective

pytestmark = pytest.mark.tensors

TASKS = ["cell_type", "is T/other"]


@pytest.fixture(scope="module")
def cells():
    made = synthetic_dataset(120)
    obs = made.obs.copy()
    of_t = np.where(obs["cell_type"] == "T cell", "T", "other").astype(object)
    of_t[::4] = None
    obs["is T/other"] = of_t
    obs["part"] = ["train"] * 80 + ["validation"] * 20 + ["test"] * 20
    # All of one length, so that JAX compiles for one.
    return CellDataset([ids[:48] for ids in made], obs, tiny_vocabulary())


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    keras.utils.set_random_seed(1)
    backbone = tiny_backbone(num_layers=1, initializer_range=0.1)
    directory = tmp_path_factory.mktemp("multitask") / "pretrained"
    backbone.save_to_preset(directory, vocabulary=tiny_vocabulary())
    return backbone, directory


@pytest.fixture(scope="module")
def finetuned(preset, cells):
    _, directory = preset
    output = directory.parent / "tasks"
    result = finetune_multitask(
        directory,
        cells,
        TASKS,
        validation={"part": "validation"},
        test={"part": "test"},
        epochs=12,
        batch_size=20,
        learning_rate=2e-2,
        freeze_layers=1,
        class_weights="balanced",
        output=output,
        progress=False,
    )
    return result, output


def test_the_pretrained_weights_are_those_of_the_preset(preset, finetuned):
    backbone, _ = preset
    result, _ = finetuned
    assert len(result.model.backbone.weights) == len(backbone.weights)
    for ours, given in zip(result.model.backbone.weights, backbone.weights):
        assert ours.path == given.path
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(given)
        )


def test_all_tasks_are_learnt_and_judged_on_their_own_cells(finetuned, cells):
    result, _ = finetuned
    assert result.metrics.index.tolist() == TASKS
    assert result.metrics["classes"].tolist() == [3, 2]
    for task in TASKS:
        table = result.predictions[task]
        assert len(table) == result.metrics.loc[task, "cells"]
        assert cells.obs.loc[table.index, task].tolist() == table["true"].tolist()
        assert (table["true"] == table["label"]).mean() == pytest.approx(
            result.metrics.loc[task, "accuracy"]
        )
        assert result.metrics.loc[task, "accuracy"] > 0.8
        assert result.confusions[task].to_numpy().sum() == len(table)
    assert len(result.predictions[TASKS[1]]) < len(result.predictions[TASKS[0]])
    assert result.predictions[TASKS[0]].index.tolist() == cells.obs.index[80:100].tolist()
    assert result.test_predictions[TASKS[0]].index.tolist() == cells.obs.index[100:].tolist()
    assert result.test_metrics.loc[TASKS[0], "cells"] == 20


def test_uncertainty_is_learnt(finetuned):
    result, _ = finetuned
    assert (result.metrics["weight"] != 1.0).all()
    weights = result.history["weight_cell_type"].dropna()
    assert len(weights) == 12
    assert weights.iloc[-1] == pytest.approx(result.metrics.loc["cell_type", "weight"])


def test_the_output_holds_the_classifier_and_its_tables(finetuned, cells):
    result, output = finetuned
    cells = cells.subset(np.arange(80, 100))
    ours, read = result.predictions, predict_tasks(output, cells)
    with pytest.raises(ValueError, match="predict_tasks gives a table for each"):
        predict(output, cells)
    for task in TASKS:
        assert read[task].index.tolist() == cells.obs.index.tolist()
        labelled = read[task].loc[ours[task].index]
        expected = ours[task].drop(columns="true")
        pd.testing.assert_frame_equal(expected, labelled, rtol=1e-4, atol=1e-6)
    assert pd.read_csv(output / "metrics.csv")["task"].tolist() == TASKS
    written = pd.read_csv(output / "predictions.csv", index_col=0)
    assert written["is T/other_true"].notna().sum() == len(result.predictions[TASKS[1]])
    assert pd.read_csv(output / "confusion.csv")["cells"].sum() == sum(
        map(len, result.predictions.values())
    )


def test_a_missing_label_trains_the_other_tasks_alone():
    inputs = keras.Input((3,))
    heads = {task: keras.layers.Dense(2, name=task) for task in "ab"}
    network = keras.Model(inputs, {task: head(inputs) for task, head in heads.items()})
    losses = dict.fromkeys("ab", make_loss("cross_entropy"))
    objective = TaskObjective(losses, "uncertainty")
    model = FinetuningModel(network, objective)
    model.compile(keras.optimizers.SGD(0.5))
    labels = {task: np.array([0, 1], dtype="int32") for task in "ab"}
    weights = {"a": np.ones(2, "float32"), "b": np.zeros(2, "float32")}
    before = {task: head.get_weights() for task, head in heads.items()}
    model.train_on_batch(np.eye(2, 3, dtype="float32"), labels, sample_weight=weights)
    after = {task: head.get_weights() for task, head in heads.items()}
    assert not any(np.array_equal(*pair) for pair in zip(before["a"], after["a"]))
    for old, new in zip(before["b"], after["b"]):
        np.testing.assert_array_equal(old, new)
    learnt = keras.ops.convert_to_numpy(objective.log_variances)
    assert learnt[0] != 0
    assert learnt[1] == 0


def test_fixed_weights_multiply_the_losses():
    losses = dict.fromkeys("ab", make_loss("cross_entropy"))
    scores = {"a": np.zeros((1, 2), "float32"), "b": np.zeros((1, 2), "float32")}
    labels = {task: np.array([0], dtype="int32") for task in "ab"}
    ones = dict.fromkeys("ab", np.ones(1, dtype="float32"))
    for weights, times in ((None, 2.0), ({"a": 0.5, "b": 3.0}, 3.5), ("uncertainty", 2.0)):
        value = TaskObjective(losses, weights)(labels, scores, ones)
        value = keras.ops.convert_to_numpy(value)
        assert value == pytest.approx(times * np.log(2), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"sampling": "upsample"},
            "Received sampling='upsample' for several tasks: cells are sampled by their class, of "
            "which they have several here. Use class_weights='balanced'.",
        ),
        (
            {"class_weights": {"T cell": 1.0}},
            "Received class_weights by name for several tasks; expected 'balanced' or "
            "'effective_number', which are found for each task, or None.",
        ),
        (
            {"task_weights": {"cell_type": 1.0}},
            "Received task_weights={'cell_type': 1.0}; expected 'uncertainty', None, or a number "
            "of 0 or more for each of cell_type, is T/other, not all 0.",
        ),
    ],
)
def test_what_does_not_fit_is_refused(preset, cells, options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        finetune_multitask(preset[0], cells, TASKS, progress=False, **options)


def test_other_models_do_not_predict_tasks(preset, cells):
    message = (
        "Received a GeneformerBackbone to predict with; expected a GeneformerMultiTaskClassifier "
        "(finetune_multitask makes one) or the preset of one."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        predict_tasks(preset[0], cells)
    held = "holds a Geneformer[A-Za-z]+, not a GeneformerMultiTaskClassifier: fine-tune it first"
    with pytest.raises(ValueError, match=held):
        predict_tasks("geneformer_mini", cells)
