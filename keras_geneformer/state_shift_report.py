"""The part of a report that says which genes move cells from one state towards another."""

from pathlib import Path

import pandas as pd

from keras_geneformer import plotting
from keras_geneformer.report import HtmlReport
from keras_geneformer.studies.differentiation import (
    DONE,
    DifferentiationRun,
    towards_goal,
    verdict,
)

__all__ = ["add_state_shifts", "add_verdict", "state_shift_tables"]

_SHOWN = 15


def add_verdict(report: HtmlReport, run: DifferentiationRun) -> None:
    """Adds what came out, in words."""
    report.section("What came out, in words")
    report.text(*verdict(run))


def add_state_shifts(report: HtmlReport, run: DifferentiationRun, directory: Path) -> None:
    """Adds a section for each kind of perturbation: pictures of the shifts, and the first genes.

    Args:
        report: where it is added.
        run: of `run_differentiation`.
        directory: where the pictures go.
    """
    start, goal = run.states.start, run.states.goal
    report.section("The states")
    report.table(
        run.cosines.reset_index(names="state"),
        caption="Cosine between the mean embeddings of the states' cells.",
        digits=4,
    )
    for kind, every in run.statistics.items():
        # The largest shifts of all are those of genes in one cell, which nothing tests.
        table = every[every["Goal_end_FDR"].notna()]
        report.section(f"Genes {DONE.get(kind, kind)}, in {run.cells} cells of {start}")
        if table.empty:
            report.text(f"None of {len(every)} genes is in enough of these cells for a test.")
            continue
        path = directory / f"{kind}.png"
        beyond = f"shift towards {goal} beyond that of peers"
        plotting.ranked_genes(table, path, xlabel=beyond)
        said = f"The largest mean shifts towards {goal}, less those of genes at like ranks, of "
        said += f"{len(table)} genes; in colour with a false discovery rate below .05."
        report.picture(path, alt=said, caption=said)
        path = directory / f"{kind}_volcano.png"
        plotting.volcano(table, path, xlabel=beyond)
        said = f"The same shift towards {goal} of every gene, and how sure it is."
        report.picture(path, alt=said, caption=said)
        hits = towards_goal(table)
        shown = hits if len(hits) else table
        report.table(
            _words(shown.nlargest(_SHOWN, "Shift_to_goal_end"), run),
            caption=f"Genes that move {start} cells towards {goal} further than genes at like "
            "ranks do."
            if len(hits)
            else f"No gene stands out; those with the largest shifts towards {goal}.",
        )


def state_shift_tables(run: DifferentiationRun) -> dict[str, pd.DataFrame]:
    """What a reader may want to compute with."""
    return {**run.statistics, "states": run.cosines.reset_index(names="state")}


def _words(table: pd.DataFrame, run: DifferentiationRun) -> pd.DataFrame:
    shown = {
        "gene": table["Gene_name"].astype(str),
        "cells": table["N_Detections"],
        f"shift to {run.states.goal}": [f"{value:.2e}" for value in table["Shift_to_goal_end"]],
    }
    for name in run.states.alternatives:
        shown[f"shift to {name}"] = [f"{value:.2e}" for value in table[f"Shift_to_alt_end_{name}"]]
    shown |= {
        "beyond peers": [f"{value:.2e}" for value in table["effect"]],
        "FDR": [f"{value:.2g}" if value == value else "–" for value in table["Goal_end_FDR"]],
    }
    return pd.DataFrame(shown)
