import numpy as np
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_geneformer.tokenization.ranking import cell_sums, rank_cells, sum_repeated


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


def ranked(counts, n_counts, medians, tokens, limit, **options):
    matrix = sp.csr_matrix(counts)
    data = matrix.data if matrix.dtype == np.float32 else matrix.data.astype(np.float64)
    entries = (data, matrix.indices, matrix.indptr.astype(np.int64))
    return rank_cells(*entries, n_counts.astype(np.float64), tokens, medians, limit, **options)


def cells_of(result):
    return [cell.tolist() for cell in np.split(result.token_ids, np.cumsum(result.lengths)[:-1])]


@settings(max_examples=300, deadline=None)
@given(problems(), st.randoms(use_true_random=False))
def test_ranking_equals_ten_lines_of_python(problem, random):
    counts, n_counts, medians, tokens, limit = problem
    result = ranked(*problem)
    assert cells_of(result) == reference(*problem)
    np.testing.assert_array_equal(result.found, (counts > 0).sum(axis=1))
    columns = list(range(len(tokens)))
    random.shuffle(columns)
    again = ranked(counts[:, columns], n_counts, medians[columns], tokens[columns], limit)
    np.testing.assert_array_equal(again.token_ids, result.token_ids)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from([1, 7, 900]))
def test_many_genes_of_few_or_of_many_values(seed, cells, values):
    """More ties than are settled by insertion, and values over many orders of magnitude."""
    rng = np.random.default_rng(seed)
    genes = 800
    counts = rng.integers(0, 3, size=(cells, genes)).astype(np.float32)
    medians = rng.choice(np.exp(rng.uniform(-40, 40, size=values)), size=genes)
    problem = (counts, counts.sum(axis=1), medians, rng.permutation(genes).astype(np.int32), 700)
    assert cells_of(ranked(*problem)) == reference(*problem)


def test_values_that_agree_in_their_leading_bits_are_still_ordered():
    medians = np.array([1.0, np.nextafter(1.0, 0.0), 1.0])
    tokens = np.array([3, 60_000, 2], dtype=np.int32)
    result = ranked(np.ones((1, 3)), np.array([1.0]), medians, tokens, 9)
    assert cells_of(result) == [[60_000, 2, 3]]


def test_special_tokens_and_counts():
    counts = np.array([[1, 6, 3], [0, 0, 0], [0, 4, 0]], dtype=np.float32)
    tokens = np.array([9, 8, -1], dtype=np.int32)
    options = {"frame": (2, 3), "keep_counts": True}
    result = ranked(counts, counts.sum(axis=1), np.ones(3), tokens, 2, **options)
    assert cells_of(result) == [[2, 8, 9, 3], [], [2, 8, 3]]
    assert result.found.tolist() == [2, 0, 1]
    assert result.scaled.tolist() == [0, 6000, 1000, 0, 0, 10_000, 0]
    assert ranked(counts, counts.sum(axis=1), np.ones(3), tokens, 2).scaled is None


def test_sums_of_cells_are_exact():
    counts = np.array([[2**24, 1, 1], [0, 0, 5]], dtype=np.float32)
    matrix = sp.csr_matrix(counts)
    entries = (matrix.data, matrix.indices, matrix.indptr.astype(np.int64))
    sums, known = cell_sums(*entries, np.array([4, -1, 7], dtype=np.int32))
    assert sums.tolist() == [2**24 + 2, 5]
    assert known.tolist() == [2**24 + 1, 5]


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
