"""Fine-tuning on genes: from genes with classes to a model that tells classes of genes."""

import logging
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.data.compatibility import check_vocabulary
from keras_geneformer.models.backbone_of import backbone_of, copy_backbone
from keras_geneformer.models.presets import check_model_vocabulary
from keras_geneformer.tokenization.genes.gene_lists import (
    GeneClasses,
    cells_with_token,
    read_gene_classes,
)
from keras_geneformer.training.finetuning.gene_folds import (
    fold_table,
    gene_folds,
    position_roc,
    summary_of,
)
from keras_geneformer.training.finetuning.gene_output import write_gene_output
from keras_geneformer.training.finetuning.gene_prediction import (
    gene_table,
    vocabulary_of,
    wanted_tokens,
)
from keras_geneformer.training.finetuning.gene_result import GeneResult
from keras_geneformer.training.finetuning.gene_run import FoldStore, describe_run
from keras_geneformer.training.finetuning.gene_scorer import GeneScorer
from keras_geneformer.training.finetuning.gene_scores import holding
from keras_geneformer.training.finetuning.gene_training import train_gene_classifier
from keras_geneformer.training.finetuning.output import check_output
from keras_geneformer.training.finetuning.settings import FinetuneSettings

_logger = logging.getLogger(__name__)


def finetune_genes(
    model_or_preset: Any,
    cells: Any,
    genes: Any,
    *,
    folds: int | None = 5,
    cells_used: int | None = None,
    score_all: bool | str | Sequence[str] = False,
    validation: float | None = None,
    published: bool = False,
    output: str | os.PathLike | None = None,
    vocabulary: Any = None,
    progress: bool = True,
    **settings: Any,
) -> GeneResult:
    """Train a gene classifier on genes with classes, and cross-validate it over genes.

    The genes are spread over the folds, each class evenly, and no gene is in two. In each fold a
    classifier learns from every position of the other folds' genes in every cell (nothing else
    counts), and scores the genes held out in every cell that has them; their probabilities are
    averaged over cells to one row a gene. In the end a classifier learns from all labelled genes:
    it is what is returned, and what scores unlabelled genes. Each starts from the pretrained
    backbone; what was passed in is not changed.

    Global random seeds are set (of Python, numpy and the backend): `seed` plus the fold's number.

    Picture: `kg.plotting.fold_roc_curves`, `score_distribution`, `fold_scores`.

    Args:
        model_or_preset: a `GeneformerBackbone`, or a model on one (whose head is left behind), or
            the name or directory of a preset.
        cells: a `CellDataset`. Those that hold no gene of the list are left out.
        genes: a `.csv`, `.tsv` or `.parquet` file, a DataFrame, or a dict of class names to genes:
            see `read_gene_classes`. Genes in several classes, unknown to the vocabulary, or in none
            of the cells are left out and named in `report`.
        folds: how many; None trains on all labelled genes alone.
        cells_used: so many cells, drawn by `seed` from those that hold a gene of the list; by
            default all.
        score_all: True or `"all"`: score every unlabelled gene that the cells have; or a list of
            genes, of which the unlabelled ones are scored.
        validation: share of every class's training genes, held out of each training to choose the
            epoch by (`early_stopping` counts from it). None: the last epoch's weights are kept.
        published: give the figures of the published package as well: AUC over positions, a gene
            counting once in every cell, folds weighted by the points of their ROC curves. For two
            classes.
        output: a directory to write: the classifier's preset, and genes.csv, folds.csv,
            summary.json, genome.csv, history.csv and gene_list.txt beside it. Finished folds are
            kept in `.<name>.folds` beside it until then: a run that was stopped goes on after them.
        vocabulary: the `GeneVocabulary`; by default that of the cells, or of the preset.
        progress: show a bar.
        **settings: how to train, as in `FinetuneSettings`; `sampling` repeats or leaves out
            training genes.

    Returns:
        The classifier and how it did.

    Raises:
        ValueError: no gene of the list is in the vocabulary or in any cell, one class only, a class
            with fewer genes than folds, no vocabulary, an option out of range or for cells alone,
            folds of another run at `output`, or cells of another vocabulary.
        FileExistsError: `output` holds something that is not a preset.
        FloatingPointError: the loss is no longer finite.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> genes = {"marker": ["GENE1", "GENE2"], "other": ["GENE90", "GENE91"]}
        >>> result = finetune_genes(
        ...     tiny_backbone(), synthetic_dataset(30), genes, folds=2, progress=False)
        >>> result.predictions["symbol"].tolist(), result.folds["genes"].tolist()
        (['GENE1', 'GENE2', 'GENE90', 'GENE91'], [2, 2])

    Source: Theodoris et al., Nature 618, 616 (2023), "Gene classification"; averaging over cells
    and folds over genes are ours, and stated in the summary's names.
    """
    chosen = FinetuneSettings(**settings)
    _check_options(chosen, cells_used, validation)
    vocabulary = vocabulary_of(model_or_preset, cells, vocabulary)
    listed = read_gene_classes(genes, vocabulary)
    if published and len(listed.classes) != 2:
        raise ValueError(
            f"Received published=True for {len(listed.classes)} classes; the published package has "
            "an AUC of two classes alone."
        )
    if output is not None:
        check_output(output, chosen)
    given = backbone_of(model_or_preset)
    check_model_vocabulary(given, vocabulary)
    check_vocabulary(
        cells,
        given.vocabulary_checksum,
        given.vocabulary_size,
        given.max_sequence_length,
        given.special_token_ids,
    )
    cells, listed = _drawn(cells, listed, cells_used, chosen.seed, given.vocabulary_size)
    fold_of = np.zeros(len(listed), dtype=np.int64)
    if folds is not None:
        fold_of = gene_folds(listed.labels, listed.classes, folds, chosen.seed)
    if validation is not None:
        _check_validation(listed, fold_of)
    wanted = _unlabelled(score_all, cells, listed, vocabulary)
    for line in listed.report.text(most=10).splitlines()[1:]:
        _logger.warning("%s: %s", listed.report.name, line)
    backbone = copy_backbone(given)
    backbone.vocabulary_checksum = vocabulary.checksum
    backbone.special_token_ids = tuple(sorted(vocabulary.special_tokens.values()))
    run = _Run(backbone, cells, listed, fold_of, chosen, validation, published, progress)
    store = None
    if output is not None:
        options = {"folds": folds, "validation": validation, "published": published}
        store = FoldStore(output, describe_run(given, cells, listed, chosen, **options))
    parts = [run.fold(number, vocabulary, store) for number in range(1, fold_of.max() + 1)]
    model, history = run.train(0, np.arange(len(listed)))
    genome = None
    if wanted is not None:
        scores = run.scorer.score(model, wanted, description="score genome")
        genome = gene_table(scores, wanted, listed.classes, vocabulary)
    result = _result(parts, model, history, genome, listed, len(cells))
    if output is not None and store is not None:
        write_gene_output(result, output, vocabulary)
        store.remove()
    return result


