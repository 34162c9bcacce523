"""Length buckets: batches of cells of like length, in few distinct shapes.

A compiled step is compiled once for each shape it sees (XLA on JAX and on TPU), and every padded
token is work thrown away. So the lengths to which batches are padded are few, and chosen for the
data at hand so that they pad least.
"""

import numpy as np

from keras_geneformer.data.batch_plan import BatchPlan

_MOST_BUCKETS = 64


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
    if count < 1 or multiple < 1:
        raise ValueError(f"count and multiple must be at least 1, not {count} and {multiple}.")
    return _best_buckets(lengths, count, multiple, max_length)[-1]


def buckets_within(
    lengths: np.ndarray,
    padding: float,
    batch_size: int | None = None,
    max_tokens: int | None = None,
    multiple: int = 16,
    max_length: int | None = None,
) -> np.ndarray:
    """The fewest padded lengths with which an epoch's padding stays within a share.

    Args:
        lengths: (cells,) tokens a cell.
        padding: share of an epoch's tokens that may be padding, between 0 and 1.
        batch_size, max_tokens: size of a batch, as in `plan_batches`.
        multiple, max_length: as in `bucket_lengths`.

    Returns:
        (buckets,) int64, ascending; the last holds the longest cell.

    Raises:
        ValueError: a share outside 0 to 1, or one that no number of buckets up to 64 keeps.

    Example:
        >>> import numpy as np
        >>> lengths = np.arange(100, 500)
        >>> [len(buckets_within(lengths, share, batch_size=4)) for share in (0.3, 0.1, 0.05)]
        [2, 7, 15]
    """
    if not 0.0 < padding < 1.0:
        raise ValueError(f"padding={padding}; expected a share between 0 and 1.")
    lengths = np.asarray(lengths)
    cells_of_length = np.bincount(lengths)
    real = int(lengths.sum(dtype=np.int64))
    least = 1.0
    for buckets in _best_buckets(lengths, _MOST_BUCKETS, multiple, max_length):
        group = np.searchsorted(buckets, np.arange(len(cells_of_length)))
        cells_of = np.bincount(group, weights=cells_of_length, minlength=len(buckets))
        sizes = batch_sizes(buckets, batch_size, max_tokens)
        starts, bucket_of = _cut_sorted(cells_of.astype(np.int64), sizes)
        share = 1.0 - real / int(np.sum(np.diff(starts) * buckets[bucket_of]))
        if share <= padding:
            return buckets
        least = min(least, share)
    raise ValueError(
        f"padding={padding}: with up to {_MOST_BUCKETS} buckets, {least:.3f} of the tokens at "
        "least are padding. Give more, a smaller batch, or pack the cells (pack=...)."
    )


