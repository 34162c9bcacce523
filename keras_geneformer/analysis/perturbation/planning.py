"""What `perturb` is asked for, checked, and which cells it is done to."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_geneformer.analysis.perturbation.gene_selection import check_presence, selected_tokens
from keras_geneformer.analysis.perturbation.kinds import check_kind
from keras_geneformer.analysis.perturbation.variants import Perturbation


def planned(
    cells: Any,
    *,
    kind: str,
    genes: str | Sequence[str | int],
    together: bool,
    combination: int,
    anchor: str | int | None,
    rank_shift: int,
    quantiles: int,
    rank: int | None,
    vocabulary: Any,
    special: np.ndarray,
    max_length: int,
    vocabulary_size: int,
    published: bool,
) -> Perturbation:
    """The perturbation asked for.

    Args:
        cells: those perturbed.
        kind, genes, together, combination, anchor, rank_shift, quantiles, rank, published: as in
            `perturb`.
        vocabulary: to find genes by name; or None.
        special: token ids that are no genes.
        max_length: tokens of the model.
        vocabulary_size: token ids that the model knows.

    Raises:
        ValueError: arguments that do not go together; a gene that is not in the vocabulary, or,
            unless it is inserted, in none of the cells.
    """
    check_kind(kind, rank_shift, quantiles, rank, published)
    targets = selected_tokens(genes, vocabulary, special)
    if targets is not None and ((targets < 0) | (targets >= vocabulary_size)).any():
        odd = targets[(targets < 0) | (targets >= vocabulary_size)]
        raise ValueError(
            f"Received the token ids {', '.join(map(str, odd[:10]))} for genes; the model's go "
            f"from 0 to {vocabulary_size - 1}."
        )
    several = together or combination > 1
    if several and targets is None:
        raise ValueError(
            'Received genes="all" with together=True or a combination: that is every gene of a '
            "cell, or every pair of them. Give a list of genes, or one gene as the anchor."
        )
    if (together and combination > 1) or (several and anchor is not None):
        raise ValueError(
            f"Received together={together}, combination={combination} and anchor={anchor!r}; "
            "expected one of them."
        )
    if combination < 1 or (targets is not None and combination > len(targets)):
        of = "all" if targets is None else len(targets)
        raise ValueError(
            f"Received combination={combination} of {of} genes; expected 1 (each alone), 2 for "
            "pairs, or more, and no more than there are genes."
        )
    anchor_token = None
    if anchor is not None:
        anchor_token = int(selected_tokens([anchor], vocabulary, special)[0])  # type: ignore[index]
        check_presence(cells, np.array([anchor_token]), [anchor])
    if kind != "overexpress":
        check_presence(cells, targets, genes)
    return Perturbation(
        kind=kind,
        targets=targets,
        special=special,
        max_length=max_length,
        together=together,
        combination=combination,
        anchor=anchor_token,
        rank_shift=rank_shift,
        quantiles=quantiles,
        rank=rank,
    )


def check_cells(cells: Any) -> None:
    """Refuse what is no `CellDataset`.

    Raises:
        ValueError: it is something else, the path of one for example.
    """
    if not hasattr(cells, "token_lists"):
        raise ValueError(
            f"Received a {type(cells).__name__} as cells; expected a CellDataset: "
            "CellDataset.load(path) reads one, RankValueTokenizer makes one of an AnnData."
        )


def check_names(cells: Any, rows: np.ndarray) -> None:
    """Refuse two cells of one name: a table of effects tells cells apart by nothing else.

    Args:
        cells: a `CellDataset`.
        rows: of the cells that are perturbed.

    Raises:
        ValueError: two of them have one name in obs.
    """
    names = cells.obs.index[rows].astype(str)
    twice = names[names.duplicated()]
    if len(twice):
        raise ValueError(
            f"{len(twice)} cells have the name of another in obs, {twice[0]!r} for one, and "
            "effects name their cells: give each a name of its own (AnnData.obs_names_make_unique)."
        )


def sampled(rows: np.ndarray, max_cells: int | None, seed: int, published: bool) -> np.ndarray:
    """At most so many of some rows, drawn at random, in order.

    Args:
        rows: to draw from.
        max_cells: how many; None for all.
        seed: of the draw.
        published: draw as the published package does, with its seed of 42.

    Raises:
        ValueError: `max_cells` below 1.

    Example:
        >>> import numpy as np
        >>> sampled(np.arange(100), 3, 0, False).shape
        (3,)
    """
    if max_cells is None:
        return rows
    if max_cells < 1:
        raise ValueError(f"Received max_cells={max_cells}; expected 1 or more.")
    if len(rows) <= max_cells:
        return rows
    order = np.random.default_rng(42 if published else seed).permutation(len(rows))
    return np.sort(rows[order[:max_cells]])


def of_shard(costs: np.ndarray, shard: tuple[int, int] | None) -> np.ndarray:
    """Which cells fall to one of several machines: a run of them, of about equal cost.

    Args:
        costs: (cells,) of each.
        shard: `(number, of)`, numbers from 1; None for all cells.

    Returns:
        (cells,) bool.

    Raises:
        ValueError: no such shard.

    Example:
        >>> import numpy as np
        >>> of_shard(np.array([1, 1, 1, 3]), (2, 2)).tolist()
        [False, False, False, True]
    """
    if shard is None:
        return np.ones(len(costs), dtype=bool)
    if not (isinstance(shard, Sequence) and len(shard) == 2 and not isinstance(shard, str)):
        raise ValueError(
            f"Received shard={shard!r}; expected (i, n), as (2, 8): the second of eight."
        )
    number, of = shard
    if not 1 <= number <= of:
        raise ValueError(f"Received shard={number}/{of}; expected 1/{of} to {of}/{of}.")
    middles = np.cumsum(costs) - np.asarray(costs) / 2
    shards = np.minimum((middles * of / max(float(np.sum(costs)), 1.0)).astype(np.int64), of - 1)
    return shards == number - 1
