"""Trials in several processes, which share an SQLite file."""

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any


def in_processes(
    backbone: Any, cells: Any, storage: Path, trials: int, workers: int, task: dict[str, Any]
) -> None:
    """Share trials among new processes, and wait for them.

    Args:
        backbone, cells: handed over as a preset and a dataset in a temporary folder.
        storage: the SQLite file of the study, which exists.
        trials: how many in all.
        workers: processes, each on its share of the cores.
        task: the other arguments of `search.run_trials`.

    Raises:
        Exception: what ended a trial, of whichever process.
    """
    import keras

    shares = [trials // workers + (number < trials % workers) for number in range(workers)]
    threads = max(1, (os.cpu_count() or 1) // workers)
    environment = {"KERAS_BACKEND": keras.backend.backend()}
    environment |= {"OMP_NUM_THREADS": str(threads), "TF_NUM_INTRAOP_THREADS": str(threads)}
    with tempfile.TemporaryDirectory(prefix="keras_geneformer_search") as folder:
        preset, dataset = Path(folder) / "preset", Path(folder) / "cells.dataset"
        backbone.save_to_preset(preset)
        cells.save(dataset)
        with (
            _environment(environment),
            ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
        ):
            waiting = [
                pool.submit(_work, str(preset), str(dataset), str(storage), share, number, task)
                for number, share in enumerate(shares)
            ]
            for future in waiting:
                future.result()


def _work(
    preset: str, dataset: str, storage: str, trials: int, worker: int, task: dict[str, Any]
) -> None:
    from keras_geneformer.evaluation.search import opened_study, require_optuna, run_trials
    from keras_geneformer.models.backbone_of import backbone_of
    from keras_geneformer.tokenization.cells.dataset import CellDataset

    study = opened_study(require_optuna(), storage, task["objective"], task["seed"], worker + 1)
    run_trials(study, backbone_of(preset), CellDataset.load(dataset), trials, **task)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
