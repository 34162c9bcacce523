import warnings

import numpy as np
import pandas as pd
import pytest

from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.training.finetuning.labels import read_labels


def cells_with(**columns):
    number = len(next(iter(columns.values())))
    ids = [np.array([5, 6], dtype=np.int32)] * number
    return CellDataset(ids, pd.DataFrame(columns, index=[f"c{i}" for i in range(number)]))


def test_classes_are_in_alphabetical_order_whatever_the_order_of_cells():
    one = read_labels(cells_with(kind=["b", "a", "c", "a"]), "kind")
    other = read_labels(cells_with(kind=["a", "c", "a", "b"]), "kind")
    assert one.names == other.names == ["a", "b", "c"]
    assert one.values.tolist() == [1, 0, 2, 0]
    assert one.text.tolist() == ["b", "a", "c", "a"]


def test_rare_classes_go_and_common_ones_are_cut():
    cells = cells_with(kind=["a"] * 12 + ["b"] * 7 + ["c"])
    with pytest.warns(UserWarning, match=r"less than 0\.1 of the cells are left out: c \(1\)\."):
        labels = read_labels(cells, "kind", rare_threshold=0.1, max_cells=5)
    assert labels.names == ["a", "b"]
    assert np.bincount(labels.values).tolist() == [5, 5]
    assert (np.diff(labels.rows) > 0).all()


def test_keep_takes_values_of_any_column():
    cells = cells_with(kind=["a", "b", "a", "b"], batch=[1, 1, 2, 2])
    assert read_labels(cells, "kind", keep={"batch": 2}).rows.tolist() == [2, 3]
    with pytest.raises(ValueError, match=r"No cell has '3' in obs\['batch'\], which keep names"):
        read_labels(cells, "kind", keep={"batch": [2, 3]})


def test_several_labels_from_joined_text_and_from_columns():
    text = cells_with(kinds=["t;act", "b", "act", "t; act"])
    labels = read_labels(text, "kinds", task="multi-label")
    assert labels.names == ["act", "b", "t"]
    expected = [[1, 0, 1], [0, 1, 0], [1, 0, 0], [1, 0, 1]]
    np.testing.assert_array_equal(labels.values, expected)
    assert labels.text.tolist() == ["act;t", "b", "act", "act;t"]
    columns = cells_with(t=[True, False], b=[0, 1])
    labels = read_labels(columns, ["t", "b"], task="multi-label")
    np.testing.assert_array_equal(labels.values, [[1, 0], [0, 1]])
    with pytest.raises(ValueError, match=r"hold other values than 0 and 1"):
        read_labels(cells_with(t=[2, 0], b=[0, 1]), ["t", "b"], task="multi-label")


def test_numbers_and_missing_ones():
    with pytest.warns(UserWarning, match=r"1 of 3 cells have no label in obs\['dose'\]"):
        labels = read_labels(cells_with(dose=[0.5, np.nan, 2.0]), "dose", task="regression")
    np.testing.assert_array_equal(labels.values, [[0.5], [2.0]])
    assert labels.rows.tolist() == [0, 2]


def test_empty_text_is_no_label_and_unused_levels_are_no_classes():
    kinds = pd.Categorical(["a", "", "b", " ", None], categories=["b", "a", "", " ", "unused"])
    with pytest.warns(UserWarning, match=r"3 of 5 cells have no label in obs\['kind'\]"):
        labels = read_labels(cells_with(kind=kinds), "kind")
    assert labels.names == ["a", "b"]
    assert labels.rows.tolist() == [0, 2]
    numbers = read_labels(cells_with(kind=[True, False, True]), "kind")
    assert numbers.names == ["False", "True"]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"kind": ["", ""]}, {}, r"No cell has a label in obs\['kind'\]"),
        (
            {"kind": [1.0, 2.0]},
            {"task": "regression", "max_cells": 20},
            r"Received rare_threshold=0\.0 and max_cells=20 for task='regression': they are of cl",
        ),
        ({"kind": ["a", "b"]}, {"label_key": "other"}, r"no column 'other' in obs; it has kind"),
        ({"kind": [None, None]}, {}, r"No cell has a label in obs\['kind'\]"),
        ({"kind": ["a", "a"]}, {}, r"All labelled cells are of one class \('a' in obs\['kind'\]\)"),
        ({"kind": ["a", "b"]}, {"task": "regression"}, r"are to hold numbers"),
        ({"kind": [1.0, np.inf]}, {"task": "regression"}, r"hold infinite numbers"),
        ({"kind": ["a", "a"]}, {"task": "multi-label"}, r"one label only \(a\)"),
        ({"kind": ["a", "b"]}, {"task": "ranking"}, r"Received task='ranking'; expected"),
        ({"kind": ["a", "b"]}, {"rare_threshold": 1.0}, r"Received rare_threshold=1\.0"),
        ({"kind": ["a", "b"]}, {"rare_threshold": 0.9}, r"Every class has less than"),
        ({"kind": ["a", "b"]}, {"max_cells": 0}, r"Received max_cells=0"),
    ],
)
def test_refuses(columns, options, message):
    options = {"label_key": "kind"} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=message):
            read_labels(cells_with(**columns), **options)
