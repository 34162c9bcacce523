"""The classifiers of all folds, scoring one after another through one compiled model."""

from typing import Any

import numpy as np

from keras_geneformer.data.inference import compile_forward
from keras_geneformer.training.finetuning.gene_scores import GeneScores, score_genes


class GeneScorer:
    """Scores genes with the weights of one classifier after another, compiled once.

    Compiling takes longer than scoring a thousand short cells, and the folds' classifiers differ in
    nothing but weights. One that has other weights (adapters, while it trains) is compiled itself.

    Args:
        cells: a `CellDataset`.
        progress: show bars.

    Example:
        >>> from keras_geneformer import GeneformerGeneClassifier
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> scorer = GeneScorer(synthetic_dataset(4))
        >>> classifier = GeneformerGeneClassifier(tiny_backbone(), classes=["no", "yes"])
        >>> scorer.score(classifier, np.array([2, 3])).mean().shape
        (2, 2)
    """

    def __init__(self, cells: Any, progress: bool = False) -> None:
        self._cells = cells
        self._progress = progress
        self._model: Any = None
        self._forward: Any = None
        self._unlike: tuple[Any, Any] | None = None

    def score(
        self,
        classifier: Any,
        tokens: np.ndarray,
        *,
        keep_positions: bool = False,
        description: str = "",
    ) -> GeneScores:
        """Score genes in every cell that holds any of them, as `score_genes` does.

        Args:
            classifier: a `GeneformerGeneClassifier`.
            tokens: (G,) token ids of the genes.
            keep_positions: as in `GeneScores`.
            description: of the bar; without one there is none.
        """
        return score_genes(
            classifier,
            self._cells,
            tokens,
            keep_positions=keep_positions,
            progress=self._progress and bool(description),
            description=description,
            forward=self._compiled(classifier),
        )

    def _compiled(self, classifier: Any) -> Any:
        if self._model is None:
            self._model = type(classifier).from_config(classifier.get_config())
            self._forward = compile_forward(self._model)
        weights = classifier.get_weights()
        if [weight.shape for weight in weights] == [tuple(w.shape) for w in self._model.weights]:
            self._model.set_weights(weights)
            return self._forward
        if self._unlike is None or self._unlike[0] is not classifier:
            self._unlike = classifier, compile_forward(classifier)
        return self._unlike[1]