def _best_buckets(
    lengths: np.ndarray, most: int, multiple: int, max_length: int | None
) -> list[np.ndarray]:
    """The best buckets of each number, from one to `most` or to as many as there are lengths."""
    lengths = np.asarray(lengths)
    if lengths.size == 0:
        raise ValueError("There are no cells, so there are no lengths to make buckets of.")
    # From here on lengths, of which there are few, in place of cells.
    cells_of = np.bincount(lengths)
    present = np.flatnonzero(cells_of)
    rounded = -(-np.maximum(present, 1) // multiple) * multiple
    if max_length is not None:
        rounded = np.minimum(rounded, max(max_length, int(present[-1])))
    candidates, group = np.unique(rounded, return_inverse=True)
    cells = np.bincount(group, weights=cells_of[present]).astype(np.int64)
    upto = np.concatenate([[0], np.cumsum(cells)])
    number = len(candidates)
    count = min(most, number - 1)
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
    best = [_cuts(candidates, came_from[:rounds]) for rounds in range(1, count + 1)]
    return best if count == most else [*best, candidates]


def _cuts(candidates: np.ndarray, came_from: np.ndarray) -> np.ndarray:
    """The buckets to which the last of these rounds came."""
    ends, end = [], len(candidates)
    for cut in came_from[::-1]:
        ends.append(end)
        end = cut[end]
    return candidates[np.array(ends[::-1]) - 1]


def plan_batches(
    lengths: np.ndarray,
    buckets: np.ndarray,
    batch_size: int | None = None,
    max_tokens: int | None = None,
    rng: np.random.Generator | None = None,
    in_order: bool = False,
) -> BatchPlan:
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
        in_order: the cells stay in their order, and each batch is padded to the bucket of its
            longest cell. Pads more.

    Returns:
        The batches. Where there are unlike lengths, the first two batches have unlike lengths,
        except with `in_order`: Keras on TensorFlow takes the shapes that may vary from the first
        two.

    Raises:
        ValueError: neither or both sizes given, a size too small, a cell above the last bucket, or
            `in_order` with an `rng`.
    """
    lengths = np.asarray(lengths)
    buckets = np.asarray(buckets, dtype=np.int64)
    longest = int(lengths.max(initial=0))
    if longest > buckets[-1]:
        raise ValueError(f"A cell of {longest} tokens is above the last bucket, {buckets[-1]}.")
    sizes = batch_sizes(buckets, batch_size, max_tokens)
    if in_order and rng is not None:
        raise ValueError("Cells that are shuffled are not in order: give one of the two.")
    # Narrow keys: numpy sorts 16-bit integers and less by radix, in a tenth of the time.
    bucket_of_length = np.searchsorted(buckets, np.arange(longest + 1)).astype(np.int16)
    numbers = np.int32 if len(lengths) < 2**31 else np.int64
    if in_order:
        bucket_of = bucket_of_length[lengths]
        starts = _cut_in_order(bucket_of, sizes)
        longest_of = np.maximum.reduceat(bucket_of, starts[:-1]) if len(starts) > 1 else bucket_of
        return BatchPlan(np.arange(len(lengths), dtype=numbers), starts, buckets[longest_of])
    if rng is None:
        narrow = np.int16 if longest < 2**15 else np.int64
        longest_first = np.negative(lengths, dtype=narrow, casting="unsafe")
        order = np.argsort(longest_first, kind="stable").astype(numbers)
    else:
        order = rng.permutation(np.arange(len(lengths), dtype=numbers))
        order = order[np.argsort(-bucket_of_length[lengths[order]], kind="stable")]
    cells_of = np.bincount(bucket_of_length[lengths], minlength=len(buckets))
    starts, bucket_of = _cut_sorted(cells_of, sizes)
    plan = BatchPlan(order, starts, buckets[bucket_of])
    if rng is not None:
        plan = plan.shuffled(rng)
    return plan.with_unlike_first()


def batch_sizes(
    buckets: np.ndarray, batch_size: int | None = None, max_tokens: int | None = None
) -> np.ndarray:
    """How many cells, or packed rows, a batch of each bucket holds.

    Args:
        buckets: ascending padded lengths.
        batch_size: cells a batch.
        max_tokens: in place of `batch_size`: padded tokens a batch at most.

    Returns:
        (buckets,) integers.

    Raises:
        ValueError: neither or both sizes given, or a size too small.

    Example:
        >>> import numpy as np
        >>> batch_sizes(np.array([64, 256]), max_tokens=1024).tolist()
        [16, 4]
    """
    if (batch_size is None) == (max_tokens is None):
        raise ValueError("Give batch_size (cells) or max_tokens (padded tokens), one of the two.")
    if max_tokens is None:
        if batch_size is None or batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}.")
        return np.full(len(buckets), batch_size)
    if max_tokens < buckets[-1]:
        raise ValueError(
            f"max_tokens={max_tokens} holds no cell of the longest bucket ({buckets[-1]} tokens)."
        )
    return max_tokens // buckets


def _cut_sorted(cells_of: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where batches start, and their buckets, when cells stand by bucket, the longest first.

    Args:
        cells_of: (buckets,) cells of each bucket, shortest first.
        sizes: (buckets,) cells of a batch of each bucket.
    """
    total = int(cells_of.sum())
    starts, buckets = [], []
    start = end = 0
    for bucket in reversed(range(len(cells_of))):
        end += int(cells_of[bucket])
        # A batch of the bucket before may reach into this one, and beyond it.
        of_bucket = np.arange(start, end, sizes[bucket])
        if len(of_bucket):
            starts.append(of_bucket)
            buckets.append(np.full(len(of_bucket), bucket))
            start = int(of_bucket[-1]) + int(sizes[bucket])
    none = np.zeros(0, dtype=np.int64)
    return np.concatenate([*starts, [total]]), np.concatenate([none, *buckets])


def _cut_in_order(bucket_of: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Where batches start when cells keep their order: each holds as many as its longest allows."""
    if len(bucket_of) and sizes.min() == sizes.max():
        return np.append(np.arange(0, len(bucket_of), sizes[0]), len(bucket_of))
    starts, number, most = [], 0, 0
    for begin in range(0, len(bucket_of), 2**20):
        # Each batch's end decides where the next begins, so this goes cell by cell.
        allowed = sizes[bucket_of[begin : begin + 2**20]].tolist()
        for cell, own in enumerate(allowed, start=begin):
            if own < most:
                most = own
            if number >= most:
                starts.append(cell)
                number, most = 0, own
            number += 1
    return np.array([*starts, len(bucket_of)], dtype=np.int64)
