"""The classifier as scikit-learn uses classifiers: sliced, cloned, searched over.

On one backend: nothing here is of a backend's own.
"""

import dataclasses
import inspect

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.utils import estimator_checks

import keras_geneformer as kg
from keras_geneformer.sklearn import CellClassifier
from keras_geneformer.testing import (
    synthetic_cells,
    synthetic_dataset,
    tiny_backbone,
    tiny_vocabulary,
)


class _Half(CellClassifier):
    """Answers without a model, to see what scikit-learn hands over."""

    seen: list = []  # noqa: RUF012

    def fit(self, X, y=None):
        cells = self._cells(X)
        self.classes_ = np.unique(self._truth(cells, y))
        self.result_ = None
        _Half.seen.append(cells)
        return self

    def predict_proba(self, X):
        return np.eye(len(self.classes_))[np.zeros(len(self._cells(X)), int)]


def test_every_setting_of_training_is_a_parameter_with_the_same_default():
    from keras_geneformer.training.finetuning.settings import FinetuneSettings

    ours = inspect.signature(CellClassifier.__init__).parameters
    for field in dataclasses.fields(FinetuneSettings):
        assert ours[field.name].default == field.default, field.name
    assert not any(p.kind is p.VAR_KEYWORD for p in ours.values())


def test_scikit_learns_own_checks():
    assert is_classifier(kg.sklearn.CellClassifier())
    for check in (
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
    ):
        check("CellClassifier", CellClassifier("geneformer_mini"))
    given = CellClassifier("a_preset", freeze_layers=2, loss="focal")
    assert clone(given).get_params() == given.get_params()
    with pytest.raises(NotFittedError, match="not fitted yet: call fit"):
        given.predict(synthetic_dataset(3))


def test_scikit_learn_slices_both_kinds_of_cells():
    _Half.seen.clear()
    cells, adata = synthetic_dataset(30), synthetic_cells(30)
    y = adata.obs["cell_type"].to_numpy()
    classifier = _Half(vocabulary=tiny_vocabulary())
    for given in (cells, adata):
        scores = cross_val_score(classifier, given, y, cv=3)
        assert sum(scores) == pytest.approx(1.0)
    for first, second in zip(_Half.seen[:3], _Half.seen[3:]):
        assert len(first) == 20
        assert first.obs.index.tolist() == second.obs.index.tolist()
        assert all(np.array_equal(a, b) for a, b in zip(first, second))


def test_datasets_are_indexed_by_cell_slice_positions_and_mask():
    cells = synthetic_dataset(6)
    assert cells.shape == (6,)
    assert cells[np.int64(2)].tolist() == cells[2].tolist()
    assert cells[1:5:2].obs.index.tolist() == ["cell1", "cell3"]
    assert cells[[4, 0]].obs.index.tolist() == ["cell4", "cell0"]
    assert cells[np.arange(6) > 3, ...].obs.index.tolist() == ["cell4", "cell5"]
    with pytest.raises(ValueError, match="expected 1-D positions or a mask"):
        cells[np.array([0.5])]


def test_it_stands_in_a_pipeline_that_is_searched():
    search = GridSearchCV(
        Pipeline([("cells", "passthrough"), ("classifier", _Half(label_key="cell_type"))]),
        {"classifier__epochs": [1, 2]},
        cv=2,
    )
    cells = synthetic_dataset(12)
    search.fit(cells, cells.obs["cell_type"])
    assert search.best_estimator_[-1].epochs == 1
    assert search.predict(cells[:2]).tolist() == ["B cell", "B cell"]


def test_fit_predict_and_score():
    # Of one length, as every other one is compiled for.
    cells = kg.RankValueTokenizer(tiny_vocabulary(), max_length=32)(synthetic_cells(96))
    numbers = cells.obs["cell_type"].map({"B cell": 10, "T cell": 2, "monocyte": 30})
    cells.obs = cells.obs.assign(kind=numbers)
    backbone = tiny_backbone(num_layers=1)
    classifier = CellClassifier(
        backbone, "kind", batch_size=24, learning_rate=1e-2, epochs=3, validation=0.25
    ).fit(cells)
    assert classifier.classes_.tolist() == [2, 10, 30]
    probabilities = classifier.predict_proba(cells)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    labels = classifier.predict(cells)
    assert labels.dtype == numbers.dtype
    assert classifier.score(cells) == (labels == numbers).mean() > 0.6
    assert list(cells.obs.columns) == [*synthetic_cells(1).obs.columns, "kind"]


@pytest.mark.parametrize(
    ("parameters", "given", "y", "message"),
    [
        ({}, "cells", None, r"There is no y, and label_key is None; expected one of the two"),
        ({}, "cells", ["B"], r"y has 1 labels for 9 cells; expected one each"),
        ({}, "cells", [["B"]] * 9, r"y has the shape \(9, 1\); expected one label a cell, \(9,\)"),
        ({}, "cells", [None] * 9, r"9 of 9 cells have no label\. Leave them out"),
        ({}, "cells", [1, "1"] + ["2"] * 7, r"y mixes int and str; expected labels of one type"),
        ({}, "adata", ["B"] * 9, r"The model comes without a vocabulary, which tokenizing"),
        ({}, "array", ["B"] * 9, r"Received a ndarray as X; expected an AnnData"),
    ],
)
def test_what_cannot_be_fitted_is_refused(parameters, given, y, message):
    X = {
        "cells": synthetic_dataset(9),
        "adata": synthetic_cells(9),
        "array": np.zeros((9, 2)),
    }[given]
    y = None if y is None else np.array(y, dtype=object)
    with pytest.raises(ValueError, match=message):
        CellClassifier(object(), **parameters).fit(X, y)


def test_cells_that_would_get_no_label_are_refused():
    adata = synthetic_cells(9)
    adata.X[4] = 0
    adata.obs = adata.obs.drop(columns="n_counts")
    classifier = _Half(vocabulary=tiny_vocabulary())
    with pytest.raises(ValueError, match=r"1 of 9 cells were dropped in tokenizing and would"):
        classifier.fit(adata, adata.obs["cell_type"])
