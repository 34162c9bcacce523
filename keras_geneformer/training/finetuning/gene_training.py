"""Training a gene classifier on some genes of a list, in every cell that holds one of them."""

from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_geneformer.models.backbone_of import copy_backbone
from keras_geneformer.models.gene_classifier import GeneformerGeneClassifier
from keras_geneformer.tokenization.genes.gene_lists import GeneClasses, cells_with_token
from keras_geneformer.training.finetuning.batches import TargetBatches, Targets
from keras_geneformer.training.finetuning.class_weights import class_weights
from keras_geneformer.training.finetuning.gene_folds import area_under_roc
from keras_geneformer.training.finetuning.gene_scorer import GeneScorer
from keras_geneformer.training.finetuning.gene_scores import holding
from keras_geneformer.training.finetuning.losses import make_loss
from keras_geneformer.training.finetuning.running import run_finetuning
from keras_geneformer.training.finetuning.sampling import resample
from keras_geneformer.training.finetuning.settings import FinetuneSettings
from keras_geneformer.training.splits import split_by_cell


def train_gene_classifier(
    backbone: Any,
    cells: Any,
    genes: GeneClasses,
    rows: np.ndarray,
    settings: FinetuneSettings,
    *,
    seed: int,
    validation: float | None = None,
    scorer: GeneScorer | None = None,
    progress: bool = False,
    description: str = "fine-tune",
) -> tuple[GeneformerGeneClassifier, pd.DataFrame]:
    """Train a classifier on a copy of a backbone.

    Every position of the genes in `rows` counts, in every cell; nothing else does: neither other
    genes of the list, nor unlabelled genes, padding or special tokens. Cells that hold none of the
    genes are left out.

    Args:
        backbone: a `GeneformerBackbone`; it is not changed.
        cells: a `CellDataset`.
        genes: the list.
        rows: numbers of the genes to train on.
        settings: how; `sampling` of `"upsample"` and `"downsample"` repeats and leaves out genes.
        seed: of the head's weights, the shuffling and dropout.
        validation: share of every class's training genes that is held out to choose the epoch by.
        scorer: scores those; one of its own by default.
        progress: show a bar.
        description: of the bar.

    Returns:
        The classifier, and one row a step.
    """
    size = backbone.vocabulary_size
    held = np.zeros(0, dtype=np.int64)
    if validation is not None:
        kept, held = split_by_cell(genes.labels[rows], validation, seed)
        rows, held = rows[kept], rows[held]
    keras.utils.set_random_seed(seed)
    classifier = GeneformerGeneClassifier(
        copy_backbone(backbone),
        classes=list(genes.classes),
        head_layers=settings.head_layers,
        head_dropout=settings.head_dropout,
    )
    counts = np.ones(len(rows), dtype=np.int64)
    if settings.sampling is not None:
        drawn = resample(genes.labels[rows], settings.sampling, seed)
        counts = np.bincount(drawn, minlength=len(rows))
    learning = cells.subset(holding(cells, genes.tokens[rows[counts > 0]], size))
    batches = TargetBatches(
        learning,
        gene_targets(genes.tokens[rows], genes.labels[rows], counts, size),
        batch_size=settings.batch_size,
        shuffle=True,
        seed=seed,
        max_length=backbone.max_sequence_length,
    )
    weights = None
    if settings.class_weights is not None:
        positions = counts * cells_with_token(learning, size)[genes.tokens[rows]]
        weights = class_weights(
            np.repeat(genes.labels[rows], positions),
            len(genes.classes),
            settings.class_weights,
            classes=genes.classes,
        )
    objective = make_loss(
        settings.loss,
        num_classes=len(genes.classes),
        class_weights=weights,
        label_smoothing=settings.label_smoothing,
        focal_gamma=settings.focal_gamma,
    )
    watched = None
    if len(held):
        watched = _HeldGenes(classifier, genes, held, scorer or GeneScorer(cells))
    history = run_finetuning(
        classifier,
        batches,
        settings,
        objective=objective,
        after_epoch=watched,
        progress=progress,
        description=description,
    )
    return classifier, history


def gene_targets(tokens: np.ndarray, labels: np.ndarray, weights: np.ndarray, size: int) -> Targets:
    """Labels and weights of positions from those of genes.

    Args:
        tokens: (G,) token ids.
        labels: (G,) class of each.
        weights: (G,) weight of each.
        size: number of token ids of the vocabulary.

    Returns:
        A function from rows and token ids (B, N) to labels int32 and weights float32, (B, N); of
        any other token the weight is 0.

    Example:
        >>> targets = gene_targets(np.array([4, 6]), np.array([1, 0]), np.array([1, 2]), 8)
        >>> labels, weights = targets(np.array([0]), np.array([[6, 5, 4, 0]]))
        >>> labels.tolist(), weights.tolist()
        ([[0, 0, 1, 0]], [[2.0, 0.0, 1.0, 0.0]])
    """
    label_of = np.zeros(size, dtype=np.int32)
    weight_of = np.zeros(size, dtype=np.float32)
    label_of[tokens] = labels
    weight_of[tokens] = weights
    return lambda rows, token_ids: (label_of[token_ids], weight_of[token_ids])


class _HeldGenes:
    """Scores genes held out of training after each epoch."""

    def __init__(
        self, classifier: Any, genes: GeneClasses, rows: np.ndarray, scorer: GeneScorer
    ) -> None:
        self._classifier = classifier
        self._scorer = scorer
        self._tokens = genes.tokens[rows]
        self._labels = genes.labels[rows]

    def __call__(self, epoch: int) -> dict[str, float]:
        probabilities = self._scorer.score(self._classifier, self._tokens).mean()
        area = area_under_roc(self._labels, probabilities)
        return {"validation_auc": area, "score": area}
