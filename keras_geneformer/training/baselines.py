"""What guessing hidden genes costs without looking at the cell: losses to hold a model's against.

All are frequencies, counted in the training cells. The unigram one guesses every hidden gene by how
often each gene is detected; the rank-position one by how often each gene stands at about the rank
of the hidden one. The informed one knows, besides, what a model soon finds out about the task: a
cell holds a gene once, so one that is in sight elsewhere is not hidden; and where another token
than `<mask>` stands at the place, it is the gene itself every second time. What a model gains on
this one, it has from which genes go with which.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_geneformer.data.batch_source import BatchSource
from keras_geneformer.data.masking import Masking
from keras_geneformer.training.splits import split_by_cell

BUCKETS = (8, 16, 32, 64, 128)
"""Ranks a bucket that are tried."""
SMOOTHING = (10.0, 100.0, 1000.0, 10_000.0, 100_000.0)
"""Weights of the unigram frequencies, in detections, that are tried."""


@dataclass(frozen=True)
class BaselineLosses:
    """Mean cross-entropies (nats) of guessing the hidden genes, and how the second was chosen."""

    unigram: float
    """By how often each gene is detected."""
    rank_position: float
    """By how often each gene stands at about this rank."""
    informed: float
    """The same among genes not in sight elsewhere, half of it on a token that stands there."""
    bucket: int
    """Ranks a bucket of the rank-position frequencies."""
    smoothing: float
    """Weight of the unigram frequencies in those of each bucket, in detections."""
    masked: int
    """Hidden genes that were guessed."""


def baseline_losses(
    training: Any, held: Any, masking: Masking, *, batch_size: int | None = None
) -> BaselineLosses:
    """What the baselines lose on the hidden genes that a model is validated on.

    The bucket and the smoothing are those that guess best in a tenth of the training cells, by
    frequencies of the others; the held-out cells choose nothing.

    Args:
        training: a `CellDataset`, whose genes are counted.
        held: a `CellDataset`: the validation cells.
        masking: as `pretrain` makes it: of the same seed and rate it hides the same genes.
        batch_size: cells a batch, for memory only: no mask depends on it.

    Returns:
        The losses, to compare with `validation_loss` in the history of `pretrain`.

    Raises:
        ValueError: either dataset has no cell, or a token id outside the vocabulary.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset
        >>> cells = synthetic_dataset(60)
        >>> masking = Masking(cells.vocabulary_size, cells.special_tokens)
        >>> losses = baseline_losses(cells.subset(range(50)), cells.subset(range(50, 60)), masking)
        >>> bool(losses.unigram < np.log(cells.vocabulary_size))
        True
    """
    rows, genes, ranks, shown = hidden_genes(held, masking, batch_size=batch_size)
    special = special_ids(masking)
    bucket, smoothing = _best_choice(training, masking.vocabulary_size, special)
    tokens, positions = _flat(training)
    unigram = gene_frequencies(tokens, masking.vocabulary_size, special)
    by_rank = rank_frequencies(tokens, positions, unigram, bucket, smoothing)
    buckets = rank_buckets(ranks, bucket, len(by_rank))
    seen = seen_shares(held, rows, ranks, buckets, by_rank)
    informed = by_rank[buckets, genes] / (1.0 - seen)
    standing = shown != masking.special_tokens["<mask>"]
    informed[standing] = 0.5 * informed[standing] + 0.5 * (shown == genes)[standing]
    return BaselineLosses(
        unigram=mean_loss(unigram[genes]),
        rank_position=mean_loss(by_rank[buckets, genes]),
        informed=mean_loss(informed),
        bucket=bucket,
        smoothing=smoothing,
        masked=len(genes),
    )


def hidden_genes(
    cells: Any, masking: Masking, *, batch_size: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The genes that a masking hides in the first epoch, and where they stood.

    Returns:
        The cell's number, the token id, the position in the cell (0 is its first token) and the
        token that stands there in its place, for each, of shape (masked,).
    """
    batches = BatchSource(cells, batch_size=batch_size, masking=masking)
    found = []
    for number in range(len(batches)):
        inputs, labels, weights = batches[number]
        row, column = np.nonzero(weights)
        positions = inputs["mask_positions"][row, column]
        shown = inputs["token_ids"][row, positions]
        found.append((batches.rows(number)[row], labels[row, column], positions, shown))
    rows, genes, positions, shown = (np.concatenate(parts) for parts in zip(*found))
    return rows, genes, positions, shown


