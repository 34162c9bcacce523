"""Labels of several tasks, and splits that leave every class of every task cells to train on."""

import re

import numpy as np
import pandas as pd
import pytest

from keras_geneformer.testing import synthetic_dataset
from keras_geneformer.training.finetuning.task_labels import read_task_labels, split_task_cells


@pytest.fixture
def cells():
    cells = synthetic_dataset(90)
    cells.obs["disease"] = pd.array(["no", "yes", None, "no", "yes", ""] * 15, dtype=object)
    cells.obs["sex"] = ["f"] * 45 + ["m"] * 45
    return cells


def test_missing_labels_are_missing_for_their_task_alone(cells):
    labels = read_task_labels(cells, ["disease", "sex"])
    assert labels.names == {"disease": ["no", "yes"], "sex": ["f", "m"]}
    np.testing.assert_array_equal(labels.values[:, 0], [0, 1, -1] * 30)
    np.testing.assert_array_equal(labels.values[:, 1], [0] * 45 + [1] * 45)
    assert labels.values.dtype == np.int32


def test_cells_without_any_label_are_left_out_and_counted(cells):
    cells.obs["sex"] = cells.obs["sex"].where(np.arange(90) != 2)
    with pytest.warns(
        UserWarning,
        match=r"^1 of 90 cells have no label in any of 'disease', 'sex' and are left out\.$",
    ):
        labels = read_task_labels(cells, ["disease", "sex"])
    assert labels.rows.tolist() == [0, 1, *range(3, 90)]


def test_a_share_is_held_out_of_every_combination_alike(cells):
    labels = read_task_labels(cells, ["disease", "sex"])
    split = split_task_cells(cells, labels, validation=0.2, test=0.2)
    for part, of_each in ((split.test, 3), (split.validation, 2)):
        _, counts = np.unique(labels.values[part], axis=0, return_counts=True)
        assert counts.tolist() == [of_each] * 6
    assert sorted([*split.train, *split.validation, *split.test]) == list(range(90))


def test_combinations_of_one_cell_are_held_out_together(cells):
    cells.obs["number"] = [str(number // 2) for number in range(90)]
    cells.obs["parity"] = ["even", "odd"] * 45
    labels = read_task_labels(cells, ["number", "parity"])
    with pytest.raises(ValueError, match=r"^No training cell is of class \d+ in obs\['number'\]"):
        split_task_cells(cells, labels, validation=0.9)


def test_combinations_of_two_cells_do_for_test_and_validation(cells):
    cells.obs["pair"] = ["rare" if number in (0, 3, 45) else "common" for number in range(90)]
    labels = read_task_labels(cells, ["sex", "pair"])
    split = split_task_cells(cells, labels, validation=0.2, test=0.2)
    assert [len(part) for part in (split.train, split.validation, split.test)] == [56, 15, 19]
    rare = [(labels.values[part, 1] == 1).sum() for part in (split.train, split.validation)]
    assert rare == [1, 1]


def test_groups_are_held_out_whole(cells):
    labels = read_task_labels(cells, ["disease", "cell_type"])
    split = split_task_cells(cells, labels, validation="donor")
    donors = cells.obs["donor"].to_numpy()[labels.rows]
    assert not set(donors[split.train]) & set(donors[split.validation])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            "sex",
            "Received label_keys='sex'; expected two or more obs columns, each named once "
            "(finetune_cells learns one).",
        ),
        (
            ["sex", "one"],
            "All labelled cells are of one class ('a' in obs['one']): a task needs two at least.",
        ),
        (["sex", "none"], "No cell has a label in obs['none']."),
        (
            ["sex", "alone"],
            "Only one cell is of class b in obs['alone']: a class needs two cells at least. Drop "
            "the class or merge it with another.",
        ),
    ],
)
def test_what_cannot_be_learnt_is_refused(cells, keys, message):
    cells.obs["one"] = "a"
    cells.obs["none"] = None
    cells.obs["alone"] = ["a"] * 89 + ["b"]
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_task_labels(cells, keys)
