"""What a multi-task classifier says of every cell."""

import os
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.data.compatibility import check_vocabulary
from keras_geneformer.data.inference import Forward, compile_forward
from keras_geneformer.models.multitask_classifier import GeneformerMultiTaskClassifier
from keras_geneformer.training.finetuning.calibration import softmax
from keras_geneformer.training.finetuning.prediction import check_kind
from keras_geneformer.training.finetuning.scores import raw_scores


def predict_tasks(
    classifier: Any, cells: Any, *, batch_size: int | None = None, progress: bool = False
) -> dict[str, pd.DataFrame]:
    """Classify cells in several ways at once.

    Picture: `kg.plotting.label_confidence` of each task.

    Args:
        classifier: a `GeneformerMultiTaskClassifier`, or the name or directory of its preset.
        cells: a `CellDataset` of the classifier's vocabulary.
        batch_size: cells a batch; by default as many as 8192 tokens hold.
        progress: show a bar.

    Returns:
        For each task a table as `predict` gives it: one row a cell, indexed and ordered as
        `cells.obs`, with `label` and `prob_<class>`.

    Raises:
        ValueError: it is no multi-task classifier, or the cells are of another vocabulary, too
            long, or none.

    Example:
        >>> from keras_geneformer import GeneformerMultiTaskClassifier
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> classifier = GeneformerMultiTaskClassifier(
        ...     tiny_backbone(), tasks={"type": ["B", "T"], "sex": ["f", "m"]})
        >>> predict_tasks(classifier, synthetic_dataset(3))["sex"].columns.tolist()
        ['label', 'prob_f', 'prob_m']
    """
    if isinstance(classifier, (str, os.PathLike)):
        check_kind(classifier, GeneformerMultiTaskClassifier)
        classifier = GeneformerMultiTaskClassifier.from_preset(classifier)
    if not isinstance(classifier, GeneformerMultiTaskClassifier):
        raise ValueError(
            f"Received a {type(classifier).__name__} to predict with; expected a "
            "GeneformerMultiTaskClassifier (finetune_multitask makes one) or the preset of one."
        )
    backbone = classifier.backbone
    check_vocabulary(
        cells,
        classifier.vocabulary_checksum,
        backbone.vocabulary_size,
        backbone.max_sequence_length,
        backbone.special_token_ids,
    )
    forward = compile_forward(classifier.joined_scores())
    scores = task_scores(classifier, forward, cells, batch_size, progress)
    return {
        task: task_table(of_task, classifier.tasks[task], cells.obs.index)
        for task, of_task in scores.items()
    }


def task_scores(
    classifier: GeneformerMultiTaskClassifier,
    forward: Forward,
    cells: Any,
    batch_size: int | None = None,
    progress: bool = False,
) -> dict[str, np.ndarray]:
    """For each task (cells, classes) float32 scores, before any softmax.

    Args:
        classifier: whose scores they are.
        forward: its `joined_scores`, compiled.
        cells: a `CellDataset`.
        batch_size: cells a batch.
        progress: show a bar.
    """
    widths = [len(classes) for classes in classifier.tasks.values()]
    longest = classifier.backbone.max_sequence_length
    joined = raw_scores(forward, cells, sum(widths), batch_size, longest, progress)
    parts = np.split(joined, np.cumsum(widths)[:-1], axis=1)
    return dict(zip(classifier.tasks, parts))


def task_table(scores: np.ndarray, classes: list[str], index: pd.Index) -> pd.DataFrame:
    """`label` and `prob_<class>` columns from the scores of a task."""
    probabilities = softmax(scores)
    columns = [f"prob_{name}" for name in classes]
    table = pd.DataFrame(probabilities, index=index, columns=columns)
    table.insert(0, "label", np.asarray(classes, dtype=object)[probabilities.argmax(axis=1)])
    return table
