"""The report of a study: what was published, what came out here, and how far they compare."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd

from keras_geneformer import plotting
from keras_geneformer.finetune_report import add_run
from keras_geneformer.gene_report import add_gene_run
from keras_geneformer.report import HtmlReport
from keras_geneformer.state_shift_report import add_state_shifts, add_verdict, state_shift_tables
from keras_geneformer.studies.study_result import EFFECTS, PRESET, StudyResult

__all__ = ["check_study_directory", "write_study_report"]

_MARK = "study.json"
_SHIPPED = "geneformer_mini"
_HOLDING_OUT = ("cells", "perturbation")


def check_study_directory(directory: str | os.PathLike) -> None:
    """Refuse a directory that holds something else than a study's output.

    Raises:
        FileExistsError: it does.
    """
    path = Path(directory)
    if path.exists() and (not path.is_dir() or any(path.iterdir())) and not _is_ours(path):
        raise FileExistsError(
            f"{path} exists and holds something else than a study: it is left as it is. Choose "
            "another place"
        )


def write_study_report(result: StudyResult, directory: str | os.PathLike) -> Path:
    """Write a study's tables, pictures, study.json and at last report.html.

    Args:
        result: of `run_study`.
        directory: where they go.

    Returns:
        The path of report.html.

    Raises:
        FileExistsError: the directory holds something else than a study.
        ImportError: if matplotlib is not installed; the tables are written by then.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "report.html").unlink(missing_ok=True)
    study = result.study
    about = {
        "study": study.name,
        "cells": result.cells,
        "model": result.model,
        "figures": result.figures,
        "published": dict(study.published),
        "notes": result.notes,
        "options": result.options,
    }
    _write(directory / _MARK, json.dumps(about, indent=2, default=str) + "\n")
    tables = _tables(result)
    for name, table in tables.items():
        _write(directory / f"{name}.csv", table.to_csv(index=table.index.name == "cell"))

    report = HtmlReport(study.title, study.replicates)
    _add_comparison(report, result)
    if study.kind == "perturbation":
        _add_changes(report, result, directory)
    if study.kind == "states":
        add_state_shifts(report, result.run, directory)
    elif study.kind == "genes":
        add_gene_run(report, result.run, directory)
    else:
        report.section("This run, on cells that were held out")
        add_run(report, result.run, directory, coordinates=_coordinates(result))
    report.footer(f"keras-geneformer study {study.name}; source: {study.source}.")
    return report.write(directory / "report.html")


def _add_comparison(report: HtmlReport, result: StudyResult) -> None:
    study = result.study
    mechanics = mechanics_only(result)
    if mechanics:
        report.text(f"This run shows the mechanics only: {mechanics}.")
    if study.kind == "states":
        add_verdict(report, result.run)
    # Calibration has a section of its own.
    names = [name for name in result.figures if not name.startswith("ece")]
    names = list(dict.fromkeys([*names, *study.published]))
    rows = [
        {
            "figure": name.replace("_", " ").replace("f1", "F1").replace("auc", "AUC"),
            "here": shown_figure(result.figures[name]) if name in result.figures else "–",
        }
        | ({"published": study.published.get(name, "–")} if study.published else {})
        for name in names
    ]
    heading = "What was published, and what came out here" if study.published else "What came out"
    report.section(heading)
    report.table(pd.DataFrame(rows))
    report.text(
        f"Judged by {study.judged}.",
        f"Source: {study.source}."
        + (f" Published on {study.published_cells:,} cells." if study.published_cells else "")
        + ("" if study.published else " No published figure is repeated here."),
    )
    facts = {"cells here": f"{result.cells:,}", "model here": result.model}
    asked = {name: value for name, value in result.options.items() if name != "cells"}
    facts |= {name.replace("_", " "): str(value) for name, value in asked.items()}
    report.table(pd.DataFrame({"": list(facts), "this run": list(facts.values())}))
    if result.notes:
        report.section("What was done" if study.kind == "states" else "What was done otherwise")
        report.text(*result.notes)
    if study.settings:
        settings = {name.replace("_", " "): str(value) for name, value in study.settings.items()}
        report.table(
            pd.DataFrame({"setting": list(settings), "the study's": list(settings.values())}),
            caption="The study's settings, as they are stated.",
        )


