"""Search for the settings of fine-tuning, on Optuna."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from keras_geneformer.evaluation.cross_validation import model_checksum
from keras_geneformer.evaluation.fold_store import check_same_run, plain
from keras_geneformer.evaluation.labelled_cells import check_settings, labelled_cells
from keras_geneformer.evaluation.search_space import (
    Space,
    check_space,
    default_space,
    suggested,
    usual_point,
)
from keras_geneformer.evaluation.search_workers import in_processes
from keras_geneformer.models.backbone_of import backbone_of
from keras_geneformer.training.finetuning.cell_finetuning import finetune_cells

_logger = logging.getLogger(__name__)

OBJECTIVES = {"macro_f1": "maximize", "accuracy": "maximize", "loss": "minimize"}
_STUDY = "keras_geneformer"
_RUN = "run"


@dataclass(frozen=True)
class SearchResult:
    """What a search finds."""

    trials: pd.DataFrame
    """A row a trial: `trial`, `state` (complete, pruned, fail, running), `score` (the best of its
    epochs), `epochs`, `seconds`, and the settings it tried."""
    best_settings: dict[str, Any]
    """Settings of the best complete trial, with the fixed ones: keywords of `finetune_cells`,
    `cross_validate` and `compare`."""
    best_score: float
    """Its score. The best of many trials on the same cells is flattered by chance: take the score
    to report from cells that no trial was scored on."""


def search(
    model_or_preset: Any,
    cells: Any,
    label_key: str,
    *,
    trials: int = 20,
    space: Space | None = None,
    storage: str | os.PathLike | None = None,
    workers: int = 1,
    objective: str = "macro_f1",
    validation: Any = 0.1,
    keep: Mapping[str, Any] | None = None,
    rare_threshold: float = 0.0,
    max_cells: int | None = None,
    seed: int = 0,
    progress: bool = True,
    **settings: Any,
) -> SearchResult:
    """Look for the settings that score best on the validation cells.

    Settings are proposed by Optuna's tree-structured Parzen estimator (Akiba et al. 2019), after
    the defaults of `finetune_cells`, which come first where the space has them. After each epoch a
    trial that is below the median of the earlier ones at that epoch is given up (pruned), as is
    one whose loss is no longer finite. All trials have the same validation cells.

    Picture: `kg.plotting.search_history`.

    Args:
        model_or_preset: a `GeneformerBackbone`, a model on one, or the name or directory of a
            preset. It is not changed.
        cells: a `CellDataset`.
        label_key: column of `cells.obs` with the classes; cells without one are left out.
        trials: how many in all, pruned ones included; those in `storage` count.
        space: for each setting a list of values, or `(low, high)`, or `(low, high, "log")`; two
            whole numbers are a range of whole numbers. Default: `search_space.default_space`, but
            for what `settings` fixes.
        storage: an SQLite file that keeps every trial as it ends: run again, the search goes on;
            None keeps them in memory.
        workers: processes that run trials at the same time, on a share of the cores each. Needs
            `storage`, and, in a script, `if __name__ == "__main__":`.
        objective: `"macro_f1"`, `"accuracy"` or `"loss"` of the validation cells.
        validation: as for `finetune_cells`.
        keep, rare_threshold, max_cells: which cells take part, as for `finetune_cells`.
        seed: of the proposals, and of every training.
        progress: show a bar for each training.
        **settings: what is not searched, as for `finetune_cells`.

    Returns:
        The trials and the best settings.

    Raises:
        ImportError: Optuna is not installed.
        ValueError: an option that cannot be, no trial that came to its end, or `storage` holds a
            search of other cells, model, space or settings.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> found = search(
        ...     tiny_backbone(num_layers=1), synthetic_dataset(30), "cell_type", trials=2,
        ...     space={"learning_rate": (1e-4, 1e-2, "log")}, progress=False,
        ... )
        >>> len(found.trials), list(found.best_settings)
        (2, ['learning_rate', 'validation'])
    """
    optuna = require_optuna()
    if trials < 1 or workers < 1:
        raise ValueError(f"Received trials={trials} and workers={workers}; expected 1 or more.")
    if objective not in OBJECTIVES:
        raise ValueError(
            f"Received objective={objective!r}; expected one of {', '.join(OBJECTIVES)}."
        )
    if workers > 1 and storage is None:
        raise ValueError(
            f"Received workers={workers} without storage: processes share their trials in a file. "
            "Give storage=, the name of an SQLite file."
        )
    check_settings({"validation": validation, **settings}, seed)
    if validation is None:
        raise ValueError("Received validation=None; trials are scored on validation cells.")
    chosen = labelled_cells(
        cells, label_key, keep=keep, rare_threshold=rare_threshold, max_cells=max_cells, seed=seed
    )
    given = backbone_of(model_or_preset)
    if space is None:
        usual = default_space(given.num_layers)
        space = {name: values for name, values in usual.items() if name not in settings}
    check_space(space, settings)
    fixed = {"validation": validation, **settings}

    run = plain(
        {
            "label_key": label_key,
            "cells": chosen.checksum(),
            "model": model_checksum(given),
            "objective": objective,
            "space": dict(space),
            "settings": fixed,
            "seed": seed,
        }
    )
    study = opened_study(optuna, storage, objective, seed)
    _check_run(study, run, storage)
    if not study.trials and (point := usual_point(space)) is not None:
        study.enqueue_trial(point)
    left = trials - len(_over(study))
    task: dict[str, Any] = {"label_key": label_key, "space": space, "fixed": fixed}
    task |= {"objective": objective, "seed": seed, "progress": progress}
    if left > 0 and workers == 1:
        run_trials(study, given, chosen.cells, left, **task)
    elif left > 0:
        in_processes(given, chosen.cells, Path(str(storage)), left, min(workers, left), task)
    return _result(study, fixed, objective)


def run_trials(
    study: Any,
    backbone: Any,
    cells: Any,
    number: int,
    *,
    label_key: str,
    space: Space,
    fixed: dict[str, Any],
    objective: str,
    seed: int,
    progress: bool,
) -> None:
    """Run some trials of a study in this process."""
    optuna = require_optuna()
    better = max if OBJECTIVES[objective] == "maximize" else min

    def trial_score(trial: Any) -> float:
        scores: list[float] = []

        def after_epoch(epoch: int, row: dict[str, float]) -> None:
            scores.append(float(row[f"validation_{objective}"]))
            trial.report(scores[-1], epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        try:
            finetune_cells(
                backbone,
                cells,
                label_key,
                after_epoch=after_epoch,
                progress=progress,
                **({"calibrate": False} | fixed | suggested(trial, space) | {"seed": seed}),
            )
        except FloatingPointError as error:
            # Such a rate is no mistake of the caller's, and its trial says where not to look.
            _logger.warning("trial %d is given up: %s", trial.number, error)
            raise optuna.TrialPruned from error
        return better(scores)

    study.optimize(trial_score, n_trials=number)


def opened_study(
    optuna: Any, storage: str | os.PathLike | None, objective: str, seed: int, worker: int = 0
) -> Any:
    """The study that a storage holds, or a new one."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if storage is not None:
        Path(storage).absolute().parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name=_STUDY,
        storage=None if storage is None else f"sqlite:///{Path(storage).absolute()}",
        direction=OBJECTIVES[objective],
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
    )
    # A sampler that began anew with the same seed would propose the first trials again.
    drawn = seed + 1000 * worker + len(study.trials)
    study.sampler = optuna.samplers.TPESampler(seed=drawn, constant_liar=True)
    return study


