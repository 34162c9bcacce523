"""What running a study leaves behind."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from keras_geneformer.studies.study import Study

PRESET = "preset"
"""Folder of a study's output that holds the trained model."""

EFFECTS = "effects"
"""Folder of a study's output that holds what perturbing each cell did."""


@dataclass(frozen=True)
class StudyResult:
    """A study's answer, and how far the run that gave it was the published one."""

    study: Study
    run: Any
    """The `FinetuneResult`, `GeneResult` or `DifferentiationRun`."""
    figures: dict[str, float]
    """The figures the study is judged by, named as in `study.published`."""
    cells: int
    """Cells that were given."""
    model: str
    """What it was run with, in words."""
    notes: list[str]
    """What was done otherwise than published, a sentence each."""
    embedding: pd.DataFrame | None = None
    """Of the cells that are judged, by the trained backbone."""
    changes: pd.DataFrame | None = None
    """Of `perturb-then-predict`: see `perturbed_exposures`."""
    options: dict[str, Any] = field(default_factory=dict)
    """What was asked for, in plain values."""