def shown_figure(value: float) -> str:
    """A figure as it is read: counts whole, small numbers by their first digits.

    Example:
        >>> [shown_figure(value) for value in (12, 0.91234, 0.00012345)]
        ['12', '0.912', '0.000123']
    """
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.01 else f"{value:.3g}"


def mechanics_only(result: StudyResult) -> str:
    """Why the figures here are not to be held against the published ones; empty if they are.

    Example:
        >>> from keras_geneformer.studies import named_study
        >>> mechanics_only(StudyResult(named_study("dosage-sensitivity"), None, {}, 400, "", []))
        'it has 400 cells, the published one 10,000'
    """
    reasons = []
    published = result.study.published_cells
    if published and result.cells < published / 2:
        reasons.append(f"it has {result.cells:,} cells, the published one {published:,}")
    elif not published and result.cells < 5000:
        few = ", few of them held out" if result.study.kind in _HOLDING_OUT else ""
        reasons.append(f"it has {result.cells:,} cells{few}")
    if result.model.startswith(_SHIPPED):
        reasons.append(f"{_SHIPPED} is a small model pretrained on few cells")
    return ", and ".join(reasons)


def _add_changes(report: HtmlReport, result: StudyResult, directory: Path) -> None:
    changes: Any = result.changes
    exposures = list(dict.fromkeys(changes["exposure"]))
    control = result.options.get("control")
    report.section("What deleting genes does to the prediction")
    report.text(
        "Each gene is deleted in every control cell that has it. A change above 0 makes these "
        "cells look more like the exposure, to this classifier. Lines are one standard error over "
        "cells, and say nothing of other donors or of another classifier.",
        f"The classifier itself labels {result.figures['accuracy']:.1%} of held-out cells rightly: "
        "the changes can be no surer than it is.",
    )
    for number, exposure in enumerate(name for name in exposures if name != control):
        table = changes[changes["exposure"] == exposure]
        path = directory / ("changes.png" if not number else f"changes_{number + 1}.png")
        plotting.change_bars(
            table,
            path,
            gene="symbol",
            error="error",
            xlabel=f"change of the probability of {exposure}",
        )
        said = f"The largest changes of the probability of {exposure}, of {len(table)} genes."
        report.picture(path, alt=said, caption=said)
    top = changes[changes["exposure"] != control]
    top = top.loc[top["change"].abs().nlargest(20).index]
    report.table(top.drop(columns=["sd"]), caption="The largest changes.", digits=4)


def _coordinates(result: StudyResult) -> pd.DataFrame | None:
    if result.embedding is None or len(result.embedding) < 4:
        return None
    return plotting.umap_coordinates(result.embedding, seed=0)


def _tables(result: StudyResult) -> dict[str, pd.DataFrame]:
    """What a reader may want to compute with; the preset has the rest."""
    run, tables = result.run, {}
    if result.study.kind == "states":
        tables = state_shift_tables(run)
    elif result.study.kind == "genes":
        tables = {"genes": run.predictions, "folds": run.folds}
        if run.genome is not None:
            tables["genome"] = run.genome
    else:
        from keras_geneformer.training.metrics import class_table

        judged = run.test_predictions if len(run.test_predictions) else run.predictions
        tables = {"predictions": judged.rename_axis("cell"), "classes": class_table(judged)}
    if result.changes is not None:
        tables["changes"] = result.changes
    return tables


def _is_ours(path: Path) -> bool:
    """Whether a study wrote it, be it only the model or effects, before the report failed."""
    names = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    return _MARK in names or names in ({PRESET}, {EFFECTS})


def _write(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.partial")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
