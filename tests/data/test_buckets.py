from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_geneformer.data.buckets import bucket_lengths, buckets_within, plan_batches


def padding(lengths, buckets):
    return (np.asarray(buckets)[np.searchsorted(buckets, lengths)] - lengths).sum()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=30), st.integers(1, 4))
def test_no_choice_of_buckets_pads_less(lengths, count):
    lengths = np.array(lengths)
    buckets = bucket_lengths(lengths, count, multiple=10)
    candidates = np.unique(-(-lengths // 10) * 10)
    best = min(
        padding(lengths, [*chosen, candidates[-1]])
        for chosen in combinations(candidates[:-1], min(count, len(candidates)) - 1)
    )
    assert padding(lengths, buckets) == best
    assert len(buckets) <= count


def test_no_bucket_goes_above_the_model():
    assert bucket_lengths(np.array([3, 99]), multiple=16, max_length=100).tolist() == [16, 100]


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize("size", [{"batch_size": 7}, {"max_tokens": 1500}])
def test_every_cell_is_in_one_batch_that_holds_it(seed, size):
    lengths = np.random.default_rng(1).integers(20, 700, size=200)
    buckets = bucket_lengths(lengths, 6)
    rng = None if seed is None else np.random.default_rng(seed)
    batches = plan_batches(lengths, buckets, rng=rng, **size)
    assert sorted(np.concatenate([batch.rows for batch in batches])) == list(range(200))
    for batch in batches:
        assert lengths[batch.rows].max() <= batch.length
        assert len(batch.rows) * batch.length <= size.get("max_tokens", np.inf)
    assert batches[0].length != batches[1].length


def test_one_batch_alone_is_smaller_and_shapes_are_those_of_every_epoch():
    lengths = np.random.default_rng(1).integers(20, 700, size=200)
    buckets = bucket_lengths(lengths, 6)
    epochs = [
        plan_batches(lengths, buckets, batch_size=7, rng=np.random.default_rng(seed))
        for seed in range(3)
    ]
    shapes = [{(len(batch.rows), batch.length) for batch in batches} for batches in epochs]
    assert shapes[0] == shapes[1] == shapes[2]
    assert sum(len(batch.rows) != 7 for batch in epochs[0]) == 1
    assert not np.array_equal(epochs[0][0].rows, epochs[1][0].rows)


def test_without_shuffling_the_longest_come_first():
    batches = plan_batches(np.array([5, 90, 40, 91]), np.array([48, 96]), batch_size=2)
    assert [batch.rows.tolist() for batch in batches] == [[3, 1], [2, 0]]


def test_little_of_real_batches_is_padding(reference):
    pq = pytest.importorskip("pyarrow.parquet")
    path = reference / "tokenizer" / "pbmc3k.V1.parquet"
    lengths = pq.read_table(path, columns=["length"])["length"].to_numpy()
    buckets = bucket_lengths(lengths, 10)
    batches = plan_batches(lengths, buckets, batch_size=12, rng=np.random.default_rng(0))
    assert batches.padded_share(lengths) < 0.08
    assert len({(len(batch.rows), batch.length) for batch in batches}) <= 11


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"Give batch_size \(cells\) or max_tokens \(padded tokens\), one of the two."),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0."),
        (
            {"max_tokens": 40},
            r"max_tokens=40 holds no cell of the longest bucket \(48 tokens\).",
        ),
    ],
)
def test_refuses_sizes_that_make_no_batches(arguments, message):
    with pytest.raises(ValueError, match=message):
        plan_batches(np.array([30, 40]), np.array([48]), **arguments)


def test_refuses_cells_above_the_last_bucket():
    with pytest.raises(ValueError, match=r"A cell of 50 tokens is above the last bucket, 48\."):
        plan_batches(np.array([30, 50]), np.array([48]), batch_size=2)


def test_refuses_no_cells():
    message = "There are no cells, so there are no lengths to make buckets of."
    with pytest.raises(ValueError, match=message):
        bucket_lengths(np.array([]))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=60),
    st.sampled_from([{"batch_size": 1}, {"batch_size": 7}, {"max_tokens": 1500}]),
    st.sampled_from([0.5, 0.2, 0.1]),
)
def test_the_fewest_buckets_that_keep_the_padding_within_a_share(lengths, size, padding):
    lengths = np.array(lengths)

    def share(count):
        buckets = bucket_lengths(lengths, count)
        return plan_batches(lengths, buckets, **size).padded_share(lengths)

    try:
        buckets = buckets_within(lengths, padding, **size)
    except ValueError:
        assert all(share(count) > padding for count in range(1, 25))
        return
    plan = plan_batches(lengths, buckets, rng=np.random.default_rng(0), **size)
    assert plan.padded_share(lengths) <= padding
    assert all(share(count) > padding for count in range(1, len(buckets)))


def test_refuses_a_share_of_padding_that_no_buckets_keep():
    with pytest.raises(ValueError, match=r"^padding=1.5; expected a share between 0 and 1\.$"):
        buckets_within(np.array([5]), 1.5, batch_size=1)
    message = (
        r"^padding=0\.1: with up to 64 buckets, 0\.500 of the tokens at least are padding\. Give "
        r"more, a smaller batch, or pack the cells \(pack=\.\.\.\)\.$"
    )
    with pytest.raises(ValueError, match=message):
        buckets_within(np.array([8, 8]), 0.1, batch_size=1)