class _Run:
    """One cross-validation: what all its folds have in common."""

    def __init__(
        self,
        backbone: Any,
        cells: Any,
        listed: GeneClasses,
        fold_of: np.ndarray,
        settings: FinetuneSettings,
        validation: float | None,
        published: bool,
        progress: bool,
    ) -> None:
        self._backbone = backbone
        self._cells = cells
        self._listed = listed
        self._fold_of = fold_of
        self._settings = settings
        self._validation = validation
        self._published = published
        self._progress = progress
        self.scorer = GeneScorer(cells, progress)

    def fold(self, number: int, vocabulary: Any, store: FoldStore | None) -> tuple:
        """Predictions, history and further figures of a fold: of an earlier run, or made now."""
        done = None if store is None else store.read(number)
        if done is not None:
            _logger.info("fold %d was finished before", number)
            return done
        held = np.flatnonzero(self._fold_of == number)
        model, history = self.train(number, np.flatnonzero(self._fold_of != number))
        tokens = self._listed.tokens[held]
        scores = self.scorer.score(
            model,
            tokens,
            keep_positions=self._published,
            description=f"score fold {number}",
        )
        predictions = gene_table(scores, tokens, self._listed.classes, vocabulary)
        classes = np.asarray(self._listed.classes, dtype=object)
        predictions.insert(2, "true", classes[self._listed.labels[held]])
        predictions.insert(3, "fold", number)
        figures: dict[str, float] = {}
        if self._published:
            gene, probability = scores.positions()
            area, points = position_roc(self._listed.labels[held][gene], probability)
            figures = {"position_auc": area, "roc_points": points}
        if store is not None:
            store.write(number, predictions, history, figures)
        return predictions, history, figures

    def train(self, number: int, rows: np.ndarray) -> tuple[Any, pd.DataFrame]:
        """A classifier trained on some of the genes, and its history."""
        folds = int(self._fold_of.max())
        model, history = train_gene_classifier(
            self._backbone,
            self._cells,
            self._listed,
            rows,
            self._settings,
            seed=self._settings.seed + number,
            validation=self._validation,
            scorer=self.scorer,
            progress=self._progress,
            description=f"fold {number} of {folds}" if number else "all genes",
        )
        history.insert(0, "fold", number)
        return model, history


