"""Methods to hold Geneformer against, each fitted on the training cells of a fold alone."""

import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from keras_geneformer.evaluation.castle_features import binned, castle_genes, expression_levels
from keras_geneformer.evaluation.count_features import (
    AlignedCounts,
    components,
    log_normalised,
)

DEFAULT_BASELINES = (
    *("logistic-regression", "svm", "random-forest", "xgboost", "knn"),
    "untrained-1",
)
"""What `compare` holds Geneformer against where nothing is said."""

NEIGHBOURS = 15
_UNTRAINED = re.compile(r"untrained(?:-([1-9]\d*))?")


@dataclass(frozen=True)
class BaselineInputs:
    """What baselines may look at, for all cells; the rows of a fold are chosen from it."""

    labels: np.ndarray
    """(cells,) classes; those of test rows are never looked at."""
    counts: AlignedCounts | None = None
    """For the methods on counts."""
    embedding: np.ndarray | None = None
    """(cells, hidden_dim), of the model as it was given, which saw no label: for `knn`."""

    def given_counts(self) -> AlignedCounts:
        """The counts.

        Raises:
            ValueError: there are none.
        """
        if self.counts is None:
            raise ValueError("This baseline looks at counts, and none were given.")
        return self.counts

    def given_embedding(self) -> np.ndarray:
        """The embedding.

        Raises:
            ValueError: there is none.
        """
        if self.embedding is None:
            raise ValueError("This baseline looks at an embedding, and none was given.")
        return self.embedding

    def log_counts(self) -> sp.csr_matrix:
        """log(1 + counts per 10,000)."""
        given = self.given_counts()
        return log_normalised(given.counts, given.totals)


class _Fold(NamedTuple):
    """What a method sees: everything but the classes of the test rows."""

    inputs: BaselineInputs
    labels: np.ndarray
    classes: np.ndarray
    training: np.ndarray
    test: np.ndarray
    seed: int

    def components(self) -> tuple[np.ndarray, np.ndarray]:
        return components(self.inputs.log_counts(), self.training, self.test, self.seed)


def run_baseline(
    name: str, inputs: BaselineInputs, training: np.ndarray, test: np.ndarray, seed: int = 0
) -> pd.DataFrame:
    """Fit a baseline on some cells and label others.

    - `majority`: the commonest class of the training cells.
    - `logistic-regression`: multinomial, C=1, on 50 components (truncated SVD, fitted on the
      training cells, then scaled) of log(1 + counts per 10,000).
    - `svm`, `svm-linear`: C=1, the RBF kernel or the linear one, on the same components. Without
      probabilities.
    - `random-forest`: 500 trees on log(1 + counts per 10,000) of the 2,000 genes that vary most in
      the training cells.
    - `xgboost`: 200 trees a class of depth 5, rate .1, on the features of CaSTLe (see
      `castle_features`). Needs the extra `[baselines]`.
    - `knn`: the 15 nearest training cells by the cosine of the embedding, weighted by nearness.

    Args:
        name: one of these.
        inputs: of all cells.
        training, test: rows.
        seed: of what is drawn.

    Returns:
        One row a test cell: `label` and, but for the SVMs, `prob_<class>` of every class of the
        training cells.

    Raises:
        ValueError: there is no such baseline, or what it looks at was not given.
        ImportError: it needs a package that is not installed.
    """
    if name not in _METHODS:
        raise ValueError(unknown_baseline(name))
    labels = inputs.labels[training]
    return _METHODS[name](_Fold(inputs, labels, np.unique(labels), training, test, seed))


def check_baselines(names: Any) -> tuple[str, ...]:
    """The names of baselines, refused before any work is done where one cannot be run.

    Raises:
        ValueError: an unknown name, or one given twice.
        ImportError: a package is not installed.
    """
    names = tuple([names] if isinstance(names, str) else names)
    for name in names:
        if name not in _METHODS and not is_untrained(name):
            raise ValueError(unknown_baseline(name))
        if names.count(name) > 1:
            raise ValueError(f"The baseline {name!r} is given twice; expected each once.")
    if "xgboost" in names and importlib.util.find_spec("xgboost") is None:
        raise ImportError(_NEEDS_XGBOOST)
    return names


