"""Geneformer and baselines on the same folds."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from keras_geneformer.analysis.cell_embedding import embed_cells
from keras_geneformer.evaluation.baselines import (
    DEFAULT_BASELINES,
    BaselineInputs,
    check_baselines,
    is_untrained,
    needs_counts,
    run_baseline,
    untrained_layers,
)
from keras_geneformer.evaluation.count_features import AlignedCounts, aligned_counts
from keras_geneformer.evaluation.cross_validation import model_checksum
from keras_geneformer.evaluation.fold_scores import (
    GENEFORMER,
    finetuned_predictions,
    joined_predictions,
    scored_fold,
)
from keras_geneformer.evaluation.fold_store import FoldStore, check_same_run, plain
from keras_geneformer.evaluation.folds import Fold, make_folds
from keras_geneformer.evaluation.labelled_cells import (
    LabelledCells,
    check_settings,
    labelled_cells,
)
from keras_geneformer.evaluation.verdict import comparison_summary, comparison_verdict
from keras_geneformer.models.backbone_of import backbone_of

_OF_PRETRAINED = {
    **{"freeze_layers": 0, "freeze_embeddings": None, "unfreeze": None, "lora": None},
    **{"lora_alpha": None, "quantize": None, "prune": None, "cache": None},
}
"""Settings that keep pretrained weights: random ones they would only handicap."""


@dataclass(frozen=True)
class Comparison:
    """What the comparison finds."""

    table: pd.DataFrame
    """A row a method and fold: `method` ("geneformer", or the baseline), `fold` (from 1),
    `accuracy`, `macro_f1`, `cells` (tested), `training_cells`, `seconds`; `held_out` with groups.
    """
    summary: pd.DataFrame
    """A row a method, the best macro-F1 first: means, intervals, and the corrected resampled t-test
    of Geneformer against it; see `verdict.comparison_summary`."""
    verdict: str
    """Who is ahead and whether that can be relied on, in words."""
    predictions: pd.DataFrame
    """A row a method and tested cell: `cell`, `method`, `fold`, `true`, `label`, `prob_<class>`."""
    folds: list[Fold]
    """Training and test rows of each fold, among the labelled cells."""


def compare(
    model_or_preset: Any,
    cells: Any,
    label_key: str,
    *,
    counts: Any = None,
    baselines: Sequence[str] = DEFAULT_BASELINES,
    folds: int | str = 5,
    group_key: str | None = None,
    stratified: bool = True,
    keep: Mapping[str, Any] | None = None,
    rare_threshold: float = 0.0,
    max_cells: int | None = None,
    n_counts_key: str | None = "n_counts",
    layer: str | None = None,
    check_counts: bool = True,
    output: str | os.PathLike | None = None,
    seed: int = 0,
    progress: bool = True,
    **settings: Any,
) -> Comparison:
    """Hold Geneformer, fine-tuned, against baselines on the same folds.

    Everything is fitted on the training cells of a fold alone. Geneformer is fine-tuned with
    `settings`; so are the networks from random weights (`untrained`, and `untrained-N` with N
    encoder blocks), which have its widths and vocabulary, but freeze nothing.

    Picture: `kg.plotting.comparison_bars`.

    Args:
        model_or_preset: a `GeneformerBackbone`, a model on one, or the name or directory of a
            preset. It is not changed.
        cells: a `CellDataset`.
        label_key: column of `cells.obs` with the classes; cells without one are left out.
        counts: what the cells were tokenized from, as an AnnData or a file: the counts of each cell
            are found by its name. Not needed for `knn` and `untrained`.
        baselines: names; see `baselines.run_baseline` for what each is. By default
            logistic-regression, svm, random-forest, xgboost (which needs the extra `[baselines]`),
            knn and untrained-1.
        folds, group_key, stratified: as for `cross_validate`.
        keep, rare_threshold, max_cells: which cells take part, as for `finetune_cells`.
        n_counts_key, layer, check_counts: of the counts, as for the tokenizer.
        output: a directory to write: table.csv, summary.csv, predictions.csv, verdict.txt, and a
            file of each method and fold. A run that was ended goes on at the next fold, and one
            with more baselines runs these alone.
        seed: of the folds, and of every method.
        progress: show a bar.
        **settings: how Geneformer is fine-tuned, as for `finetune_cells` (`epochs`,
            `learning_rate`, `freeze_layers`, `loss`, ...).

    Returns:
        The table, its summary and what it says.

    Raises:
        ValueError: see `make_folds` and `finetune_cells`; an unknown baseline; counts that are
            missing or do not belong to the cells; or `output` holds a run of other cells, folds,
            model, counts or settings.
        ImportError: a baseline needs a package that is not installed.
        FileExistsError: `output` holds something else.

    Example:
        >>> from keras_geneformer.testing import synthetic_cells, synthetic_dataset, tiny_backbone
        >>> found = compare(
        ...     tiny_backbone(num_layers=1), synthetic_dataset(30), "cell_type", folds=2,
        ...     counts=synthetic_cells(30), baselines=["logistic-regression"], progress=False,
        ... )
        >>> found.table["method"].unique().tolist()
        ['geneformer', 'logistic-regression']
    """
    check_settings(settings, seed)
    names = check_baselines(baselines)
    chosen = labelled_cells(
        cells,
        label_key,
        group_key,
        keep=keep,
        rare_threshold=rare_threshold,
        max_cells=max_cells,
        seed=seed,
    )
    made = make_folds(chosen.labels, chosen.groups, folds, stratified=stratified, seed=seed)
    aligned = None
    wanting = [name for name in names if needs_counts(name)]
    if wanting:
        if counts is None:
            raise ValueError(
                f"{', '.join(wanting)} look at counts: pass counts=, an AnnData or a file, what "
                "the cells were tokenized from."
            )
        options: dict[str, Any] = {"layer": layer, "check_counts": check_counts}
        aligned = aligned_counts(counts, chosen.names, n_counts_key=n_counts_key, **options)
    given = backbone_of(model_or_preset)
    methods = _Methods(given, chosen, label_key, aligned, settings, seed, progress)
    run: dict[str, Any] = {"what": "comparison", "seed": seed}
    run |= {"label_key": label_key, "group_key": group_key}
    run |= {"cells": chosen.checksum(), "folds": folds, "stratified": stratified}
    store = FoldStore(output, run)

    rows, parts = [], []
    planned = [(name, number) for name in (GENEFORMER, *names) for number in range(len(made))]
    for name, number in tqdm(planned, "methods and folds", disable=not progress):
        inputs = methods.inputs_of(name)
        found = store.load(name, number + 1)
        if found is None:
            run_method = methods.runner(name, made[number])
            row, predictions = scored_fold(name, number + 1, chosen, made[number], run_method)
            found = {"row": row, "inputs": inputs}, predictions
            store.save(name, number + 1, *found)
        else:
            check_same_run(found[0]["inputs"], inputs, f"{output} ({name})")
        rows.append(found[0]["row"])
        parts.append(found[1])
        complete = len(rows) == len(planned)
        store.write_table("table", pd.DataFrame(rows), complete=complete)
    table, predictions = pd.DataFrame(rows), joined_predictions(parts)
    summary = comparison_summary(table)
    verdict = comparison_verdict(summary, len(made))
    store.write_table("predictions", predictions)
    store.write_table("summary", summary)
    store.write_text("verdict", verdict)
    return Comparison(table, summary, verdict, predictions, made)


class _Methods:
    """Every method by its name, on the same cells."""

    def __init__(
        self,
        backbone: Any,
        chosen: LabelledCells,
        label_key: str,
        counts: AlignedCounts | None,
        settings: dict[str, Any],
        seed: int,
        progress: bool,
    ) -> None:
        self._backbone = backbone
        self._chosen = chosen
        self._label_key = label_key
        self._counts = counts
        self._settings = {"calibrate": False, **settings}
        self._seed = seed
        self._progress = progress
        self._embedding: np.ndarray | None = None
        self._of_model = {"model": model_checksum(backbone)}
        self._of_counts = {} if counts is None else {"counts": counts.checksum()}

    def inputs_of(self, name: str) -> dict[str, Any]:
        """What the method's scores depend on, besides cells and folds."""
        if needs_counts(name):
            return self._of_counts
        if name == GENEFORMER:
            return plain({**self._of_model, "settings": self._settings})
        if is_untrained(name):
            shape = {**self._backbone.get_config(), "num_layers": self._layers(name)}
            del shape["name"]
            return plain({"network": shape, "settings": self._settings_of_untrained()})
        return self._of_model if name == "knn" else {}

    def runner(self, name: str, fold: Fold) -> Any:
        """The method on a fold, to be called without arguments."""
        if name == GENEFORMER:
            return lambda: self._finetuned(self._backbone, fold, self._settings)
        if is_untrained(name):
            return lambda: self._untrained(name, fold)
        if name == "knn" and self._embedding is None:
            embedded = embed_cells(self._backbone, self._chosen.cells, progress=self._progress)
            self._embedding = embedded.to_numpy()
        inputs = BaselineInputs(self._chosen.labels, self._counts, self._embedding)
        return lambda: run_baseline(name, inputs, *fold, self._seed)

    def _finetuned(self, model: Any, fold: Fold, settings: dict[str, Any]) -> pd.DataFrame:
        return finetuned_predictions(
            model,
            self._chosen,
            self._label_key,
            fold,
            seed=self._seed,
            progress=self._progress,
            settings=settings,
        )

    def _untrained(self, name: str, fold: Fold) -> pd.DataFrame:
        keras.utils.set_random_seed(self._seed)
        config = self._backbone.get_config() | {"num_layers": self._layers(name)}
        network = type(self._backbone).from_config(config)
        return self._finetuned(network, fold, self._settings_of_untrained())

    def _layers(self, name: str) -> int:
        return untrained_layers(name, self._backbone.num_layers)

    def _settings_of_untrained(self) -> dict[str, Any]:
        return {name: _OF_PRETRAINED.get(name, value) for name, value in self._settings.items()}
