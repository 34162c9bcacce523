"""Rare and common classes alike: rows repeated or left out, or batches of all classes alike.

For training cells alone: whoever scores a classifier scores it on cells as they come.
"""

import numpy as np

from keras_geneformer.data.batch_plan import BatchPlan


def resample(targets: np.ndarray, kind: str, seed: int = 0) -> np.ndarray:
    """The rows with which every class has as many cells.

    Args:
        targets: (cells,) class of every cell, as numbers or names.
        kind: `"upsample"`: as many as the largest class has; every row of a class comes as often as
            any other, give or take one. `"downsample"`: as many as the smallest has, drawn without
            replacement.
        seed: of the draw.

    Returns:
        (rows,) int64, ascending, with repeats under `"upsample"`.

    Raises:
        ValueError: no cells, or another kind.

    Example:
        >>> import numpy as np
        >>> targets = np.array([0, 0, 0, 0, 1, 1])
        >>> resample(targets, "upsample").tolist()
        [0, 1, 2, 3, 4, 4, 5, 5]
        >>> len(resample(targets, "downsample"))
        4
    """
    if kind not in ("upsample", "downsample"):
        raise ValueError(f"Received sampling={kind!r}; expected 'upsample' or 'downsample'.")
    members = _members(targets)
    sizes = [len(rows) for rows in members]
    size = max(sizes) if kind == "upsample" else min(sizes)
    rng = np.random.default_rng(seed)
    return np.sort(np.concatenate([_drawn(rows, size, rng) for rows in members]))


def balanced_plan(
    lengths: np.ndarray,
    buckets: np.ndarray,
    targets: np.ndarray,
    batch_size: int,
    rng: np.random.Generator,
) -> BatchPlan:
    """An epoch of batches that each hold as many cells of every class.

    In a batch no two classes differ by more than one cell; which of them have one more, or with
    more classes than `batch_size` which come at all, goes round from batch to batch. There are as
    many batches as without balance, all full, so the rows of a rare class come several times an
    epoch, spread over batches, and of a common one only some do, drawn anew for every epoch.

    The longest cells of every class stand together, then the next, so that a batch pads as little
    as its mixture allows.

    Args:
        lengths: (cells,) tokens a cell.
        buckets: ascending padded lengths, the last at least the longest cell.
        targets: (cells,) class of every cell, as numbers or names.
        batch_size: cells a batch.
        rng: draws the cells, and the order of the batches.

    Returns:
        The batches, each padded to the bucket of its longest cell; the first two of unlike lengths
        where there are any, as in `plan_batches`.

    Raises:
        ValueError: no cells, as many targets as not, a size below 1, or a cell above the last
            bucket.

    Example:
        >>> import numpy as np
        >>> targets = np.array([0] * 9 + [1] * 3)
        >>> plan = balanced_plan(
        ...     np.full(12, 20), np.array([32]), targets, 4, np.random.default_rng(0))
        >>> [np.bincount(targets[batch.rows]).tolist() for batch in plan]
        [[2, 2], [2, 2], [2, 2]]
    """
    lengths, buckets = np.asarray(lengths), np.asarray(buckets, dtype=np.int64)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}.")
    if len(targets) != len(lengths):
        raise ValueError(f"There are {len(targets)} targets for {len(lengths)} cells.")
    if lengths.max(initial=0) > buckets[-1]:
        raise ValueError(
            f"A cell of {lengths.max()} tokens is above the last bucket, {buckets[-1]}."
        )
    members = _members(targets)
    batches = -(-len(lengths) // batch_size)
    shares = _shares(len(members), batches, batch_size, rng)
    rows, batch_of = [], []
    for own, of_class in zip(members, shares.T):
        drawn = _drawn(own, int(of_class.sum()), rng)
        # Longest first; cells of one length in a random order, copies of a cell side by side.
        drawn = drawn[np.lexsort((rng.permutation(len(lengths))[drawn], -lengths[drawn]))]
        copies = -(-len(drawn) // len(own))
        rows.append(drawn)
        batch_of.append(_dealt(of_class, copies))
    together = np.argsort(np.concatenate(batch_of), kind="stable")
    order = np.concatenate(rows)[together]
    starts = np.arange(batches + 1) * batch_size
    longest = np.maximum.reduceat(lengths[order], starts[:-1])
    plan = BatchPlan(order, starts, buckets[np.searchsorted(buckets, longest)])
    return plan.shuffled(rng).with_unlike_first()


def _members(targets: np.ndarray) -> list[np.ndarray]:
    """The rows of each class."""
    targets = np.asarray(targets)
    if not len(targets):
        raise ValueError("There are no cells to sample from.")
    _, codes, counts = np.unique(targets, return_inverse=True, return_counts=True)
    by_class = np.argsort(codes, kind="stable")
    return np.split(by_class, np.cumsum(counts)[:-1])


def _drawn(rows: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """So many of the rows, none more than once oftener than another."""
    whole, rest = divmod(size, len(rows))
    return np.concatenate([np.tile(rows, whole), rng.choice(rows, rest, replace=False)])


def _shares(classes: int, batches: int, batch_size: int, rng: np.random.Generator) -> np.ndarray:
    """(batches, classes) cells of each class in each batch."""
    whole, rest = divmod(batch_size, classes)
    shares = np.full((batches, classes), whole)
    turn = rng.permutation(classes)
    extra = (np.arange(batches)[:, None] * rest + np.arange(rest)) % classes
    np.add.at(shares, (np.arange(batches)[:, None], turn[extra]), 1)
    return shares


def _dealt(shares: np.ndarray, copies: int) -> np.ndarray:
    """The batch of each of a class's sorted cells, so that copies of a cell fall apart.

    A cell's copies stand side by side. Batches are taken as many at a time as there are copies, and
    cells dealt to them in turn.

    Args:
        shares: (batches,) cells of the class in each batch.
        copies: of one cell, at most.
    """
    batch = np.repeat(np.arange(len(shares)), shares)
    place = np.arange(len(batch)) - np.repeat(np.cumsum(shares) - shares, shares)
    return batch[np.lexsort((batch, place, batch // copies))]
