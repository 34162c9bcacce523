"""What a fine-tuned classifier says of every cell."""

import os
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.data.compatibility import check_vocabulary
from keras_geneformer.data.inference import (
    Forward,
    compile_forward,
    inference_batches,
    run_batches,
)
from keras_geneformer.models.cell_classifier import GeneformerCellClassifier


def predict(
    classifier: Any, cells: Any, *, batch_size: int | None = None, progress: bool = False
) -> pd.DataFrame:
    """Classify cells.

    Args:
        classifier: a `GeneformerCellClassifier`, or the name or directory of its preset.
        cells: a `CellDataset` of the classifier's vocabulary.
        batch_size: cells a batch; by default as many as 8192 tokens hold.
        progress: show a bar.

    Returns:
        One row a cell, indexed and ordered as `cells.obs`: `label`, the likeliest class, and
        `prob_<class>` for every class, which sum to 1. Classes without names are called "0", "1"...

    Raises:
        ValueError: it is no cell classifier, or the cells are of another vocabulary, too long, or
            none.

    Example:
        >>> from keras_geneformer import GeneformerCellClassifier
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> classifier = GeneformerCellClassifier(tiny_backbone(), classes=["B", "T"])
        >>> predict(classifier, synthetic_dataset(3)).columns.tolist()
        ['label', 'prob_B', 'prob_T']
    """
    if isinstance(classifier, (str, os.PathLike)):
        classifier = GeneformerCellClassifier.from_preset(classifier)
    if not isinstance(classifier, GeneformerCellClassifier):
        raise ValueError(
            f"Received a {type(classifier).__name__} to predict with; expected a "
            "GeneformerCellClassifier (finetune_cells makes one) or the preset of one."
        )
    backbone = classifier.backbone
    check_vocabulary(
        cells,
        classifier.vocabulary_checksum,
        backbone.vocabulary_size,
        backbone.max_sequence_length,
        backbone.special_token_ids,
    )
    forward = compile_forward(classifier)
    probabilities = class_probabilities(
        forward, cells, classifier.num_classes, batch_size, backbone.max_sequence_length, progress
    )
    names = classifier.classes or [str(number) for number in range(classifier.num_classes)]
    return prediction_table(probabilities, names, cells.obs.index)


def class_probabilities(
    forward: Forward,
    cells: Any,
    num_classes: int,
    batch_size: int | None = None,
    max_length: int | None = None,
    progress: bool = False,
) -> np.ndarray:
    """(cells, classes) float64 probabilities, in the order of the cells."""
    probabilities = np.empty((len(cells), num_classes))
    batches = inference_batches(cells, batch_size, max_length)
    for rows, _, scores in run_batches(forward, batches, progress, "predict"):
        scores = scores.astype(np.float64)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities[rows] = scores / scores.sum(axis=1, keepdims=True)
    return probabilities


def prediction_table(
    probabilities: np.ndarray, classes: list[str], index: pd.Index
) -> pd.DataFrame:
    """`label` and `prob_<class>` columns from probabilities."""
    labels = np.asarray(classes, dtype=object)[probabilities.argmax(axis=1)]
    columns = [f"prob_{name}" for name in classes]
    table = pd.DataFrame(probabilities, index=index, columns=columns)
    table.insert(0, "label", labels)
    return table
