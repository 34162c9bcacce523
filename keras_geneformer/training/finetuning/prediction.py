"""What a fine-tuned classifier says of every cell."""

import os
from typing import Any

import pandas as pd

from keras_geneformer.data.compatibility import check_vocabulary
from keras_geneformer.data.inference import compile_forward
from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.models.multitask_classifier import GeneformerMultiTaskClassifier
from keras_geneformer.models.preset_format import is_preset, read_description
from keras_geneformer.models.preset_source import preset_directory
from keras_geneformer.training.finetuning.held_out import CellReader
from keras_geneformer.training.finetuning.scores import raw_scores, score_table

UNASSIGNED = "unassigned"
"""The label of cells that get none."""


def predict(
    classifier: Any,
    cells: Any,
    *,
    unassigned: str | float | None = None,
    batch_size: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Classify cells.

    Picture: `kg.plotting.label_confidence`; with the true labels `reliability_diagram`,
    `roc_curves`.

    Args:
        classifier: a `GeneformerCellClassifier`, or the name or directory of its preset.
        cells: a `CellDataset` of the classifier's vocabulary.
        unassigned: which cells are labelled `"unassigned"`: `"confidence"`, those below the
            threshold that fine-tuning calibrated (above it, 95 % of the validation cells were
            right); a number between 0 and 1, those whose greatest probability is below it;
            `"distance"`, those farther from every class's training cells than 99 % of the
            validation cells were from the nearest (Mahalanobis distance; for types that the
            classifier has never seen). None labels all.
        batch_size: cells a batch; by default as many as 8192 tokens hold.
        progress: show a bar.

    Returns:
        One row a cell, indexed and ordered as `cells.obs`: `label`, the likeliest class, and
        `prob_<class>` for every class, which sum to 1 (by the temperature that fine-tuning
        calibrated). Classes without names are called "0", "1"... With `"distance"` also
        `distance`. A multi-label classifier's labels are joined by `;` and its probabilities are
        of each alone; a regression gives `value_<column>` in their place.

    Raises:
        ValueError: it is no cell classifier, or the cells are of another vocabulary, too long, or
            none; `unassigned` of a classifier that was not calibrated, or has no classes.

    Example:
        >>> from keras_geneformer import GeneformerCellClassifier
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> classifier = GeneformerCellClassifier(tiny_backbone(), classes=["B", "T"])
        >>> predict(classifier, synthetic_dataset(3)).columns.tolist()
        ['label', 'prob_B', 'prob_T']
    """
    if isinstance(classifier, (str, os.PathLike)):
        check_kind(classifier)
        classifier = GeneformerCellClassifier.from_preset(classifier)
    if not isinstance(classifier, GeneformerCellClassifier):
        raise ValueError(
            f"Received a {type(classifier).__name__} to predict with; expected a "
            "GeneformerCellClassifier (finetune_cells makes one) or the preset of one."
        )
    _check_unassigned(classifier, unassigned)
    backbone = classifier.backbone
    check_vocabulary(
        cells,
        classifier.vocabulary_checksum,
        backbone.vocabulary_size,
        backbone.max_sequence_length,
        backbone.special_token_ids,
    )
    options = (batch_size, backbone.max_sequence_length, progress)
    index = cells.obs.index
    calibration: Any = classifier.calibration
    if unassigned != "distance":
        forward = compile_forward(classifier.network())
        table = score_table(
            classifier, raw_scores(forward, cells, classifier.num_classes, *options), index
        )
        if unassigned is None:
            return table
        threshold = calibration.threshold if unassigned == "confidence" else float(unassigned)
        confidence = table.filter(like="prob_").max(axis=1)
        table.loc[(confidence < threshold).to_numpy(), "label"] = UNASSIGNED
        return table
    features = raw_scores(
        compile_forward(classifier.feature_model()), cells, backbone.hidden_dim, *options
    )
    table = score_table(classifier, CellReader(classifier).scores(features), index)
    distances = calibration.distances(features).min(axis=1)
    table.loc[distances > calibration.distance, "label"] = UNASSIGNED
    table["distance"] = distances
    return table


def check_kind(preset: Any, expected: Any = GeneformerCellClassifier) -> None:
    """Refuse a preset of another model, which would be read as one with a new head.

    Args:
        preset: its name or directory.
        expected: the class of the model.

    Raises:
        ValueError: names what it holds, and what takes that.
    """
    directory = preset_directory(preset)
    held = read_description(directory)["model"] if is_preset(directory) else expected.__name__
    if held == expected.__name__:
        return
    instead = {
        GeneformerCellClassifier.__name__: "predict labels cells with it",
        GeneformerMultiTaskClassifier.__name__: "predict_tasks gives a table for each obs column",
        "GeneformerGeneClassifier": "predict_genes labels genes with it",
    }.get(held, "fine-tune it first")
    raise ValueError(f"The preset {preset} holds a {held}, not a {expected.__name__}: {instead}.")


def _check_unassigned(classifier: Any, unassigned: str | float | None) -> None:
    if unassigned is None:
        return
    if classifier.task != "single-label":
        raise ValueError(
            f"Received unassigned={unassigned!r} and a {classifier.task} classifier: only cells of "
            "one class each can be left without one."
        )
    if isinstance(unassigned, str):
        if unassigned not in ("confidence", "distance"):
            raise ValueError(
                f"Received unassigned={unassigned!r}; expected 'confidence', 'distance', a number "
                "between 0 and 1, or None."
            )
        if classifier.calibration is None:
            raise ValueError(
                f"Received unassigned={unassigned!r}, and this classifier was not calibrated: "
                "fine-tune it with calibrate=True and validation cells, or give the least "
                "probability as a number."
            )
    elif not 0 < unassigned <= 1:
        raise ValueError(
            f"Received unassigned={unassigned}; expected a probability above 0, up to 1."
        )
