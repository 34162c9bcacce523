"""The report of a run of `finetune_genes`: its figures, pictures and tables on one page."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from keras_geneformer import plotting
from keras_geneformer.report import HtmlReport

_SHOWN = 12
_FEW = 10
"""Held-out genes of a class in a fold below which its AUC is called uncertain."""


def write_gene_report(result: Any, directory: str | Path, *, title: str = "Gene classes") -> Path:
    """Draw a run's pictures and write report.html, which holds them.

    Args:
        result: a `GeneResult`.
        directory: where report.html, roc.png, auc.png, gene_scores.png and loss.png go.
        title: the heading.

    Returns:
        The path of report.html.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    genes = ", ".join(f"{number} {name}" for name, number in result.report.taken.items())
    report = HtmlReport(title, f"{genes}, in {result.cells} cells.")
    add_gene_run(report, result, Path(directory))
    return report.write(Path(directory) / "report.html")


def add_gene_run(report: HtmlReport, result: Any, directory: Path) -> None:
    """Add a run's sections to a report, and draw its pictures.

    Args:
        report: to add to.
        result: a `GeneResult`.
        directory: where the pictures go.
    """
    classes = result.model.classes
    if len(result.folds):
        figures = result.summary
        report.facts(
            {
                "AUC, mean of folds": f"{figures['auc_mean_of_folds']:.3f}",
                "sd over folds": f"{figures['auc_sd_of_folds']:.3f}",
                "AUC, pooled": f"{figures['auc_pooled']:.3f}",
                "macro-F1, pooled": f"{figures['macro_f1_pooled']:.3f}",
            }
        )
        report.section("How well held-out genes are told apart")
        several = ""
        if len(classes) > 2:
            several = " Of several classes, AUC is the mean of each against the rest."
        report.text(
            "No gene is in two folds: each is scored by a model that never saw its class, in every "
            "cell that holds it, and its probabilities are averaged over cells. AUC is given "
            "twice: the mean and standard deviation over folds, each of one model, and pooled over "
            "all held-out genes, whose scores come from several models." + several
        )
        fewest = result.predictions.groupby(["fold", "true"]).size().min()
        if fewest < _FEW:
            report.text(
                f"A fold holds as few as {fewest} genes of a class, so that its AUC moves much by "
                "chance: read the spread over folds before the mean."
            )
        _draw_folds(report, result, directory)
        report.table(result.folds, caption="Fold by fold; genes: held out")
        _add_genes(report, result.predictions, classes, "held-out genes")
    if result.genome is not None and len(result.genome):
        report.section("Genes without a class")
        report.text(
            f"{len(result.genome)} genes that no class holds, scored by the model that learnt all "
            "labelled genes. These scores are not validated: the folds above say how far to trust "
            "them."
        )
        _add_genes(report, result.genome, classes, "unlabelled genes")
    report.section("Training")
    _picture(
        report,
        directory / "loss.png",
        "Loss of the model that learns all labelled genes.",
        lambda path: plotting.loss_curve(
            result.history[result.history["fold"] == 0], path, title="Loss while fine-tuning"
        ),
    )
    report.section("The gene list")
    report.text(*result.report.text(most=40).splitlines())
    report.text(
        "Genes of different classes may differ in how strongly they are expressed, and can then be "
        "told apart by rank alone; genes in few cells are known less well (columns cells and sd)."
    )


def _draw_folds(report: HtmlReport, result: Any, directory: Path) -> None:
    _picture(
        report,
        directory / "roc.png",
        "ROC curve of each fold, their mean, and one standard deviation around it.",
        lambda path: plotting.fold_roc_curves(
            result.predictions, path, title=f"{len(result.predictions)} held-out genes"
        ),
    )
    _picture(
        report,
        directory / "auc.png",
        "AUC of each fold; dashed: mean, band: one standard deviation.",
        lambda path: plotting.fold_scores(result.folds, path, scores=["auc"], title="Fold by fold"),
    )
    _picture(
        report,
        directory / "gene_scores.png",
        "Scores of the held-out genes of each class, a dot a gene.",
        lambda path: plotting.score_distribution(
            result.predictions, path, title="Scores of held-out genes"
        ),
    )


def _add_genes(report: HtmlReport, table: pd.DataFrame, classes: list[str], what: str) -> None:
    """For each class the genes most like it."""
    for name in classes:
        column = f"prob_{name}"
        shown = [c for c in ("symbol", "true", column, "sd", "cells") if c in table]
        report.table(
            table.nlargest(_SHOWN, column)[shown],
            caption=f"The {what} most like {name}, of {len(table)}",
        )


def _picture(report: HtmlReport, path: Path, caption: str, draw: Callable[[Path], Any]) -> None:
    draw(path)
    report.picture(path, alt=caption, caption=caption)
