"""The part of a study's report that is about genes."""

from pathlib import Path
from typing import Any

import pandas as pd

from keras_geneformer import plotting
from keras_geneformer.report import HtmlReport
from keras_geneformer.studies.study_result import StudyResult


def add_genes(report: HtmlReport, result: StudyResult, directory: Path) -> None:
    """Add the folds, the genes and the losses of a gene study, and write their pictures.

    Args:
        report: to add to.
        result: of a study of genes.
        directory: where the pictures go.
    """
    from keras_geneformer.training.metrics import class_table

    run: Any = result.run
    report.section("Fold by fold")
    report.text(*run.text().splitlines())
    if len(run.folds):
        _picture(
            report,
            directory / "folds.png",
            "Area under the ROC curve of each fold; no gene is in two.",
            lambda path: plotting.fold_scores(run.folds, path, scores=["auc", "accuracy"]),
        )
        report.table(run.folds)
        report.section("Class by class")
        _picture(
            report,
            directory / "roc.png",
            "All held-out genes together: each class against the rest.",
            lambda path: plotting.roc_curves(run.predictions, path),
        )
        _picture(
            report,
            directory / "precision_recall.png",
            "Precision at each recall, over all held-out genes.",
            lambda path: plotting.precision_recall_curves(run.predictions, path),
        )
        table = class_table(run.predictions)
        report.table(table.rename(columns={"cells": "genes"}).rename(columns=_spaced))
        names = [f"prob_{name}" for name in run.model.classes]
        shown = run.predictions.sort_values(names[0], ascending=False)
        shown = pd.concat([shown.head(10), shown.tail(10)]) if len(shown) > 20 else shown
        report.table(
            shown[["symbol", "true", *names, "sd", "cells"]].rename(columns=_spaced),
            caption=f"The genes most and least like {run.model.classes[0]}.",
        )
    report.section("How it learned")
    final = run.history[run.history["fold"] == 0] if "fold" in run.history else run.history
    _picture(
        report,
        directory / "learning.png",
        "The loss of the model that learns from all labelled genes.",
        lambda path: plotting.learning_curves(final.reset_index(drop=True), path),
    )
    report.section("What to keep in mind")
    report.text(
        "A gene's score is the mean over the cells that hold it: genes in few cells are known less "
        "well, as the column sd says.",
        "Folds hold different genes, and share most of their training genes: the sd over folds is "
        "no standard error of their mean.",
        "A gene list has its own bias: classes that differ in how strongly their genes are "
        "expressed can be told apart by rank alone.",
    )


def _picture(report: HtmlReport, path: Path, caption: str, draw: Any) -> None:
    draw(path)
    report.picture(path, alt=caption, caption=caption)


def _spaced(name: str) -> str:
    return str(name).replace("_", " ").replace("prob ", "")
