"""Finished folds of a run over genes, on disk: a run that was stopped goes on after them."""

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.tokenization.genes.gene_lists import GeneClasses
from keras_geneformer.tokenization.publishing import publish_directory
from keras_geneformer.tokenization.work_directory import write_json
from keras_geneformer.training.finetuning.settings import FinetuneSettings

_RUN = "run.json"


class FoldStore:
    """The directory `.<name>.folds` beside an output, a directory a finished fold in it.

    Args:
        output: where the run's output will stand.
        run: what tells the run from others (`describe_run`).

    Raises:
        ValueError: folds of another run stand there.
    """

    def __init__(self, output: str | os.PathLike, run: dict[str, Any]) -> None:
        output = Path(output)
        self.directory = output.parent / f".{output.name}.folds"
        description = self.directory / _RUN
        if description.is_file():
            before = json.loads(description.read_text(encoding="utf-8"))
            now = json.loads(json.dumps(run))
            unlike = [name for name in now if before.get(name) != now[name]]
            if unlike:
                raise ValueError(
                    f"{self.directory} holds finished folds of another run ({_changes(before, now)}"
                    "): call it as that one was called to go on with it, or remove the directory, "
                    "or choose another output."
                )
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        write_json(description, run)

    def read(self, fold: int) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]] | None:
        """Predictions, history and figures of a fold; None where it is not finished."""
        place = self._place(fold)
        if not place.is_dir():
            return None
        tables = (pd.read_parquet(place / f"{name}.parquet") for name in ("genes", "history"))
        predictions, history = tables
        return predictions, history, json.loads((place / "figures.json").read_text())

    def write(
        self, fold: int, predictions: pd.DataFrame, history: pd.DataFrame, figures: dict[str, Any]
    ) -> None:
        """Keep a finished fold, whole or not at all."""
        with publish_directory(self._place(fold), lambda existing: True) as partial:
            predictions.to_parquet(partial / "genes.parquet")
            history.to_parquet(partial / "history.parquet")
            write_json(partial / "figures.json", figures)

    def remove(self) -> None:
        """Remove all folds, when the output holds what they said."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _place(self, fold: int) -> Path:
        return self.directory / f"fold_{fold}"


def describe_run(
    backbone: Any, cells: Any, genes: GeneClasses, settings: FinetuneSettings, **options: Any
) -> dict[str, Any]:
    """What a run's folds hang on: model, cells and genes as checksums, settings as they are.

    Args:
        backbone: a `GeneformerBackbone`, as it begins.
        cells: the `CellDataset`, as drawn.
        genes: the list.
        settings: how it trains.
        **options: further values that JSON takes.
    """
    weights = hashlib.sha256()
    for array in backbone.get_weights():
        weights.update(np.asarray(array).tobytes())
    tokens = hashlib.sha256(np.asarray(cells.lengths, dtype=np.int64).tobytes())
    for token_ids, _ in cells.token_lists.pieces():
        tokens.update(np.asarray(token_ids, dtype=np.int32).tobytes())
    listed = hashlib.sha256(genes.tokens.tobytes() + genes.labels.tobytes())
    listed.update("\n".join(genes.classes).encode())
    return {
        "model": weights.hexdigest(),
        "cells": tokens.hexdigest(),
        "genes": listed.hexdigest(),
        "settings": dataclasses.asdict(settings),
        **options,
    }


def _changes(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What is unlike in two runs, in words."""
    said = []
    for name, value in now.items():
        then = before.get(name)
        if then == value:
            continue
        if isinstance(value, dict) and isinstance(then, dict):
            said += [
                f"{key} was {then.get(key)!r} and is {value[key]!r}"
                for key in value
                if then.get(key) != value[key]
            ]
        elif isinstance(value, str):
            said.append(f"the {name} {'are' if name != 'model' else 'is'} not the same")
        else:
            said.append(f"{name} was {then!r} and is {value!r}")
    return "; ".join(said)
