import numpy as np
import pytest

from keras_geneformer.tokenization.medians.nonzero_medians import RANK_ERROR, NonzeroMedians


def rank_error(values, median):
    """How much more than half of the values lies on one side of a median."""
    return max((values < median).mean(), (values > median).mean(), 0.5) - 0.5


def skewed(rng, cells):
    return rng.lognormal(0, 1, cells)


def drifting(rng, cells):
    return rng.lognormal(0, 1, cells) * np.linspace(1, 20, cells)


def ascending(rng, cells):
    return np.sort(rng.pareto(0.5, cells))


def tied(rng, cells):
    return rng.integers(1, 5, cells).astype(float)


def two_groups(rng, cells):
    return np.where(rng.random(cells) < 0.5, rng.normal(1, 0.01, cells), rng.normal(100, 1, cells))


def of_few_counts(rng, cells):
    totals = np.rint(rng.lognormal(8.5, 0.6, cells)) + 500
    counts = rng.poisson(totals / 1e4 * rng.gamma(1, 1, cells))
    return (counts / totals * 1e4)[counts > 0]


@pytest.mark.parametrize(
    "draw", [skewed, drifting, ascending, tied, two_groups, of_few_counts], ids=lambda f: f.__name__
)
def test_sketched_medians_lie_within_the_bound_read_at_once_or_merged(draw):
    values = draw(np.random.default_rng(0), 60_000)
    whole = NonzeroMedians(exact_values=500)
    whole.update(np.zeros(len(values), dtype=int), values)
    parts = NonzeroMedians(exact_values=500)
    for part in np.array_split(values, 7):
        one = NonzeroMedians(exact_values=500)
        for chunk in np.array_split(part, 9):
            one.update(np.zeros(len(chunk), dtype=int), chunk)
        parts.merge(one, np.array([0]))
    for collected in (whole, parts):
        assert list(collected.sketches) == [0]
        assert collected.detected.tolist() == [len(values)]
        assert rank_error(values, collected.medians()[0]) <= RANK_ERROR


def test_medians_are_exact_until_there_are_too_many_values():
    rng = np.random.default_rng(1)
    genes, values = rng.integers(0, 5, 400), rng.random(400) + 0.1
    collected = NonzeroMedians(exact_values=400)
    collected.update(genes, values)
    expected = [np.median(values[genes == gene]) for gene in range(5)]
    assert collected.medians().tolist() == expected
    assert not collected.sketches
    collected.update(np.array([3]), np.array([0.5]))
    assert collected.sketches


def test_rare_genes_stay_exact_beside_frequent_ones():
    rng = np.random.default_rng(2)
    genes = (rng.random(20_000) < 0.002).astype(int)
    values = rng.random(20_000) + 0.1
    collected = NonzeroMedians(exact_values=1_000)
    for start in range(0, 20_000, 250):
        piece = slice(start, start + 250)
        collected.update(genes[piece], values[piece])
    assert list(collected.sketches) == [0]
    assert collected.medians()[1] == np.median(values[genes == 1])
    assert collected.detected.tolist() == np.bincount(genes).tolist()


def test_state_is_bounded_whatever_the_number_of_values():
    rng = np.random.default_rng(3)
    collected = NonzeroMedians(exact_values=2_000)
    sizes = []
    for _ in range(30):
        collected.update(rng.integers(0, 20, 5_000), rng.random(5_000) + 0.1)
        sizes.append(sum(array.nbytes for array in collected.arrays().values()))
    assert max(sizes) <= 20 * 4096 + 2_000 * 12 + 2_000
    assert max(sizes[20:]) < 1.3 * max(sizes[:10])


@pytest.mark.parametrize("exact_values", [1, 2, 3, 10])
def test_one_large_batch_is_held_in_pieces(exact_values):
    rng = np.random.default_rng(5)
    genes, values = rng.integers(0, 4, 95), rng.random(95) + 0.1
    collected = NonzeroMedians(exact_values)
    collected.update(genes, values)
    held = collected.arrays()["held_values"]
    assert len(held) <= exact_values
    copy = NonzeroMedians.from_arrays(collected.arrays())
    for name, array in copy.arrays().items():
        assert array.tobytes() == collected.arrays()[name].tobytes()
    weights = collected.arrays()["sketch_weights"]
    assert weights.sum() + len(held) == 95
    for gene, median in enumerate(collected.medians()):
        assert rank_error(values[genes == gene], median) <= 0.05


def test_the_same_values_in_the_same_order_give_the_same_bits():
    def collect():
        rng = np.random.default_rng(4)
        collected = NonzeroMedians(exact_values=300)
        for _ in range(20):
            # Equal values, and centroids that meet equal values, must not be ordered by chance.
            collected.update(rng.integers(0, 7, 500), rng.integers(1, 40, 500) / 7)
        copy = NonzeroMedians.from_arrays(collected.arrays())
        collected.merge(copy, np.arange(7))
        return collected.medians().tobytes()

    assert len({collect() for _ in range(10)}) == 1


def test_merging_renumbers_genes_and_leaves_the_other_as_it_was():
    one, other = NonzeroMedians(), NonzeroMedians()
    one.update(np.array([0, 0]), np.array([1.0, 2.0]))
    other.update(np.array([1, 0, 1]), np.array([9.0, 4.0, 5.0]))
    one.merge(other, np.array([3, 0]))
    np.testing.assert_array_equal(one.medians(), [3.5, np.nan, np.nan, 4.0])
    assert one.detected.tolist() == [4, 0, 0, 1]
    assert other.medians().tolist() == [4.0, 7.0]


def test_it_must_hold_something():
    with pytest.raises(ValueError, match=r"^exact_values is 0; expected 1 or more$"):
        NonzeroMedians(0)
