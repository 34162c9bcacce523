"""Running a study."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.analysis.cell_embedding import embed_cells
from keras_geneformer.models.backbone_of import backbone_of
from keras_geneformer.models.presets import preset_vocabulary
from keras_geneformer.studies import named_study
from keras_geneformer.studies.adaptation import adapted_settings
from keras_geneformer.studies.differentiation import figures as figures_of
from keras_geneformer.studies.differentiation import run_differentiation
from keras_geneformer.studies.gene_classes import genes_of_study
from keras_geneformer.studies.perturbed_exposures import frequent_genes, perturbed_exposures
from keras_geneformer.studies.study import Study
from keras_geneformer.studies.study_data import study_cells
from keras_geneformer.studies.study_result import EFFECTS, PRESET, StudyResult
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary
from keras_geneformer.training.finetuning.cell_finetuning import finetune_cells
from keras_geneformer.training.finetuning.gene_finetuning import finetune_genes

_ENOUGH = 20
"""Held-out control cells above which no other cells are perturbed."""


def run_study(
    study: str | Study,
    data: Any,
    *,
    output: str | os.PathLike,
    model: Any = "geneformer_mini",
    vocabulary: Any = None,
    genes: Any = None,
    label_key: str | None = None,
    group_key: str | None = None,
    control: str | None = None,
    start: str | None = None,
    goal: str | None = None,
    alternatives: Sequence[str] = (),
    kinds: Sequence[str] | None = None,
    cells: int | None = None,
    folds: int | None = None,
    max_length: int | None = None,
    embed: bool = True,
    counts_options: dict[str, Any] | None = None,
    progress: bool = True,
    **settings: Any,
) -> StudyResult:
    """Run a study on data of your own.

    Args:
        study: its name (`keras_geneformer.studies.STUDIES`), or a `Study`.
        data: a `.h5ad` file or an AnnData of counts, which are tokenized with the model's
            vocabulary; or a `.dataset` directory or `CellDataset`.
        output: a directory; the trained model's preset goes to `preset` in it.
        model: a preset's name or directory, or a backbone or model.
        vocabulary: a `GeneVocabulary`, or what `GeneVocabulary.load` takes. Default: the preset's.
        genes: of a gene study, its list of genes with classes (`read_gene_classes`); of
            `perturb-then-predict`, the genes to delete (default: the 50 most frequent ones); of
            `differentiation`, the genes to perturb (default: the 500 most frequent ones that a
            tenth of the start cells have).
        label_key: column of obs with the classes. Default: the study's.
        group_key: column of obs (donor, patient, technology) of which whole groups are held out;
            of `differentiation`, the donors that are compared.
        control: of `perturb-then-predict`, the class of the untreated cells.
        start, goal, alternatives: of `differentiation`, the classes that cells are moved from and
            towards.
        kinds: of `differentiation`, what is done to genes. Default: delete and overexpress.
        cells: at most so many cells, drawn by `seed`; of gene studies those used, of
            `perturb-then-predict` also the control cells that are perturbed, and of
            `differentiation` only the start cells that are (default: 100).
        folds: of gene studies.
        max_length: longest cell in tokens, of those tokenized here.
        embed: embed the held-out cells, for a map.
        counts_options: options of `RankValueTokenizer.__call__`.
        progress: show bars.
        **settings: settings of `FinetuneSettings` in place of the study's.

    Returns:
        The answer; `study_report.write_study_report` makes a report of it.

    Raises:
        ValueError: there is no such study, or the data or options do not serve it.
        FileNotFoundError: there are no such data.
        FileExistsError: the preset's place in `output` holds something else.
    """
    study = named_study(study) if isinstance(study, str) else study
    _check(study, genes, control, folds)
    _check_states(study, start, goal, [*alternatives, *(kinds or [])], settings)
    words = _vocabulary(model, vocabulary)
    backbone = backbone_of(model)
    given = study_cells(data, words, max_length=max_length, **(counts_options or {}))
    seed = int(settings.get("seed", study.settings.get("seed", 0)))
    whole = len(given)
    if study.kind == "states":
        key = label_key or study.label_key
        states = {"obs_key": key, "start": start, "goal": goal, "alternatives": alternatives}
        chosen_kinds = list(kinds or study.options["kinds"])
        moved, said = run_differentiation(
            model,
            given,
            states,
            Path(output) / EFFECTS,
            vocabulary=words,
            kinds=chosen_kinds,
            genes=genes,
            most_genes=study.options["genes"],
            detected=study.options["detected"],
            most_cells=cells or study.options["cells"],
            donor_key=group_key,
            seed=seed,
            progress=progress,
            **{name: value for name, value in settings.items() if name == "pooling"},
        )
        asked = moved.states.described() | {"alternatives": ", ".join(moved.states.alternatives)}
        asked |= {
            "kinds": ", ".join(chosen_kinds),
            "cells": cells,
            "group_key": group_key,
            "max_length": max_length,
        } | settings
        return StudyResult(
            study=study,
            run=moved,
            figures=figures_of(moved),
            cells=whole,
            model=_described(model, backbone),
            notes=said,
            options={name: value for name, value in asked.items() if value not in (None, "")},
        )
    preset = Path(output) / PRESET
    common: dict[str, Any] = {"output": preset, "vocabulary": words, "progress": progress}
    asked = {"label_key": label_key, "group_key": group_key, "control": control, "cells": cells}
    asked |= {"folds": folds, "max_length": max_length} | settings
    options = dict(study.options)
    notes: list[str] = []
    embedding = changes = None
    if study.kind == "genes":
        options |= {} if cells is None else {"cells_used": cells}
        if folds is not None and folds != options["folds"]:
            notes.append(f"{folds} folds, as asked; the study has {options['folds']}.")
            options["folds"] = folds
        wanted = options.get("cells_used")
        if wanted and wanted > whole:
            notes.append(f"The study used {wanted} cells; there are {whole}, and all were offered.")
            options["cells_used"] = None
        training = min(whole, wanted or whole)
        chosen, said = adapted_settings(study, backbone.num_layers, training, settings)
        genes, more = genes_of_study(genes, study)
        notes += more
        run: Any = finetune_genes(model, given, genes, **options, **common, **chosen)
        figures = dict(run.summary)
        judged = run.cells
    else:
        if cells is not None and cells < whole:
            given = given.sample(cells, seed=seed)
        key = label_key or study.label_key
        if group_key is not None:
            options |= {part: group_key for part, on in options.items() if on is not None}
            options["group_key"] = group_key
        if study.kind == "perturbation":
            _check_control(given, key, str(control), words)
        labelled = int(given.obs[key].notna().sum()) if key in given.obs else len(given)
        chosen, said = adapted_settings(study, backbone.num_layers, round(0.9 * labelled), settings)
        run = finetune_cells(model, given, key, **options, **common, **chosen)
        figures = dict(run.test_metrics or run.metrics)
        judged = len(given)
        held = run.test_predictions if len(run.test_predictions) else run.predictions
        if embed and given.obs.index.is_unique:
            rows = given.obs.index.get_indexer(held.index)
            embedding = embed_cells(run.model, given.subset(rows), layer=-1)
        if study.kind == "perturbation":
            changes, more = _perturbed(run, given, key, str(control), genes, words, cells, progress)
            said += more
    return StudyResult(
        study=study,
        run=run,
        figures=figures,
        cells=judged,
        model=_described(model, backbone),
        notes=notes + said,
        embedding=embedding,
        changes=changes,
        options={name: value for name, value in asked.items() if value is not None},
    )


def _perturbed(
    run: Any,
    cells: Any,
    key: str,
    control: str,
    genes: Sequence[str] | None,
    vocabulary: Any,
    most: int | None,
    progress: bool,
) -> tuple[pd.DataFrame, list[str]]:
    """Deletes genes in control cells, those held out first."""
    of_control = (cells.obs[key].astype(str) == control).to_numpy()
    parts = run.parts.reindex(cells.obs.index).to_numpy()
    held = of_control & np.isin(parts, ["test", "validation"])
    notes = []
    if held.sum() < _ENOUGH:
        notes.append(
            f"Only {int(held.sum())} control cells were held out, so that those which trained were "
            "perturbed as well."
        )
        held = of_control
    rows = np.flatnonzero(held)[:most]
    chosen = cells.subset(rows)
    vocabulary = cells.vocabulary if vocabulary is None else vocabulary
    named = frequent_genes(chosen, vocabulary, 50) if genes is None else list(genes)
    notes.append(f"{len(rows)} control cells were perturbed.")
    # No dataset says where it was cut; that several cells end at one length does.
    longest = int(cells.lengths.max())
    cut = int((chosen.lengths == longest).sum())
    if cut and (cells.lengths == longest).sum() > 1:
        notes.append(
            f"{cut} of these have {longest} tokens, the most a cell has here, and may have been "
            "cut there: a deleted gene's place is then left empty, as the gene that would move up "
            "into it is not in the tokens."
        )
    changes = perturbed_exposures(run.model, chosen, named, vocabulary, progress=progress)
    deleted = set(vocabulary.tokens_of(changes["gene"].unique()).tolist())
    tokens = vocabulary.tokens_of(named).tolist()
    absent = [str(name) for name, token in zip(named, tokens) if token not in deleted]
    if absent:
        notes.append(
            f"{len(absent)} of {len(named)} genes are in none of these cells, or unknown, and were "
            f"left out: {', '.join(absent[:10])}{', …' if absent[10:] else ''}."
        )
    return changes, notes


def _check_control(cells: Any, key: str, control: str, vocabulary: Any) -> None:
    """Refuse before training what would end the study after it."""
    if key in cells.obs:
        classes = sorted(set(cells.obs[key].dropna().astype(str)))
        if control not in classes:
            raise ValueError(
                f"control is {control!r}; expected one of the classes of obs[{key!r}], "
                f"{', '.join(classes)}"
            )
    if not cells.obs.index.is_unique:
        raise ValueError(
            "cells share a name, so that the held-out ones cannot be told from those that trained: "
            "give obs an index of unique names"
        )
    if vocabulary is None and cells.vocabulary is None:
        raise ValueError("no vocabulary says which token is which gene: give vocabulary")


def _check(study: Study, genes: Any, control: str | None, folds: int | None) -> None:
    if study.kind == "genes" and genes is None:
        raise ValueError(
            f"{study.name} needs genes, a list of genes with classes: a csv with the columns "
            "ensembl_id (or gene_name) and label"
        )
    if study.kind == "perturbation" and control is None:
        raise ValueError(f"{study.name} needs control, the class of the untreated cells")
    if study.kind == "cells" and genes is not None:
        raise ValueError(f"{study.name} labels cells, and has no use for genes")
    if study.kind != "genes" and folds is not None:
        raise ValueError(f"{study.name} has no folds; the studies of genes have")


def _check_states(
    study: Study, start: str | None, goal: str | None, more: list[str], settings: dict[str, Any]
) -> None:
    if study.kind == "states":
        if start is None or goal is None:
            raise ValueError(f"{study.name} needs start and goal, two values of the label column")
        trained = sorted(settings.keys() - {"seed", "pooling"})
        if trained:
            raise ValueError(f"{study.name} trains nothing, and has no use for {trained[0]}")
    elif start is not None or goal is not None or more:
        raise ValueError(f"{study.name} has no states; differentiation has")


def _vocabulary(model: Any, given: Any) -> GeneVocabulary | None:
    if given is not None:
        return given if isinstance(given, GeneVocabulary) else GeneVocabulary.load(given)
    return preset_vocabulary(model) if isinstance(model, (str, os.PathLike)) else None


def _described(model: Any, backbone: Any) -> str:
    name = str(model) if isinstance(model, (str, os.PathLike)) else type(model).__name__
    return (
        f"{Path(name).name} ({backbone.num_layers} blocks, {backbone.hidden_dim} dimensions, "
        f"{backbone.count_params():,} weights)"
    )
