"""Rows and batches in which rare classes are as common as others."""

import numpy as np
import pytest

from keras_geneformer.data.buckets import bucket_lengths, plan_batches
from keras_geneformer.training.finetuning.sampling import balanced_plan, resample

TARGETS = np.repeat([0, 1, 2], [50, 9, 31])


def test_upsampling_repeats_rows_evenly():
    rows = resample(TARGETS, "upsample", seed=3)
    assert np.bincount(TARGETS[rows]).tolist() == [50, 50, 50]
    times = np.bincount(rows, minlength=len(TARGETS))
    assert set(times[TARGETS == 0]) == {1}
    assert set(times[TARGETS == 1]) == {5, 6}
    assert set(times[TARGETS == 2]) == {1, 2}


def test_downsampling_leaves_rows_out():
    rows = resample(TARGETS, "downsample", seed=3)
    assert np.bincount(TARGETS[rows]).tolist() == [9, 9, 9]
    assert len(np.unique(rows)) == 27


def test_a_seed_decides_the_draw():
    first, again = (resample(TARGETS, "downsample", seed=1) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.tolist() != resample(TARGETS, "downsample", seed=2).tolist()


def test_other_kinds_are_refused():
    with pytest.raises(
        ValueError, match=r"^Received sampling='smote'; expected 'upsample' or 'downsample'\.$"
    ):
        resample(TARGETS, "smote")
    with pytest.raises(ValueError, match=r"^There are no cells to sample from\.$"):
        resample(np.array([], dtype=int), "upsample")


def plan_of(targets, lengths, batch_size, seed=0):
    rng = np.random.default_rng(seed)
    buckets = bucket_lengths(lengths)
    return balanced_plan(lengths, buckets, targets, batch_size, rng), buckets


@pytest.mark.parametrize("batch_size", [12, 7, 2])
def test_every_batch_holds_classes_alike(batch_size):
    lengths = np.random.default_rng(5).integers(30, 900, size=len(TARGETS))
    plan, buckets = plan_of(TARGETS, lengths, batch_size)
    assert len(plan) == -(-len(TARGETS) // batch_size)
    counts = np.array([np.bincount(TARGETS[batch.rows], minlength=3) for batch in plan])
    assert (counts.sum(axis=1) == batch_size).all()
    assert (np.ptp(counts, axis=1) <= 1).all()
    assert np.ptp(counts.sum(axis=0)) <= 1
    for batch in plan:
        longest = lengths[batch.rows].max()
        assert batch.length == buckets[np.searchsorted(buckets, longest)]


def test_rows_of_a_class_come_equally_often_and_not_twice_in_a_batch():
    lengths = np.random.default_rng(5).integers(30, 900, size=len(TARGETS))
    plan, _ = plan_of(TARGETS, lengths, 12)
    times = np.bincount(np.concatenate([batch.rows for batch in plan]), minlength=len(TARGETS))
    for own in np.split(times, [50, 59]):
        assert np.ptp(own) <= 1
    assert all(len(np.unique(batch.rows)) == 12 for batch in plan)


def test_epochs_differ_and_a_generator_decides():
    lengths = np.random.default_rng(5).integers(30, 900, size=len(TARGETS))

    def rows(seed):
        return [batch.rows.tolist() for batch in plan_of(TARGETS, lengths, 12, seed)[0]]

    assert rows(1) == rows(1)
    assert rows(1) != rows(2)


def test_balanced_batches_pad_little():
    rng = np.random.default_rng(8)
    targets = rng.choice(4, p=[0.7, 0.2, 0.08, 0.02], size=2000)
    lengths = rng.integers(50, 2000, size=2000)
    buckets = bucket_lengths(lengths, 10)
    balanced = balanced_plan(lengths, buckets, targets, 12, rng).padded_share(lengths)
    best = plan_batches(lengths, buckets, 12, rng=rng).padded_share(lengths)
    mixed = rng.permutation(lengths)
    at_random = plan_batches(mixed, buckets, 12, in_order=True).padded_share(mixed)
    # The 40 cells of the rarest class, three a batch, are not of one length.
    assert best < balanced < best + 0.1
    assert at_random > 0.4


def test_a_class_of_one_cell_is_in_every_batch():
    targets = np.array([0] * 11 + [1])
    plan, _ = plan_of(targets, np.full(12, 40), 4)
    assert [(batch.rows == 11).sum() for batch in plan] == [2, 2, 2]


@pytest.mark.parametrize(
    ("targets", "batch_size", "message"),
    [
        ([0, 1], 0, "batch_size must be at least 1, not 0."),
        ([0, 1, 1], 2, "There are 3 targets for 2 cells."),
    ],
)
def test_what_does_not_fit_is_refused(targets, batch_size, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        plan_of(np.array(targets), np.array([20, 30]), batch_size)
