"""Length buckets: batches of cells of like length, in few distinct shapes.

A compiled step is compiled once for each shape it sees (XLA on JAX and on TPU), and every padded
token is work thrown away. So the lengths to which batches are padded are few, and chosen for the
data at hand so that they pad least.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Batch:
    """Which cells make a batch, and the length to which they are padded."""

    rows: np.ndarray
    length: int


def bucket_lengths(
    lengths: np.ndarray, count: int = 8, multiple: int = 16, max_length: int | None = None
) -> np.ndarray:
    """The few padded lengths that waste least on these cells.

    Exact: a dynamic programme over all ways of cutting the sorted lengths into `count` groups.

    Args:
        lengths: (cells,) tokens a cell.
        count: how many lengths at most.
        multiple: every length is a multiple of it, except the last where `max_length` cuts it.
        max_length: no bucket goes above it (a model's `max_sequence_length`).

    Returns:
        (at most count,) int64, ascending; the last holds the longest cell.

    Example:
        >>> import numpy as np
        >>> bucket_lengths(np.array([30, 31, 32, 100, 500]), count=3).tolist()
        [32, 112, 512]
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    if lengths.size == 0:
        raise ValueError("There are no cells, so there are no lengths to make buckets of.")
    if count < 1 or multiple < 1:
        raise ValueError(f"count and multiple must be at least 1, not {count} and {multiple}.")
    rounded = -(-np.maximum(lengths, 1) // multiple) * multiple
    if max_length is not None:
        rounded = np.minimum(rounded, max(max_length, int(lengths.max())))
    candidates, cells = np.unique(rounded, return_counts=True)
    upto = np.concatenate([[0], np.cumsum(cells)])
    number = len(candidates)
    if number <= count:
        return candidates
    # cost[j] = fewest padded tokens for the candidates before j, with as many buckets as rounds so
    # far; came_from remembers the cut that reached it.
    cost = np.concatenate([[0.0], np.full(number, np.inf)])
    came_from = np.zeros((count, number + 1), dtype=np.int64)
    for k in range(count):
        # through[i, j]: the last bucket holds candidates i .. j-1, padded to candidate j-1.
        through = cost[:, None] + np.concatenate([[0], candidates]) * (upto - upto[:, None])
        through[np.tril_indices(number + 1)] = np.inf
        came_from[k] = np.argmin(through, axis=0)
        cost = through[came_from[k], np.arange(number + 1)]
    ends, end = [], number
    for k in reversed(range(count)):
        ends.append(end)
        end = came_from[k, end]
    return candidates[np.array(ends[::-1]) - 1]


def plan_batches(
    lengths: np.ndarray,
    buckets: np.ndarray,
    batch_size: int | None = None,
    max_tokens: int | None = None,
    rng: np.random.Generator | None = None,
) -> list[Batch]:
    """Cut the cells into batches of like length; every cell is in exactly one.

    The cells are shuffled, sorted by bucket (longest first) and cut. A batch that straddles two
    buckets is padded to the longer, so that only one batch an epoch is smaller than the others: it
    is kept, at its own size. The shapes are the same in every epoch.

    Args:
        lengths: (cells,) tokens a cell.
        buckets: ascending padded lengths, the last at least the longest cell.
        batch_size: cells a batch.
        max_tokens: in place of `batch_size`: padded tokens a batch at most, so that batches of
            short cells hold more of them.
        rng: shuffles the cells and the batches; without it the longest cells come first, in a
            fixed order.

    Returns:
        The batches. Where there are unlike lengths, the first two batches have unlike lengths:
        Keras on TensorFlow takes the shapes that may vary from the first two.

    Raises:
        ValueError: neither or both sizes given, a size too small, or a cell above the last bucket.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    buckets = np.asarray(buckets, dtype=np.int64)
    longest = int(lengths.max(initial=0))
    if longest > buckets[-1]:
        raise ValueError(f"A cell of {longest} tokens is above the last bucket, {buckets[-1]}.")
    if (batch_size is None) == (max_tokens is None):
        raise ValueError("Give batch_size (cells) or max_tokens (padded tokens), one of the two.")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}.")
    if max_tokens is not None and max_tokens < buckets[-1]:
        raise ValueError(
            f"max_tokens={max_tokens} holds no cell of the longest bucket ({buckets[-1]} tokens)."
        )
    if rng is None:
        order = np.argsort(-lengths, kind="stable")
    else:
        order = rng.permutation(len(lengths))
        order = order[np.argsort(-np.searchsorted(buckets, lengths[order]), kind="stable")]
    bucket_of = np.searchsorted(buckets, lengths[order])
    batches, start = [], 0
    while start < len(order):
        length = int(buckets[bucket_of[start]])
        size = batch_size if batch_size is not None else (max_tokens or 0) // length
        batches.append(Batch(order[start : start + size], length))
        start += size
    if rng is not None:
        batches = [batches[i] for i in rng.permutation(len(batches))]
    for i, batch in enumerate(batches[1:], start=1):
        if batch.length != batches[0].length:
            batches[1], batches[i] = batches[i], batches[1]
            break
    return batches


def padded_share(lengths: np.ndarray, batches: list[Batch]) -> float:
    """The share of a plan's tokens that is padding, between 0 and 1."""
    padded = sum(len(batch.rows) * batch.length for batch in batches)
    return 1.0 - float(np.sum(lengths, dtype=np.int64)) / padded if padded else 0.0