def needs_counts(name: str) -> bool:
    """Whether a baseline looks at counts."""
    return name in _METHODS and name not in ("knn", "majority")


def is_untrained(name: str) -> bool:
    """Whether a baseline is the network itself from random weights."""
    return _UNTRAINED.fullmatch(name) is not None


def untrained_layers(name: str, layers: int) -> int:
    """Encoder blocks of an untrained network: those it is named with, else the given ones.

    Example:
        >>> untrained_layers("untrained-3", 6), untrained_layers("untrained", 6)
        (3, 6)
    """
    match = _UNTRAINED.fullmatch(name)
    assert match is not None
    return int(match[1]) if match[1] else layers


def unknown_baseline(name: str) -> str:
    """The message for a name that is none."""
    return (
        f"There is no baseline {name!r}; expected one of {', '.join(_METHODS)}, untrained, or "
        "untrained-N with N encoder blocks."
    )


_NEEDS_XGBOOST = (
    "the baseline xgboost needs XGBoost: pip install 'keras_geneformer[baselines]', or leave it out"
)


def _majority(fold: _Fold) -> pd.DataFrame:
    shares = np.array([(fold.labels == name).mean() for name in fold.classes])
    return _table(fold.classes, np.tile(shares, (len(fold.test), 1)))


def _logistic_regression(fold: _Fold) -> pd.DataFrame:
    train, held = fold.components()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return _table(fold.classes, model.fit(train, fold.labels).predict_proba(held))


def _svm(kernel: str) -> Callable[..., pd.DataFrame]:
    def run(fold: _Fold) -> pd.DataFrame:
        train, held = fold.components()
        model = make_pipeline(StandardScaler(), SVC(kernel=kernel))
        return pd.DataFrame({"label": model.fit(train, fold.labels).predict(held).astype(object)})

    return run


def _random_forest(fold: _Fold) -> pd.DataFrame:
    features = fold.inputs.log_counts()
    train = features[fold.training]
    variance = np.asarray(train.multiply(train).mean(axis=0)).ravel()
    variance -= np.asarray(train.mean(axis=0)).ravel() ** 2
    genes = np.sort(np.argsort(-variance, kind="stable")[:2000])
    model = RandomForestClassifier(500, random_state=fold.seed, n_jobs=-1)
    model.fit(train[:, genes], fold.labels)
    return _table(fold.classes, model.predict_proba(features[fold.test][:, genes]))


def _xgboost(fold: _Fold) -> pd.DataFrame:
    try:
        from xgboost import XGBClassifier
    except ImportError as error:
        raise ImportError(_NEEDS_XGBOOST) from error
    given = fold.inputs.given_counts()
    levels = expression_levels(given.counts, given.totals)
    genes = castle_genes(levels[fold.training], fold.labels)
    model = XGBClassifier(
        n_estimators=200, max_depth=5, learning_rate=0.1, random_state=fold.seed, tree_method="hist"
    )
    model.fit(binned(levels[fold.training], genes), np.searchsorted(fold.classes, fold.labels))
    return _table(fold.classes, model.predict_proba(binned(levels[fold.test], genes)))


def _knn(fold: _Fold) -> pd.DataFrame:
    model = KNeighborsClassifier(
        min(NEIGHBOURS, len(fold.training)), weights="distance", metric="cosine"
    )
    embedding = fold.inputs.given_embedding()
    model.fit(embedding[fold.training], fold.labels)
    return _table(fold.classes, model.predict_proba(embedding[fold.test]))


def _table(classes: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame(
        probabilities.astype(np.float64), columns=[f"prob_{name}" for name in classes]
    )
    table.insert(0, "label", classes.astype(object)[probabilities.argmax(axis=1)])
    return table


_METHODS: dict[str, Callable[..., pd.DataFrame]] = {
    "majority": _majority,
    "logistic-regression": _logistic_regression,
    "svm": _svm("rbf"),
    "svm-linear": _svm("linear"),
    "random-forest": _random_forest,
    "xgboost": _xgboost,
    "knn": _knn,
}
