"""The losses of guessing by frequencies, against counting by hand."""

from collections import Counter

import numpy as np
import pytest

from keras_geneformer.data.masking import Masking
from keras_geneformer.testing import synthetic_dataset
from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.training.baselines import (
    BUCKETS,
    SMOOTHING,
    baseline_losses,
    gene_frequencies,
    hidden_genes,
    rank_frequencies,
)

SPECIAL = {"<pad>": 0, "<mask>": 1}


def test_genes_are_counted_once_more_than_they_occur():
    found = gene_frequencies(np.array([2, 3, 2]), 5, np.array([0, 1]))
    np.testing.assert_allclose(found, [0, 0, 3 / 6, 2 / 6, 1 / 6])


def test_hidden_genes_are_those_that_pretraining_hides():
    cells = synthetic_dataset(7)
    masking = Masking(cells.vocabulary_size, cells.special_tokens, rate=0.2, seed=3)
    hidden_there = hidden_genes(cells, masking, batch_size=2)
    expected = Counter()
    for number in range(len(cells)):
        ids = np.asarray(cells[number])[None]
        batch = masking(ids, np.ones_like(ids), np.array([number]), epoch=0)
        counted = batch.weights > 0
        places = batch.mask_positions[counted]
        hidden = zip(batch.labels[counted], places, batch.token_ids[0, places])
        expected.update((number, *three) for three in hidden)
    assert Counter(zip(*hidden_there)) == expected


def by_hand(training, hidden, size, bucket, smoothing):
    """The chance of each hidden gene and of those in sight, by rank, one after the other."""
    unigram = dict.fromkeys(range(2, size), 1)
    at_rank = Counter()
    for cell in training:
        for position, gene in enumerate(cell):
            unigram[gene] += 1
            at_rank[position // bucket, gene] += 1
    total = sum(unigram.values())
    last = max(number for number, _ in at_rank)
    chances = []
    for gene, position, in_sight in hidden:
        number = min(position // bucket, last)
        there = sum(count for (place, _), count in at_rank.items() if place == number)
        guess = {
            other: (at_rank[number, other] + smoothing * count / total) / (there + smoothing)
            for other, count in unigram.items()
        }
        chances.append((guess[gene], sum(guess[other] for other in in_sight)))
    return np.array(chances).T


def test_all_losses_are_those_counted_by_hand():
    rng = np.random.default_rng(0)
    lists = [rng.permutation(np.arange(2, 40))[: rng.integers(20, 38)] for _ in range(24)]
    cells = CellDataset([np.sort(ids)[:: (-1) ** i] for i, ids in enumerate(lists)])
    training, held = cells.subset(range(18)), cells.subset(range(18, 24))
    masking = Masking(40, SPECIAL, rate=0.3, seed=5)
    losses = baseline_losses(training, held, masking)
    rows, genes, positions, shown = hidden_genes(held, masking)
    assert losses.masked == len(genes)
    assert losses.bucket in BUCKETS
    assert losses.smoothing in SMOOTHING
    hidden = [
        (gene, position, set(held[row].tolist()) - set(genes[rows == row].tolist()))
        for row, gene, position in zip(rows, genes, positions)
    ]
    whole, _ = by_hand(training, hidden, 40, 1000, 1e12)  # as good as unigram alone
    assert losses.unigram == pytest.approx(-np.log(whole).mean(), rel=1e-6)
    chance, seen = by_hand(training, hidden, 40, losses.bucket, losses.smoothing)
    assert losses.rank_position == pytest.approx(-np.log(chance).mean(), rel=1e-9)
    informed = [
        p / (1 - q) if token == 1 else 0.5 * p / (1 - q) + 0.5 * (token == gene)
        for p, q, token, gene in zip(chance, seen, shown, genes)
    ]
    assert 0 < (shown == genes).sum() < (shown != 1).sum() < len(shown)
    assert losses.informed == pytest.approx(-np.log(informed).mean(), rel=1e-9)
    assert losses.informed < losses.rank_position


def test_ranks_help_where_genes_have_their_places():
    lists = [np.arange(2, 66) for _ in range(20)]  # every cell ranks the genes alike
    cells = CellDataset(lists)
    masking = Masking(66, SPECIAL)
    losses = baseline_losses(cells.subset(range(15)), cells.subset(range(15, 20)), masking)
    assert losses.unigram == pytest.approx(np.log(64))
    assert losses.bucket == min(BUCKETS)
    assert losses.rank_position < np.log(16)


def test_the_held_out_cells_choose_nothing():
    cells = synthetic_dataset(40)
    masking = Masking(cells.vocabulary_size, cells.special_tokens)
    training = cells.subset(range(30))
    one = baseline_losses(training, cells.subset(range(30, 35)), masking)
    other = baseline_losses(training, cells.subset(range(35, 40)), masking)
    assert (one.bucket, one.smoothing) == (other.bucket, other.smoothing)
    assert one.unigram != other.unigram


def test_special_tokens_are_never_a_guess():
    table = rank_frequencies(
        np.array([2, 4, 5, 3]), np.arange(4), np.array([0, 0, 0, 0, 0.5, 0.5]), 4, 10.0
    )
    np.testing.assert_allclose(table.sum(axis=1), 1)
    assert (table[:, :4] == 0).all()
