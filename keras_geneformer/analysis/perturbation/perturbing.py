"""In silico perturbation: genes deleted or moved in cells, and how far the cells move."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from keras_geneformer.analysis.perturbation.batch_size import BatchSize
from keras_geneformer.analysis.perturbation.cell_effects import COLUMNS, CellEffects
from keras_geneformer.analysis.perturbation.effect_files import EffectsWriter
from keras_geneformer.analysis.perturbation.engine import engine_for
from keras_geneformer.analysis.perturbation.gene_selection import vocabulary_for
from keras_geneformer.analysis.perturbation.identity import cells_checksum, model_checksum
from keras_geneformer.analysis.perturbation.model_parts import (
    class_names,
    classifier_of,
    gene_namer,
    state_vectors,
)
from keras_geneformer.analysis.perturbation.planning import (
    check_cells,
    check_names,
    of_shard,
    planned,
    sampled,
)
from keras_geneformer.analysis.perturbation.screening import (
    ScreenedEffects,
    check_screen,
    make_screen,
)
from keras_geneformer.analysis.perturbation.states import States
from keras_geneformer.analysis.pooling import check_pooling, special_ids
from keras_geneformer.data.compatibility import check_vocabulary
from keras_geneformer.models.backbone_of import backbone_of

POOLINGS = ("mean", "cls", "first")

CONTROLS = 10
"""Deletions computed beside those that a screen puts first."""


def perturb(
    model: Any,
    cells: Any,
    *,
    kind: str = "delete",
    genes: str | Sequence[str | int] = "all",
    together: bool = False,
    combination: int = 1,
    anchor: str | int | None = None,
    rank_shift: int = 1,
    quantiles: int = 4,
    rank: int | None = None,
    layer: int = -2,
    pooling: str = "mean",
    states: Mapping[str, Any] | States | None = None,
    classifier: Any = None,
    affected_genes: bool = False,
    screen: int | None = None,
    screen_by: str = "gradient",
    controls: int | None = None,
    projections: int | None = None,
    max_cells: int | None = None,
    batch_size: int | None = None,
    vocabulary: Any = None,
    output: str | os.PathLike | None = None,
    shard: tuple[int, int] | None = None,
    resume: bool = True,
    published: bool = False,
    seed: int = 0,
    progress: bool = False,
) -> Any:
    """Perturb genes in cells, and measure how far the cells move (Theodoris et al., Nature 2023).

    Kinds: `"delete"` takes the gene's token out, and all below it move up one rank.
    `"overexpress"` moves it to the front; a gene of a list that a cell lacks is put there, and
    where the cell is as long as the model, its last gene is dropped, from the cell that it is
    compared with too. `"inhibit"` and `"activate"` move a gene down or up by `rank_shift` of
    `quantiles` parts of the ranking, and `"set_rank"` to a rank: see `new_ranks`.

    Passed over are cells of a single gene; cells that lack a gene, unless it is overexpressed
    (with `together` and `anchor`, lack any of them); cells that a deletion would leave without a
    gene; and moves of a single gene that stands already where it would go.

    Measures, each a row:

    - `cell_cosine`, state `"original"`: the published cosine between the perturbed and the original
      cell. With `pooling="cls"` of the states of `<cls>`. With `pooling="mean"` the mean, over the
      genes of both that were not perturbed, of the cosine between a gene's state after and before,
      which is not the cosine between the two mean embeddings. 1 means no effect.
    - `state_shift`, with `states`: the cosine between the cell's embedding (pooled over all of its
      genes, the perturbed ones too) and the state, after less before.
    - `log_odds_shift`, `probability_shift`, with `classifier`: for each class, after less before.
    - `gene_cosine`, with `affected_genes`: for each gene of the cell that was not perturbed, whose
      id stands in `state`, the cosine between its state after and before.
    - `screen`, with `screen`: the score of every gene; in `state` whether it is of the `"top"`, a
      `"control"`, or of the `"rest"`, which are not computed.

    All are computed from differences and in float64, as the effect of one gene in a long cell is
    near the rounding of float32.

    Picture: `kg.plotting.perturbation_effects`.

    Args:
        model: a `GeneformerBackbone`, a model on one, or the name or directory of a preset.
        cells: a `CellDataset`.
        kind: see above.
        genes: `"all"` genes of each cell, or a list: Ensembl ids or symbols (then `vocabulary` is
            needed) or token ids.
        together: the whole list at once, not each gene alone. Overexpressed, the first of the list
            comes first.
        combination: 2 for every pair of the list, 3 for every three, and so on.
        anchor: a gene perturbed together with each other one, in the cells that have it.
        rank_shift, quantiles: for `"inhibit"` and `"activate"`.
        rank: for `"set_rank"`, from 0, the highest.
        layer: hidden states taken; the second to last by default.
        pooling: `"mean"` over genes (as published for V1); `"cls"` (as published for V2);
            `"first"`, the first token, whatever it is.
        states: `{"obs_key": column, "start": value, "goal": value, "alternatives": [values]}`:
            cells of the start state are perturbed, and shifts towards each state measured. States
            are the mean embeddings of their cells among `cells`; or `"vectors"`, a DataFrame of
            `embed_states`, of the same layer and pooling.
        classifier: a `GeneformerCellClassifier`, or the name or directory of its preset.
        affected_genes: tell of every gene: a row for each pair of genes of a cell.
        screen: compute only so many deletions a cell, those of the highest scores by `screen_by`.
        screen_by: `"gradient"`, by a few backward passes a cell; `"int8"`, by all deletions in
            int8 (OpenVINO backend).
        controls: deletions computed beside those, drawn at random; 10 by default.
        projections: backward passes of `"gradient"`; see `GradientScreen`.
        max_cells: perturb at most so many cells, drawn at random by `seed`.
        batch_size: perturbed copies a batch; by default as many as memory takes.
        vocabulary: the `GeneVocabulary` that names the genes; that of a given preset, or of the
            cells where they carry one, by default. Without any, `gene` is the token as text.
        output: a `.parquet` to stream the effects to, a cell at a time. A run that was stopped goes
            on where it was; the file is there when all is in it.
        shard: `(i, n)`: perturb the i-th of n parts of the cells; `perturb_merge` joins the files.
        resume: go on with what is there of the same run; else begin again.
        published: draw `max_cells` as the published package does.
        seed: of what is drawn.
        progress: show a bar that counts perturbations.

    Returns:
        A DataFrame, by cell: `cell` (its name in obs), `gene` (several joined by "+"), `token` (-1
        where there are several), `kind`, `measure`, `state`, `value` (float64). With `output`, its
        path: `read_effects` reads it.

    Raises:
        ValueError: a kind, gene, state, pooling or layer that there is not; a gene that is in none
            of the cells; two cells of one name; arguments that do not go together; nothing to
            perturb; an output of another run; or whatever `embed_cells` refuses.
        MemoryError: not even one copy fits on the device.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> effects = perturb(tiny_backbone(), synthetic_dataset(1))
        >>> bool(effects["value"].between(-1, 1).all())
        True
    """
    if pooling not in POOLINGS:
        raise ValueError(f"Received pooling={pooling!r}; expected one of {', '.join(POOLINGS)}.")
    sizes = BatchSize(batch_size)
    check_cells(cells)
    backbone = backbone_of(model)
    check_vocabulary(
        cells,
        backbone.vocabulary_checksum,
        backbone.vocabulary_size,
        backbone.max_sequence_length,
        backbone.special_token_ids,
    )
    special = special_ids(cells, backbone)
    check_pooling(cells, pooling, special)
    vocabulary = vocabulary_for(model, cells, vocabulary)
    wanted = States.of(states, cells)
    network = classifier_of(classifier, cells)
    rows = np.arange(len(cells)) if wanted is None else wanted.rows(cells, wanted.start)
    check_names(cells, rows)
    rows = sampled(rows, max_cells, seed, published)
    perturbation = planned(
        cells.subset(rows),
        kind=kind,
        genes=genes,
        together=together,
        combination=combination,
        anchor=anchor,
        rank_shift=rank_shift,
        quantiles=quantiles,
        rank=rank,
        vocabulary=vocabulary,
        special=special,
        max_length=backbone.max_sequence_length,
        vocabulary_size=backbone.vocabulary_size,
        published=published,
    )
    check_screen(screen, controls, perturbation, screen_by, projections)
    controls = CONTROLS if controls is None else controls
    counts = np.array([perturbation.count(np.asarray(cells[int(row)])) for row in rows])
    if not counts.sum():
        raise ValueError(
            "There is nothing to perturb: no cell has two genes or more of which one is asked for "
            "and would move."
        )
    if screen is not None:
        counts = np.minimum(counts, screen + controls)
    mine = of_shard(counts * np.asarray(cells.lengths)[rows], shard)
    rows, counts = rows[mine], counts[mine]

    def run(writer: EffectsWriter | None) -> list[pd.DataFrame]:
        if not len(rows):
            return []
        vectors, names = state_vectors(
            backbone, cells, wanted, progress, layer=layer, pooling=pooling, batch_size=batch_size
        )
        read = {"layer": layer, "special": special}
        effects = CellEffects(
            engine=engine_for(
                backbone,
                first=pooling != "mean" and not affected_genes,
                classifier=network,
                lengths=np.asarray(cells.lengths)[rows],
                **read,
            ),
            perturbation=perturbation,
            pooling=pooling,
            names=gene_namer(vocabulary),
            batch_size=sizes,
            states=vectors,
            state_names=names,
            classes=class_names(network),
            affected_genes=affected_genes,
        )
        screened = None
        if screen is not None:
            if projections is not None:
                read["projections"] = projections
            goal = None if vectors is None else vectors[1:2]
            scorer = make_screen(
                screen_by,
                backbone,
                cells.subset(rows),
                pooling=pooling,
                states=goal,
                seed=seed,
                **read,
            )
            screened = ScreenedEffects(
                effects=effects, screen=scorer, top=screen, controls=controls, seed=seed
            )
        done = np.isin(rows, [] if writer is None else sorted(writer.done()))
        tables = []
        with tqdm(
            total=int(counts.sum()),
            initial=int(counts[done].sum()),
            desc=kind,
            unit="gene",
            disable=not progress,
        ) as bar:
            for row in map(int, rows[~done]):
                name, ids = str(cells.obs.index[row]), np.asarray(cells[row], dtype=np.int32)
                if screened is None:
                    table = effects.of(name, ids, advance=bar.update)
                else:
                    table = screened.of(name, ids, row, bar.update)
                if writer is None:
                    tables.append(table)
                else:
                    writer.add(row, table)
        return tables

    if output is None:
        tables = [table for table in run(None) if len(table)]
        if not tables:
            return pd.DataFrame(columns=COLUMNS)
        return pd.concat(tables, ignore_index=True)
    settings = {
        "kind": kind,
        "genes": "all" if perturbation.targets is None else perturbation.targets.tolist(),
        "together": together,
        "combination": combination,
        "anchor": perturbation.anchor,
        "rank_shift": rank_shift,
        "quantiles": quantiles,
        "rank": rank,
        "layer": layer,
        "pooling": pooling,
        "classifier": None if network is None else model_checksum(network),
        "affected_genes": affected_genes,
        "screen": screen,
        "max_cells": max_cells,
        "published": published,
        "seed": seed,
        "states": None if wanted is None else wanted.described(),
        "model_checksum": model_checksum(backbone),
        "vocabulary_checksum": getattr(vocabulary, "checksum", None),
        "state_vectors": None if wanted is None else _digest(wanted.vectors),
        "cells_checksum": cells_checksum(cells, None if wanted is None else wanted.obs_key),
        "shard": None if shard is None else list(shard),
    }
    if screen is not None:
        settings |= {"screen_by": screen_by, "controls": controls, "projections": projections}
    with EffectsWriter(Path(output), settings, resume) as writer:
        if not writer.finished:
            run(writer)
            writer.finish()
    return Path(output)


def _digest(vectors: pd.DataFrame | None) -> str | None:
    """What tells given vectors of states from others."""
    if vectors is None:
        return None
    return hashlib.sha256(vectors.to_numpy(dtype=np.float64).tobytes()).hexdigest()