def _check_options(
    settings: FinetuneSettings, cells_used: int | None, validation: float | None
) -> None:
    if cells_used is not None and cells_used < 1:
        raise ValueError(f"Received cells_used={cells_used}; expected 1 or more, or None for all.")
    if settings.sampling == "balanced":
        raise ValueError(
            "Received sampling='balanced', which makes batches of cells: of genes, sampling is "
            "'upsample' or 'downsample', or give class_weights='balanced'."
        )
    if settings.pooling != "first" or settings.distribute is not None:
        raise ValueError(
            f"Received pooling={settings.pooling!r} and distribute={settings.distribute!r}, which "
            "are for classifiers of cells: leave them out for genes."
        )
    if validation is not None and not 0 < validation < 1:
        raise ValueError(
            f"Received validation={validation}; expected a share of the training genes, between 0 "
            "and 1, or None."
        )
    if settings.early_stopping is not None and validation is None:
        raise ValueError(
            f"Received early_stopping={settings.early_stopping} without validation: give the share "
            "of the training genes to watch (validation=0.1), apart from those of the fold."
        )


def _check_validation(listed: GeneClasses, fold_of: np.ndarray) -> None:
    """Refuse classes that leave a fold with one gene, which cannot both train and validate."""
    for number in np.unique(fold_of):
        labels = listed.labels[(fold_of != number) | (number == 0)]
        counts = np.bincount(labels, minlength=len(listed.classes))
        if counts.min() < 2:
            few = listed.classes[int(counts.argmin())]
            raise ValueError(
                f"The class {few!r} has {counts.min()} gene to train on in a fold, and with "
                "validation each class needs two, one to learn from and one to watch: leave "
                "validation out, or take fewer folds or more genes."
            )


def _drawn(
    cells: Any, listed: GeneClasses, cells_used: int | None, seed: int, size: int
) -> tuple[Any, GeneClasses]:
    """The cells that take part, and the genes of the list that they hold."""
    rows = np.flatnonzero(holding(cells, listed.tokens, size))
    if cells_used is not None and cells_used < len(rows):
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.permutation(rows)[:cells_used])
    if len(rows) < len(cells):
        cells = cells.subset(rows)
    counts = cells_with_token(cells, size) if len(rows) else np.zeros(size, dtype=np.int64)
    return cells, listed.present(counts)


def _unlabelled(
    score_all: bool | str | Sequence[str], cells: Any, listed: GeneClasses, vocabulary: Any
) -> np.ndarray | None:
    """Token ids of the unlabelled genes to score; None where none are."""
    if score_all is False:
        return None
    tokens = wanted_tokens("all" if score_all is True else score_all, cells, vocabulary)
    return np.setdiff1d(tokens, listed.tokens)


def _result(
    parts: list[tuple],
    model: Any,
    history: pd.DataFrame,
    genome: pd.DataFrame | None,
    listed: GeneClasses,
    cells: int,
) -> GeneResult:
    """The tables of all folds as one result."""
    if parts:
        predictions = pd.concat([part[0] for part in parts])
        places = pd.Series(np.arange(len(listed)), index=listed.ensembl_ids)
        order = predictions["ensembl_id"].map(places).argsort()
        predictions = predictions.iloc[order].reset_index(drop=True)
        folds = fold_table(predictions, listed.classes)
        for name in parts[0][2]:
            folds[name] = [part[2][name] for part in parts]
        summary = summary_of(predictions, folds, listed.classes)
    else:
        columns = ["ensembl_id", "symbol", "true", "fold", "label"]
        columns += [*(f"prob_{name}" for name in listed.classes), "sd", "cells"]
        predictions = pd.DataFrame(columns=columns)
        folds, summary = fold_table(predictions, listed.classes), {}
    return GeneResult(
        model=model,
        predictions=predictions,
        folds=folds,
        summary={name: value for name, value in summary.items() if not math.isnan(value)},
        genome=genome,
        history=pd.concat([*(part[1] for part in parts), history], ignore_index=True),
        report=listed.report,
        cells=cells,
    )
