"""A fine-tuning run as it was left, in memory or on disk, and what its numbers do not say."""

import json
import os
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

FEW = 20
"""Held-out cells of a class below which its scores are called uncertain."""

_TEST = "test_"


@dataclass(frozen=True)
class FinetuneRecord:
    """A run of `finetune_cells`, as its result or its files tell it."""

    history: pd.DataFrame
    metrics: dict[str, float]
    test_metrics: dict[str, float]
    predictions: pd.DataFrame
    test_predictions: pd.DataFrame
    parts: dict[str, int]
    described: dict[str, Any]

    @property
    def tested(self) -> bool:
        """Whether cells were held out that chose nothing."""
        return len(self.test_predictions) > 0

    @property
    def task(self) -> str:
        """`single-label`, `multi-label` or `regression`."""
        return str(self.described.get("task", "single-label"))

    @property
    def judged(self) -> pd.DataFrame:
        """The predictions that the report judges: of the test cells, else of the validation's."""
        return self.test_predictions if self.tested else self.predictions

    @classmethod
    def of(cls, source: Any) -> "FinetuneRecord":
        """The record of a `FinetuneResult`, or of the directory `finetune_cells(output=...)` wrote.

        Raises:
            FileNotFoundError: the directory lacks a file of a fine-tuning run.
        """
        if not isinstance(source, (str, os.PathLike)):
            return cls(
                source.history,
                dict(source.metrics),
                dict(source.test_metrics),
                source.predictions,
                source.test_predictions,
                _counted(source.parts),
                dict(source.run),
            )
        directory = Path(source)
        for name in ("history.csv", "metrics.json"):
            if not (directory / name).is_file():
                raise FileNotFoundError(
                    f"{directory} has no {name}: it is not what finetune_cells(output=...) writes"
                )
        metrics = {
            name: float("nan") if value is None else value
            for name, value in json.loads(
                (directory / "metrics.json").read_text(encoding="utf-8")
            ).items()
        }
        described = directory / "run.json"
        parts = _table(directory / "parts.csv")
        return cls(
            pd.read_csv(directory / "history.csv"),
            {name: value for name, value in metrics.items() if not name.startswith("test_")},
            {
                k.removeprefix("test_"): value
                for k, value in metrics.items()
                if k.startswith("test_")
            },
            _table(directory / "predictions.csv"),
            _table(directory / "test_predictions.csv"),
            _counted(parts["part"]) if len(parts) else {},
            json.loads(described.read_text(encoding="utf-8")) if described.is_file() else {},
        )

    def caveats(self) -> list[str]:
        """What the numbers do not say, in plain words; only what holds of this self."""
        said = []
        if not self.tested:
            said.append(
                "The validation cells chose the epoch, and its score is reported here: it is "
                "somewhat flattering. Hold out test cells for a score that nothing was chosen by."
            )
        about = self.described
        by_share = not isinstance(about.get("test" if self.tested else "validation"), (str, dict))
        if about and by_share and about.get("group_key") is None:
            said.append(
                "Cells were held out at random, so that cells of one donor or batch may be on both "
                "sides. On new donors the classifier may do worse; hold out whole donors to see."
            )
        if self.task == "single-label":
            counts = self.judged["true"].astype(str).value_counts()
            few = [f"{name} ({number})" for name, number in counts.items() if number < FEW]
            if few:
                said.append(
                    f"Fewer than {FEW} held-out cells: {', '.join(few)}. Their scores may be far "
                    "off, and macro-F1, in which every class counts the same, with them."
                )
            unseen = sorted(set(self.described.get("classes", [])) - set(counts.index))
            if unseen:
                said.append(f"No held-out cell is of the class {', '.join(unseen)}.")
            if counts.iloc[0] > 0.6 * len(self.judged):
                said.append(
                    f"{counts.iloc[0] / len(self.judged):.0%} of the held-out cells are of one "
                    f"class, {counts.index[0]}: so much accuracy comes without learning. Look at "
                    "macro-F1."
                )
        said.append("One run with one seed: another seed would give somewhat other numbers.")
        return said


def _table(path: Path) -> pd.DataFrame:
    """A table of cells; a class called NA or 1 stays the text it is. Empty where there is none."""
    if not path.is_file():
        return pd.DataFrame()
    texts: dict[Hashable, Any] = {"true": str, "label": str, "part": str}
    table = pd.read_csv(path, index_col=0, dtype=texts, keep_default_na=False)
    table.index = table.index.astype(str)
    return table


def _counted(parts: pd.Series) -> dict[str, int]:
    order = [name for name in ("train", "validation", "test") if (parts == name).any()]
    return {name: int((parts == name).sum()) for name in order}
