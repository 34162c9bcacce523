import numpy as np
import pytest

from keras_geneformer.testing import synthetic_dataset, tiny_vocabulary
from keras_geneformer.training.finetuning.gene_scores import GeneScores, holding

VOCABULARY = tiny_vocabulary()


def test_means_and_deviations_are_those_of_all_positions():
    rng = np.random.default_rng(0)
    tokens = np.array([40, 7, 99, 12])
    accumulated = GeneScores(tokens, VOCABULARY.size, 3, keep_positions=True)
    held = {token: [] for token in tokens}
    for size in (3, 1, 5):
        token_ids = np.stack([rng.permutation(np.arange(2, 98))[:60] for _ in range(size)])
        token_ids[:, 50:] = 0
        scores = rng.normal(scale=4.0, size=(size, 60, 3)).astype(np.float32)
        scores[:, 50:] = np.nan  # what stands at padding must not matter
        accumulated.add(token_ids, scores)
        for cell, row in enumerate(token_ids):
            for place, token in enumerate(row):
                if token in held:
                    exponents = np.exp(scores[cell, place].astype(float))
                    held[token].append(exponents / exponents.sum())
    assert accumulated.cells.tolist() == [len(held[token]) for token in tokens]
    assert accumulated.cells[2] == 0
    assert np.isnan(accumulated.mean()[2]).all()
    for number in (0, 1, 3):
        values = np.array(held[tokens[number]])
        np.testing.assert_allclose(accumulated.mean()[number], values.mean(axis=0))
        np.testing.assert_allclose(accumulated.deviation()[number], values.std(axis=0), atol=1e-9)
    genes, last = accumulated.positions()
    assert np.bincount(genes, minlength=4).tolist() == accumulated.cells.tolist()
    assert last[genes == 1].mean() == pytest.approx(accumulated.mean()[1, 2], rel=1e-5)


def test_a_batch_without_any_of_the_genes():
    scores = GeneScores(np.array([5]), 10, 2)
    scores.add(np.array([[2, 3]]), np.zeros((1, 2, 2)))
    assert scores.cells.tolist() == [0]
    assert scores.positions()[0].size == 0


def test_cells_that_hold_a_gene():
    cells = synthetic_dataset(25).subset(np.arange(24, -1, -2))
    tokens = np.array([cells[0][-1], 121])
    expected = [bool(np.isin(tokens, ids).any()) for ids in cells]
    assert holding(cells, tokens, VOCABULARY.size).tolist() == expected
    assert 0 < sum(expected) < len(expected)
