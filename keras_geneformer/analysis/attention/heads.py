"""What each head attends to: genes of a class, the front of the cell, few genes or many."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_geneformer.analysis.attention.gene_classes import (
    OTHERS,
    genes_in_cells,
    read_tested_classes,
)
from keras_geneformer.analysis.attention.head_result import HeadAttention
from keras_geneformer.analysis.attention.head_tests import (
    ALTERNATIVES,
    false_discovery_rate,
    rank_strata,
    rank_sum,
)
from keras_geneformer.analysis.attention.reductions import STATISTICS
from keras_geneformer.analysis.attention.sums import JOINT, PARTS, AttentionSums, sum_attention
from keras_geneformer.analysis.attention.wanted import asked_of, chosen_layers, grouped
from keras_geneformer.tokenization.genes.gene_lists import GeneClasses, cells_with_token


def attention_heads(
    model: Any,
    cells: Any,
    gene_classes: Any,
    *,
    against: str | None = None,
    column: str | None = None,
    alternative: str = "greater",
    layers: Sequence[int] | int | None = None,
    by: str | None = None,
    min_cells: int = 1,
    batch_size: int | None = None,
    vocabulary: Any = None,
    progress: bool = False,
) -> HeadAttention:
    """Compare, head by head, the attention that genes of a class and other genes receive.

    A gene's attention is that of `attention_by_gene`: its mean over the cells that hold it, 1 being
    an even share. Genes are the observations, not cells, and a rank-sum test asks of every head
    whether those of the class have more (`alternative`); p-values are adjusted over heads by
    Benjamini and Hochberg (FDR). How much attention a gene receives depends on its rank in the
    cell, and classes differ in rank; so a second test compares genes of like mean rank alone
    (tenths of the genes compared; van Elteren).

    Picture: `kg.plotting.head_map`, `rank_matched_heads`, `attention_by_rank`, `attention_spread`.

    Args:
        model: a `GeneformerBackbone`, a model on one, or the name or directory of a preset.
        cells: a `CellDataset` of its vocabulary.
        gene_classes: a dict of class names to genes, or a table: with a column `label` (or
            `class`); or `is_tf`, whose "Yes" are the class "transcription factors"; or neither, and
            all its genes are of one class.
        against: the class that the others are compared with (`"peripheral"`, say); by default all
            genes of the cells that are in no class, "other genes".
        column: the column of the table with the class.
        alternative: `"greater"`: genes of the class receive more; `"less"` or `"two-sided"`.
        layers: encoder blocks, from 1, or negative from the end; all by default.
        by: an obs column: everything for the cells of each value by itself. A value is left out,
            with a warning, whose cells hold no gene of a class.
        min_cells: genes that fewer cells (of a group) hold are left out.
        batch_size: cells a batch; by default as many as 8192 tokens hold.
        vocabulary: the `GeneVocabulary`; by default that of the cells, or of the preset.
        progress: show a bar.

    Returns:
        A `HeadAttention`: tests, attention by rank and the spread of each head's attention.

    Raises:
        FileNotFoundError: there is no such list.
        ValueError: no such layer, column, class or alternative, no vocabulary, a class without a
            gene in the cells, or cells of another vocabulary or too long for the model.

    Source: Theodoris et al., Nature 618, 616 (2023), who tested attention to transcription factors,
        and to central genes of the NOTCH1 network, by the rank-sum test with FDR.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset, tiny_backbone
        >>> found = attention_heads(
        ...     tiny_backbone(), synthetic_dataset(6), {"markers": ["GENE1", "GENE2", "GENE3"]})
        >>> found.heads[["layer", "head", "auc"]].shape, len(found.ranks)
        ((12, 3), 120)
    """
    if alternative not in ALTERNATIVES:
        raise ValueError(
            f"Received alternative={alternative!r}; expected one of {', '.join(ALTERNATIVES)}."
        )
    asked = asked_of(model, cells, vocabulary)
    chosen = chosen_layers(layers, asked.backbone.num_layers)
    classes = read_tested_classes(gene_classes, asked.vocabulary, column)
    against = OTHERS if against is None else against
    if against not in classes.classes:
        raise ValueError(
            f"Received against={against!r}; the classes are {', '.join(classes.classes)}."
        )
    kept, codes, groups = grouped(cells, by)
    if by is None:
        held = cells_with_token(kept, asked.backbone.vocabulary_size)
        genes_in_cells(classes, held, min_cells)
    else:
        kept, codes, groups = _testable(kept, codes, groups, classes, min_cells, by)
    sums = sum_attention(
        asked._replace(cells=kept),
        chosen,
        codes,
        groups,
        batch_size=batch_size,
        progress=progress,
    )
    return head_attention(sums, classes, against, alternative, min_cells, by)


def _testable(
    cells: Any,
    codes: np.ndarray,
    groups: list[str],
    classes: GeneClasses,
    min_cells: int,
    by: str,
) -> tuple[Any, np.ndarray, list[str]]:
    """The groups whose cells hold genes of every class; a warning tells of the others."""
    left, lost = [], []
    size = int(classes.tokens.max()) + 1
    for group, name in enumerate(groups):
        held = cells_with_token(cells.subset(codes == group), size)
        try:
            genes_in_cells(classes, held, min_cells, f" of {by} {name!r}")
            left.append(group)
        except ValueError as error:
            lost.append((name, str(error)))
    if not left:
        raise ValueError(f"No group of cells holds genes of every class. {lost[0][1]}")
    if not lost:
        return cells, codes, groups
    warnings.warn(
        f"{len(lost)} of {len(groups)} groups of {by} are left out, since genes of a class are not "
        f"in (enough of) their cells: {', '.join(name for name, _ in lost[:10])}.",
        stacklevel=3,
    )
    kept = np.isin(codes, left)
    return cells.subset(kept), np.searchsorted(left, codes[kept]), [groups[one] for one in left]


def head_attention(
    sums: AttentionSums,
    classes: GeneClasses,
    against: str,
    alternative: str,
    min_cells: int,
    by: str | None,
) -> HeadAttention:
    """What `attention_heads` returns, from sums over cells."""
    tests, ranks, spread, received = [], [], [], []
    for group, name in enumerate(sums.groups):
        here = genes_in_cells(classes, sums.gene_cells[group], min_cells)
        places = _heads_of(sums, name, by)
        tests.append(_tests(sums, group, here, against, alternative, places))
        received.append(_received(sums, group, here, by))
        cells = sums.part_cells[group][:, None, None]
        parts = np.divide(
            sums.parts[group], cells, out=np.full(sums.parts[group].shape, np.nan), where=cells > 0
        )
        for part in range(PARTS):
            ranks.append(
                places.assign(
                    rank_from=part / PARTS,
                    rank_to=(part + 1) / PARTS,
                    attention=parts[part][sums.real_heads],
                    cells=sums.part_cells[group, part],
                )
            )
        described = sums.described[group] / sums.cells[group]
        names = (*STATISTICS, *JOINT)
        columns = {key: described[..., number][sums.real_heads] for number, key in enumerate(names)}
        spread.append(places.assign(**columns, cells=sums.cells[group]))
    keys = ["layer", "head"] if by is None else [by, "layer", "head"]
    ranked = pd.concat(ranks, ignore_index=True).sort_values([*keys, "rank_from"], kind="stable")
    return HeadAttention(
        heads=pd.concat(tests, ignore_index=True),
        ranks=ranked.reset_index(drop=True),
        diversity=pd.concat(spread, ignore_index=True),
        genes=pd.concat(received, ignore_index=True),
        alternative=alternative,
        cells=int(sums.cells.sum()),
    )


def _tests(
    sums: AttentionSums,
    group: int,
    classes: GeneClasses,
    against: str,
    alternative: str,
    places: pd.DataFrame,
) -> pd.DataFrame:
    """A row a class and head of one group of cells."""
    received = sums.mean_received(group, classes.tokens)[:, sums.real_heads].T
    shares = sums.mean_rank_shares(group, classes.tokens)
    reference = classes.labels == classes.classes.index(against)
    tables = []
    for number, label in enumerate(classes.classes):
        if label in (against, OTHERS):
            continue
        members = classes.labels == number
        compared = members | reference
        values, own = received[:, compared], members[compared]
        plain = rank_sum(values, own, alternative=alternative)
        strata = rank_strata(shares[compared])
        like = rank_sum(values, own, strata, alternative)
        tables.append(
            places.assign(
                gene_class=label,
                against=against,
                genes=int(members.sum()),
                other_genes=int(reference.sum()),
                attention=received[:, members].mean(axis=1),
                other_attention=received[:, reference].mean(axis=1),
                auc=plain.auc,
                p=plain.p,
                fdr=false_discovery_rate(plain.p),
                auc_at_like_rank=like.auc,
                p_at_like_rank=like.p,
                fdr_at_like_rank=false_discovery_rate(like.p),
                rank_share=float(shares[members].mean()),
                other_rank_share=float(shares[reference].mean()),
            )
        )
    return pd.concat(tables, ignore_index=True)


def _received(
    sums: AttentionSums, group: int, classes: GeneClasses, by: str | None
) -> pd.DataFrame:
    """A row a gene that was compared, with its attention in every layer, mean of heads."""
    cells = sums.gene_cells[group, classes.tokens]
    table = pd.DataFrame(
        {
            "ensembl_id": classes.ensembl_ids,
            "symbol": classes.symbols,
            "gene_class": np.asarray(classes.classes, dtype=object)[classes.labels],
            "cells": cells,
            "rank": sums.ranks[group, classes.tokens] / cells,
            "rank_share": sums.mean_rank_shares(group, classes.tokens),
        }
    )
    layers = sums.mean_received(group, classes.tokens).sum(axis=2) / np.asarray(sums.heads)
    for number, layer in enumerate(sums.layers):
        table[f"layer_{layer}"] = layers[:, number]
    if by is not None:
        table.insert(0, by, sums.groups[group])
    return table


def _heads_of(sums: AttentionSums, name: str, by: str | None) -> pd.DataFrame:
    """Layer and head of every head, in the order of an (L, H) array at `real_heads`."""
    layer, head = np.nonzero(sums.real_heads)
    table = pd.DataFrame({"layer": np.asarray(sums.layers)[layer], "head": head + 1})
    if by is not None:
        table.insert(0, by, name)
    return table
