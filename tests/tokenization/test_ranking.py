import numpy as np
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_geneformer.tokenization.ranking import (
    add_special_tokens,
    rank_tokens,
    rank_values,
    sum_repeated,
)


def reference(counts, n_counts, medians, tokens, limit):
    cells = []
    for row, total in zip(counts, n_counts):
        entries = []
        for count, median, token in zip(row, medians, tokens):
            if count:
                entries.append((-(float(count) / float(total) * 10_000 / median), token))
        cells.append([token for _, token in sorted(entries)][:limit])
    return cells


@st.composite
def problems(draw):
    """Cells of few counts over few medians, so that ties and near ties abound."""
    genes = draw(st.integers(1, 12))
    cells = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    counts = rng.integers(0, 4, size=(cells, genes)).astype(draw(st.sampled_from(["f4", "i8"])))
    medians = rng.choice([0.5, 1.0, 2.0, 1 / 3, 3.0, 0.1], size=genes)
    medians *= rng.choice([1.0, 1 + 2**-52, 1 + 2**-45, 1 - 2**-50], size=genes)
    width = draw(st.sampled_from([20, 400, 30_000, 2**20]))
    tokens = rng.choice(width, size=genes, replace=False).astype(np.int32)
    return counts, rng.integers(1, 99, size=cells), medians, tokens, draw(st.integers(1, 14))


def ranked(counts, n_counts, medians, tokens, limit):
    matrix = sp.csr_matrix(counts)
    bounds = matrix.indptr.astype(np.int64)
    values = rank_values(matrix.data, n_counts, medians[matrix.indices], bounds)
    return rank_tokens(values, tokens[matrix.indices], bounds, limit)


@settings(max_examples=300, deadline=None)
@given(problems(), st.randoms(use_true_random=False))
def test_ranking_equals_ten_lines_of_python(problem, random):
    counts, n_counts, medians, tokens, limit = problem
    flat, lengths = ranked(*problem)
    cells = np.split(flat, np.cumsum(lengths)[:-1])
    assert [cell.tolist() for cell in cells] == reference(*problem)
    columns = list(range(len(tokens)))
    random.shuffle(columns)
    again, _ = ranked(counts[:, columns], n_counts, medians[columns], tokens[columns], limit)
    np.testing.assert_array_equal(again, flat)


def test_values_that_agree_in_their_leading_bits_are_still_ordered():
    values = np.array([1.0, np.nextafter(1.0, 2.0), 1.0])
    flat, _ = rank_tokens(values, np.array([3, 60_000, 2]), np.array([0, 3]), 9)
    assert flat.tolist() == [60_000, 2, 3]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_sums_of_repeated_genes_do_not_depend_on_the_columns(seed):
    rng = np.random.default_rng(seed)
    counts = np.round(rng.random((3, 8)), 2) * (rng.random((3, 8)) < 0.8)
    genes = rng.integers(0, 4, size=8)

    def summed(columns):
        matrix = sp.csr_matrix(counts[:, columns])
        groups = genes[columns][matrix.indices]
        repeated = np.ones(len(groups), dtype=bool)
        values = sum_repeated(groups, matrix.data, matrix.indptr.astype(np.int64), repeated)
        dense = np.zeros((3, 4))
        np.add.at(dense, (np.repeat(np.arange(3), np.diff(matrix.indptr)), groups), values)
        return dense

    first = summed(np.arange(8))
    np.testing.assert_array_equal(summed(rng.permutation(8)), first)
    expected = np.stack([counts[:, genes == gene].sum(axis=1) for gene in range(4)], axis=1)
    np.testing.assert_allclose(first, expected)


def test_special_tokens_stand_first_and_last():
    tokens = np.array([9, 8, 7], dtype=np.int32)
    flat, lengths = add_special_tokens(tokens, np.array([2, 1]), 2, 3)
    assert flat.tolist() == [2, 9, 8, 3, 2, 7, 3]
    assert lengths.tolist() == [4, 3]