def gene_frequencies(token_ids: np.ndarray, size: int, special: np.ndarray) -> np.ndarray:
    """How likely each token is where nothing else is known.

    Every gene is counted once more than it occurs, so that none has probability 0.

    Args:
        token_ids: of the training cells, one after the other.
        size: number of token ids.
        special: ids that are no genes, which have probability 0.

    Returns:
        (size,) float64, its sum 1.
    """
    counts = np.bincount(token_ids, minlength=size).astype(np.float64) + 1.0
    counts[special] = 0.0
    return counts / counts.sum()


def rank_frequencies(
    token_ids: np.ndarray,
    positions: np.ndarray,
    unigram: np.ndarray,
    bucket: int,
    smoothing: float,
) -> np.ndarray:
    """How likely each token is at a rank: (count there + smoothing * unigram) / (sum + smoothing).

    Args:
        token_ids: of the training cells, one after the other.
        positions: of each in its cell.
        unigram: (size,), from `gene_frequencies`.
        bucket: ranks that are counted together.
        smoothing: weight of `unigram`, in detections.

    Returns:
        (buckets, size) float64, the sum of each row 1.
    """
    size = len(unigram)
    number = int(positions.max()) // bucket + 1
    genes = unigram[token_ids] > 0
    cells = (positions // bucket)[genes] * size + token_ids[genes].astype(np.int64)
    counts = np.bincount(cells, minlength=number * size).reshape(number, size)
    totals = counts.sum(axis=1, keepdims=True)
    return (counts + smoothing * unigram) / (totals + smoothing)


def rank_buckets(positions: np.ndarray, bucket: int, number: int) -> np.ndarray:
    """The bucket of each position; positions beyond all training cells are in the last one."""
    return np.minimum(positions // bucket, number - 1)


def seen_shares(
    cells: Any, rows: np.ndarray, positions: np.ndarray, buckets: np.ndarray, table: np.ndarray
) -> np.ndarray:
    """How likely a guess by `table` falls on a gene that is in sight elsewhere in the cell.

    Args:
        cells: a `CellDataset`.
        rows, positions: of `hidden_genes`.
        buckets: row of `table` for each hidden gene.
        table: of `rank_frequencies`.

    Returns:
        (masked,) float64, below 1: the hidden gene itself is not in sight.
    """
    shares = np.empty(len(rows))
    for row in np.unique(rows):
        of_cell = rows == row
        visible = np.delete(np.asarray(cells[row]), positions[of_cell])
        shares[of_cell] = table[:, visible].sum(axis=1)[buckets[of_cell]]
    return shares


def mean_loss(probabilities: np.ndarray) -> float:
    """Mean cross-entropy (nats) where these are the probabilities given to what was there."""
    return float(-np.log(probabilities).mean())


def special_ids(masking: Masking) -> np.ndarray:
    """The token ids that are no genes, in order."""
    return np.array(sorted(masking.special_tokens.values()), dtype=np.int64)


def _best_choice(cells: Any, size: int, special: np.ndarray) -> tuple[int, float]:
    """Bucket and smoothing with the least loss on all genes of a tenth of the cells."""
    counted, asked = split_by_cell(np.zeros(len(cells)), 0.1, seed=0)
    tokens, positions = _flat(cells.subset(counted))
    genes, ranks = _flat(cells.subset(asked))
    is_gene = ~np.isin(genes, special)
    genes, ranks = genes[is_gene], ranks[is_gene]
    unigram = gene_frequencies(tokens, size, special)
    losses = {}
    for bucket in BUCKETS:
        for smoothing in SMOOTHING:
            table = rank_frequencies(tokens, positions, unigram, bucket, smoothing)
            chosen = table[rank_buckets(ranks, bucket, len(table)), genes]
            losses[bucket, smoothing] = mean_loss(chosen)
    return min(losses, key=losses.__getitem__)


def _flat(cells: Any) -> tuple[np.ndarray, np.ndarray]:
    """All token ids, one cell after the other, and the position of each in its cell."""
    lengths = np.asarray(cells.lengths, dtype=np.int64)
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.asarray(cells.token_ids), np.arange(int(lengths.sum())) - starts