def require_optuna() -> Any:
    """Optuna, or an error that names the extra."""
    try:
        import optuna
    except ImportError as error:
        raise ImportError(
            "searching settings needs Optuna: pip install 'keras_geneformer[search]'"
        ) from error
    return optuna


def _check_run(study: Any, run: dict[str, Any], storage: Any) -> None:
    if _RUN in study.user_attrs:
        check_same_run(study.user_attrs[_RUN], run, str(storage))
    else:
        study.set_user_attr(_RUN, run)


def _over(study: Any) -> list[Any]:
    return [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]


def _result(study: Any, fixed: dict[str, Any], objective: str) -> SearchResult:
    better = max if OBJECTIVES[objective] == "maximize" else min
    rows = []
    for trial in study.trials:
        scores = list(trial.intermediate_values.values())
        seconds = trial.duration.total_seconds() if trial.duration is not None else float("nan")
        row = {"trial": trial.number, "state": trial.state.name.lower()}
        row |= {"score": better(scores) if scores else float("nan"), "epochs": len(scores)}
        rows.append(row | {"seconds": round(seconds, 3)} | trial.params)
    if not any(trial.state.name == "COMPLETE" for trial in study.trials):
        raise ValueError(
            f"None of {len(rows)} trials came to its end: their losses were not finite. Narrow the "
            "space, its learning rate first."
        )
    best = study.best_trial
    return SearchResult(pd.DataFrame(rows), best.params | fixed, float(best.value))
