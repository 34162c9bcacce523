"""The cell classifier as scikit-learn knows classifiers.

It takes AnnData or `CellDataset` as X, which scikit-learn slices by rows as it does arrays, so it
stands in `cross_val_score`, `GridSearchCV` and `Pipeline` beside any other classifier.
"""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError

from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary
from keras_geneformer.tokenization.tokenizer import RankValueTokenizer

__all__ = ["CellClassifier"]

_LABEL = "label"
_HERE = (
    *("model", "label_key", "vocabulary", "max_length", "gene_key", "layer"),
    *("validation", "progress"),
)
"""Parameters that are no settings of training."""


class CellClassifier(ClassifierMixin, BaseEstimator):
    """`finetune_cells` and `predict` behind `fit`, `predict`, `predict_proba` and `score`.

    Args:
        model: a backbone, a model that has one, or a preset's name or directory.
        label_key: column of obs with the classes, for a `fit` and `score` without y.
        vocabulary: to tokenize AnnData with. Default: the preset's own.
        max_length: longest cell, in tokens, of those tokenized here. Default: the vocabulary's.
        gene_key: column of var with gene ids (see `RankValueTokenizer`).
        layer: layer of AnnData with the counts. Default: X.
        validation: share of the cells given to `fit`, or column of obs (donor, say), held out
            there to choose the epoch whose weights are kept.
        progress: show bars.
        epochs, batch_size, ... seed: how to train, as `FinetuneSettings` has them.

    Attributes:
        classes_: the classes, sorted, of the type of y.
        result_: the `FinetuneResult`; `result_.model` is the classifier to keep.

    Raises:
        ValueError: at `fit`, as `finetune_cells` does; where AnnData come without a vocabulary, or
            have cells without a known gene, which could get no label.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> cells = synthetic_dataset(60)
        >>> classifier = CellClassifier(tiny_backbone(num_layers=1), label_key="cell_type")
        >>> classifier.fit(cells).classes_.tolist()
        ['B cell', 'T cell', 'monocyte']
        >>> classifier.predict_proba(cells[:2]).shape
        (2, 3)
    """

    def __init__(
        self,
        model: Any = "geneformer_mini",
        label_key: str | None = None,
        vocabulary: Any = None,
        max_length: int | None = None,
        gene_key: str | None = "ensembl_id",
        layer: str | None = None,
        validation: float | str = 0.1,
        progress: bool = False,
        *,
        epochs: float = 1.0,
        batch_size: int = 12,
        learning_rate: float = 5e-4,
        warmup: float = 0.1,
        decay: str = "linear",
        weight_decay: float = 0.001,
        clip_norm: float | None = 1.0,
        loss: str = "cross_entropy",
        label_smoothing: float = 0.0,
        focal_gamma: float = 2.0,
        class_weights: str | Mapping[str, float] | None = None,
        sampling: str | None = None,
        freeze_layers: int = 0,
        freeze_embeddings: bool | None = None,
        unfreeze: float | None = None,
        layer_decay: float = 1.0,
        lora: int | None = None,
        lora_alpha: float | None = None,
        lora_targets: tuple[str, ...] = ("query", "value"),
        merge: bool = True,
        quantize: str | None = None,
        prune: float | None = None,
        prune_schedule: str | None = None,
        prune_end: float = 0.5,
        early_stopping: int | None = None,
        head_layers: int = 0,
        head_dropout: float | None = None,
        pooling: str = "first",
        deterministic: bool = False,
        cache: bool | None = None,
        distribute: str | None = None,
        seed: int = 0,
    ) -> None:
        self.model = model
        self.label_key = label_key
        self.vocabulary = vocabulary
        self.max_length = max_length
        self.gene_key = gene_key
        self.layer = layer
        self.validation = validation
        self.progress = progress
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.warmup = warmup
        self.decay = decay
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.loss = loss
        self.label_smoothing = label_smoothing
        self.focal_gamma = focal_gamma
        self.class_weights = class_weights
        self.sampling = sampling
        self.freeze_layers = freeze_layers
        self.freeze_embeddings = freeze_embeddings
        self.unfreeze = unfreeze
        self.layer_decay = layer_decay
        self.lora = lora
        self.lora_alpha = lora_alpha
        self.lora_targets = lora_targets
        self.merge = merge
        self.quantize = quantize
        self.prune = prune
        self.prune_schedule = prune_schedule
        self.prune_end = prune_end
        self.early_stopping = early_stopping
        self.head_layers = head_layers
        self.head_dropout = head_dropout
        self.pooling = pooling
        self.deterministic = deterministic
        self.cache = cache
        self.distribute = distribute
        self.seed = seed

    def fit(self, X: Any, y: Any = None) -> "CellClassifier":
        """Fine-tune on cells.

        Args:
            X: an AnnData or a `CellDataset`.
            y: (cells,) their classes. Default: the column `label_key` of obs.

        Returns:
            Itself.
        """
        from keras_geneformer.training.finetuning.cell_finetuning import finetune_cells

        cells = self._cells(X)
        truth = self._truth(cells, y)
        try:
            classes = np.unique(truth)
        except TypeError:
            kinds = sorted({type(label).__name__ for label in truth})
            raise ValueError(
                f"y mixes {' and '.join(kinds)}; expected labels of one type"
            ) from None
        cells = cells[:]
        cells.obs = cells.obs.assign(**{_LABEL: pd.Series(truth, cells.obs.index).astype(str)})
        parameters = self.get_params(deep=False)
        settings = {name: value for name, value in parameters.items() if name not in _HERE}
        self.result_ = finetune_cells(
            self.model,
            cells,
            _LABEL,
            validation=self.validation,
            progress=self.progress,
            **settings,
        )
        self.classes_ = classes
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """(cells, classes) probabilities, in the order of `classes_`.

        Raises:
            sklearn.exceptions.NotFittedError: before `fit`.
        """
        from keras_geneformer.training.finetuning.prediction import predict

        if not self.__sklearn_is_fitted__():
            raise NotFittedError(
                "This CellClassifier is not fitted yet: call fit with labelled cells first."
            )
        table = predict(self.result_.model, self._cells(X), progress=self.progress)
        return table[[f"prob_{name}" for name in self.classes_]].to_numpy()

    def predict(self, X: Any) -> np.ndarray:
        """(cells,) the likeliest class of each.

        Raises:
            sklearn.exceptions.NotFittedError: before `fit`.
        """
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Accuracy; y is the column `label_key` of obs where it is not given."""
        cells = self._cells(X)
        return super().score(cells, self._truth(cells, y), sample_weight)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "result_")

    def _cells(self, given: Any) -> CellDataset:
        if isinstance(given, CellDataset):
            return given
        if not hasattr(given, "n_obs"):
            raise ValueError(
                f"Received a {type(given).__name__} as X; expected an AnnData with raw counts, or "
                "a CellDataset."
            )
        tokenizer = RankValueTokenizer(self._vocabulary(), max_length=self.max_length)
        cells = tokenizer(given, gene_key=self.gene_key, layer=self.layer)
        if len(cells) != given.n_obs:
            why = "" if cells.report is None else cells.report.summary()
            raise ValueError(
                f"{given.n_obs - len(cells)} of {given.n_obs} cells were dropped in tokenizing and "
                f"would have no row in the answer: leave them out first. {why}"
            )
        return cells

    def _vocabulary(self) -> GeneVocabulary:
        if isinstance(self.vocabulary, GeneVocabulary):
            return self.vocabulary
        if self.vocabulary is not None:
            return GeneVocabulary.load(self.vocabulary)
        found = None
        if isinstance(self.model, (str, os.PathLike)):
            from keras_geneformer.models.presets import preset_vocabulary

            found = preset_vocabulary(self.model)
        if found is None:
            raise ValueError(
                "The model comes without a vocabulary, which tokenizing AnnData needs: give "
                "vocabulary ('v1', 'v2', a directory or a GeneVocabulary), or a CellDataset as X."
            )
        return found

    def _truth(self, cells: CellDataset, y: Any) -> np.ndarray:
        if y is None:
            if self.label_key is None or self.label_key not in cells.obs:
                raise ValueError(
                    f"There is no y, and label_key is {self.label_key!r}; expected one of the two, "
                    "label_key among obs columns "
                    f"{', '.join(map(str, cells.obs.columns)) or '(none)'}."
                )
            y = cells.obs[self.label_key]
        truth = np.asarray(y)
        if truth.ndim != 1:
            raise ValueError(
                f"y has the shape {truth.shape}; expected one label a cell, ({len(cells)},)"
            )
        if len(truth) != len(cells):
            raise ValueError(f"y has {len(truth)} labels for {len(cells)} cells; expected one each")
        if pd.isna(truth).any():
            raise ValueError(
                f"{int(pd.isna(truth).sum())} of {len(truth)} cells have no label. Leave them out"
            )
        return truth
