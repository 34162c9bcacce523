"""The kinds of perturbation, as moves of a gene within a cell's ranking.

Every kind is a move of genes from one place to another, after which the first `length` tokens are
kept. A gene that is deleted moves behind the last token and is cut off there; a gene that the cell
lacks stands behind it, and moves in.
"""

from types import ModuleType
from typing import Any

import numpy as np

KINDS = ("delete", "overexpress", "inhibit", "activate", "set_rank")
"""The perturbations there are."""


def new_ranks(
    ranks: np.ndarray,
    genes: int,
    kind: str,
    *,
    rank_shift: int = 1,
    quantiles: int = 4,
    rank: int | None = None,
) -> np.ndarray:
    """Where a kind of perturbation puts a gene.

    Ranks count from 0, the highest. With `genes` genes in the cell, a gene at rank r goes

    - by `overexpress` to rank 0, as published;
    - by `inhibit` down, to r + s, and by `activate` up, to r - s, where s = round(`genes` x
      `rank_shift` / `quantiles`), halves away from 0, is the number of ranks that so many quantiles
      hold; at most to the last rank, `genes` - 1, and at least to rank 0. (The published package
      names both kinds, by quartiles, and raises.);
    - by `set_rank` to `rank`, or to the last rank where the cell is shorter.

    Args:
        ranks: of the genes before, (n,).
        genes: how many the cell has.
        kind: any but `"delete"`, which leaves no rank.
        rank_shift: number of quantiles.
        quantiles: how many the ranking is cut into; 4 are quartiles.
        rank: for `set_rank`.

    Returns:
        Ranks after, (n,) int64.

    Example:
        >>> import numpy as np
        >>> new_ranks(np.array([0, 4, 9]), 10, "activate", rank_shift=2).tolist()
        [0, 0, 4]
        >>> new_ranks(np.array([0, 4, 9]), 10, "inhibit", rank_shift=2).tolist()
        [5, 9, 9]
    """
    ranks = np.asarray(ranks, dtype=np.int64)
    if kind == "overexpress":
        return np.zeros_like(ranks)
    if kind == "set_rank":
        return np.full_like(ranks, min(int(rank or 0), genes - 1))
    shift = (2 * genes * rank_shift + quantiles) // (2 * quantiles)
    return np.clip(ranks + (shift if kind == "inhibit" else -shift), 0, genes - 1)


def moved(moves: Any, total: int, xp: ModuleType | Any = np) -> Any:
    """Index views of a cell after moves: which token stands at each place.

    Args:
        moves: (variants, moves, 2) int32: the place that a token leaves and the place that it
            takes, one move after the other. All between move up or down by one.
        total: number of tokens.
        xp: numpy, or another module with its `arange`, `where` and `take_along_axis`.

    Returns:
        (variants, total) int32, of the module's arrays.

    Example:
        >>> import numpy as np
        >>> moved(np.array([[[0, 3]], [[2, 0]]]), 4).tolist()
        [[1, 2, 3, 0], [2, 0, 1, 3]]
    """
    places = xp.arange(total, dtype="int32")[None]
    views = places
    for number in range(moves.shape[1]):
        start, end = moves[:, number, :1], moves[:, number, 1:]
        after = xp.where((places >= start) & (places < end), places + 1, places)
        after = xp.where((places > end) & (places <= start), places - 1, after)
        after = xp.where(places == end, start, after)
        views = after if number == 0 else xp.take_along_axis(views, after, axis=1)
    return views.astype("int32") if xp is np else views


def check_kind(
    kind: str, rank_shift: int, quantiles: int, rank: int | None, published: bool = False
) -> None:
    """Refuse a kind that there is not, or numbers that do not go with it.

    Raises:
        ValueError: unknown kind; `rank_shift` not between 1 and `quantiles`; `set_rank` without a
            rank from 0, or a rank, a `rank_shift` or `quantiles` with another
            kind.
    """
    if kind not in KINDS:
        raise ValueError(
            f"Received kind={kind!r}; the perturbations there are: {', '.join(KINDS)}."
        )
    if kind in ("inhibit", "activate"):
        if quantiles < 2 or not 1 <= rank_shift <= quantiles:
            raise ValueError(
                f"Received rank_shift={rank_shift} and quantiles={quantiles}; expected 2 quantiles "
                "or more, and a shift by 1 to that many."
            )
        if published:
            raise ValueError(
                f"Received kind={kind!r} with published=True: the published package has no such "
                "kind to reproduce (it raises). Leave published out."
            )
    elif (rank_shift, quantiles) != (1, 4):
        raise ValueError(
            f"Received rank_shift={rank_shift} and quantiles={quantiles} with kind={kind!r}; they "
            'go with "inhibit" and "activate".'
        )
    if kind == "set_rank" and (rank is None or rank < 0):
        raise ValueError(
            f'Received kind="set_rank" with rank={rank}; expected a rank from 0, the highest.'
        )
    if kind != "set_rank" and rank is not None:
        raise ValueError(f'Received rank={rank} with kind={kind!r}; a rank goes with "set_rank".')
