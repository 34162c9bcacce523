"""The report of a fine-tuning run: its numbers, what they rest on, and its pictures."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from keras_geneformer import plotting
from keras_geneformer.finetune_record import FinetuneRecord
from keras_geneformer.report import HtmlReport

__all__ = ["PICTURES", "add_run", "write_report"]

PICTURES = (
    *("confusion.png", "confusion_normalised.png", "class_recall.png", "roc.png"),
    *("precision_recall.png", "reliability.png", "learning.png", "truth_and_prediction.png"),
    "values.png",
)
"""What `write_report` may write beside report.html."""


def write_report(
    result_or_directory: Any,
    directory: str | os.PathLike,
    *,
    title: str = "Fine-tuning",
    coordinates: pd.DataFrame | None = None,
) -> Path:
    """Write report.html and its pictures for a run of `finetune_cells`.

    It judges the test cells where there are any, else the validation cells, and says which.

    Args:
        result_or_directory: a `FinetuneResult`, or the directory that
            `finetune_cells(output=...)` wrote.
        directory: where report.html and the pictures (`PICTURES`) go; it may be the same.
        title: the heading.
        coordinates: two columns, indexed by cell (`plotting.umap_coordinates`), of the cells that
            are judged; with them the cells are drawn by truth and by prediction.

    Returns:
        The path of report.html.

    Raises:
        FileNotFoundError: the directory lacks a file of a fine-tuning run.
        ValueError: no cell was held out, so that there is nothing to judge.
        ImportError: if matplotlib is not installed.

    Example:
        >>> from keras_geneformer import finetune_cells
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> result = finetune_cells(
        ...     tiny_backbone(num_layers=1), synthetic_dataset(60), "cell_type", progress=False)
        >>> write_report(result, "run").name  # doctest: +SKIP
        'report.html'
    """
    run = FinetuneRecord.of(result_or_directory)
    report = HtmlReport(title, _lead(run))
    add_run(report, run, Path(directory), coordinates=coordinates)
    return report.write(Path(directory) / "report.html")


def add_run(
    report: HtmlReport,
    result_or_directory: Any,
    directory: Path,
    *,
    coordinates: pd.DataFrame | None = None,
) -> None:
    """Add a run's sections to a report, and write its pictures into `directory`.

    Args:
        report: to add to.
        result_or_directory: as in `write_report`.
        directory: where the pictures go.
        coordinates: as in `write_report`.
    """
    given = result_or_directory
    run = given if isinstance(given, FinetuneRecord) else FinetuneRecord.of(given)
    if not len(run.judged):
        raise ValueError(
            "no cell was held out of this run: there are no predictions to judge. Fine-tune with "
            "validation or test cells"
        )
    pictures = _Pictures(report, directory)
    _add_numbers(report, run)
    _add_grounds(report, run)
    if run.task == "regression":
        report.section("Number by number")
        pictures.add(
            "values.png",
            "Each held-out cell: what was predicted against what is true.",
            lambda path: plotting.predicted_values(run.judged, path),
        )
    elif run.task == "single-label":
        _add_classes(report, run, pictures, coordinates)
        _add_calibration(report, run, pictures)
    report.section("How it learned")
    pictures.add(
        "learning.png",
        "The loss of training and validation, and the validation's scores, step by step.",
        lambda path: plotting.learning_curves(run.history, path),
    )
    report.section("What to keep in mind")
    report.text(*run.caveats())


class _Pictures:
    """Draws pictures and puts them into the report, so that each is named once."""

    def __init__(self, report: HtmlReport, directory: Path) -> None:
        self._report, self._directory = report, directory

    def add(self, name: str, caption: str, draw: Callable[[Path], Any]) -> None:
        path = self._directory / name
        draw(path)
        self._report.picture(path, alt=caption, caption=caption)


def _add_numbers(report: HtmlReport, run: FinetuneRecord) -> None:
    metrics = run.test_metrics if run.tested else run.metrics
    facts = {_named(name): _number(value) for name, value in metrics.items()}
    report.facts({f"{'test' if run.tested else 'validation'} cells": str(len(run.judged))} | facts)
    if run.tested and run.metrics:
        both = pd.DataFrame({"test": run.test_metrics, "validation": run.metrics}).reset_index()
        both["index"] = both["index"].map(_named)
        report.table(
            both.rename(columns={"index": "score"}),
            caption="Test cells chose nothing; validation cells chose the epoch.",
        )


def _add_grounds(report: HtmlReport, run: FinetuneRecord) -> None:
    from keras_geneformer.training.finetuning.settings import FinetuneSettings

    report.section("What the numbers rest on")
    about = run.described
    parts = ", ".join(f"{number} {name}" for name, number in run.parts.items())
    rows = {"cells": f"{sum(run.parts.values())} ({parts})" if parts else str(len(run.judged))}
    for name in ("label_key", "task", "validation", "test", "group_key"):
        if name in about:
            rows[_named(name)] = "–" if about[name] is None else str(about[name])
    backbone = about.get("backbone", {})
    if backbone:
        rows["backbone"] = (
            f"{backbone['layers']} layers, {backbone['hidden_dim']} dimensions, "
            f"{backbone['weights']:,} weights"
        )
    settings, usual = about.get("settings", {}), FinetuneSettings()
    shown = ("epochs", "batch_size", "learning_rate", "loss", "freeze_layers", "pooling", "seed")
    for name, value in settings.items():
        if name in shown or _plain(value) != _plain(getattr(usual, name, None)):
            rows[_named(name)] = _number(value) if isinstance(value, float) else str(value)
    table = pd.DataFrame({"": list(rows), "this run": list(rows.values())})
    report.table(table, caption="Settings that are not shown are the defaults.")


def _add_classes(
    report: HtmlReport, run: FinetuneRecord, pictures: _Pictures, coordinates: pd.DataFrame | None
) -> None:
    from keras_geneformer.training.metrics import class_table, classes_of, confusion_table

    judged = run.judged
    classes = classes_of(judged)
    classes += sorted(set(judged["label"].astype(str)) - set(classes))
    true, label = (judged[name].astype(str).to_numpy() for name in ("true", "label"))
    counts = confusion_table(true, label, classes)
    report.section("Class by class")
    table = class_table(judged)
    table["95% interval"] = [
        "–" if low != low else f"{low:.3f} to {high:.3f}"
        for low, high in zip(table.pop("recall_low"), table.pop("recall_high"))
    ]
    order = ["class", "cells", "recall", "95% interval", "precision", "f1"]
    table = table[[*order, "roc_auc", "average_precision"]]
    report.table(
        table.rename(columns=_named),
        caption="Recall with Wilson's interval; areas of each class against the rest.",
    )
    pictures.add(
        "class_recall.png",
        "Recall of each class: the longer the line, the less these cells say about it.",
        lambda path: plotting.class_recall(judged, path),
    )
    pictures.add(
        "confusion.png",
        "Cells by true class (rows) and predicted class (columns).",
        lambda path: plotting.confusion_matrix(counts, path),
    )
    pictures.add(
        "confusion_normalised.png",
        "The same in per cent of each true class.",
        lambda path: plotting.confusion_matrix(counts, path, normalised=True),
    )
    pictures.add(
        "roc.png",
        "Each class against the rest: area under the curve, and cells of the class.",
        lambda path: plotting.roc_curves(judged, path),
    )
    pictures.add(
        "precision_recall.png",
        "Precision at each recall: average precision, and cells of the class.",
        lambda path: plotting.precision_recall_curves(judged, path),
    )
    if coordinates is not None:
        pictures.add(
            "truth_and_prediction.png",
            "The held-out cells laid out by UMAP, by truth and by prediction, with the cells of "
            "each class in both.",
            lambda path: plotting.truth_and_prediction(coordinates.loc[judged.index], judged, path),
        )


def _add_calibration(report: HtmlReport, run: FinetuneRecord, pictures: _Pictures) -> None:
    from keras_geneformer.training.finetuning.calibration import reliability_table

    judged = run.judged
    confidence = judged.filter(like="prob_").max(axis=1)
    table = reliability_table(confidence, judged["true"].astype(str) == judged["label"].astype(str))
    report.section("Whether the probabilities mean what they say")
    before = run.metrics.get("ece_uncalibrated")
    report.text(
        "Of the cells labelled with a probability of 0.9, nine of ten should be right. The "
        "expected calibration error (ECE) is the mean distance from that, over 15 bins."
        + (f" Before calibration it was {before:.3f} on the validation cells." if before else "")
    )
    pictures.add(
        "reliability.png",
        "Accuracy at each confidence, and how many cells have it.",
        lambda path: plotting.reliability_diagram(table, path),
    )


def _lead(run: FinetuneRecord) -> str:
    about = run.described
    cells = "test cells, which chose nothing" if run.tested else "validation cells"
    what = f"Labels of obs[{about['label_key']!r}]. " if "label_key" in about else ""
    return f"{what}Judged on {len(run.judged)} {cells}."


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _named(name: str) -> str:
    known = {"ece": "ECE", "ece_uncalibrated": "ECE before calibration", "roc_auc": "ROC AUC"}
    return known.get(name, name.replace("_", " ").replace("f1", "F1"))


def _number(value: Any) -> str:
    if isinstance(value, Mapping) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:.3f}" if 0.001 <= abs(value) < 1000 and value % 1 else f"{value:g}"
