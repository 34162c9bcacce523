import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_geneformer.data.batch_source import BatchSource
from keras_geneformer.data.batch_stream import BatchStream
from keras_geneformer.data.buckets import plan_batches
from keras_geneformer.data.masking import Masking
from keras_geneformer.tokenization.cells.dataset import CellDataset

SPECIAL = {"<pad>": 0, "<mask>": 1}
some_lengths = st.lists(st.integers(1, 60), min_size=1, max_size=40)


def dataset(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return CellDataset([rng.integers(2, 100, length) for length in lengths])


def same(one, other):
    """Whether two batches are equal to the last bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one.dtype == other.dtype and np.array_equal(one, other)


def options(data):
    size = {"batch_size": data.draw(st.integers(1, 9))}
    if data.draw(st.booleans()):
        size = {"max_tokens": data.draw(st.integers(64, 300))}
    order = data.draw(st.sampled_from([{}, {"shuffle": True}, {"in_order": True}]))
    return size | order | {"seed": data.draw(st.integers(0, 3)), "bucket_count": 3}


@settings(max_examples=60, deadline=None)
@given(some_lengths, st.integers(1, 4), st.integers(0, 2), st.data())
def test_shards_together_have_every_cell_once(lengths, count, epoch, data):
    cells, chosen = dataset(lengths), options(data)
    whole = BatchSource(cells, epoch=epoch, **chosen)
    shards = [
        BatchSource(cells, epoch=epoch, shard=(index, count), **chosen)
        for index in range(min(count, len(whole)))
    ]
    rows = [shard.rows(i) for shard in shards for i in range(len(shard))]
    assert sorted(np.concatenate(rows)) == list(range(len(cells)))
    assert sorted(len(shard) for shard in shards)[0] >= len(shards[0]) - 1
    assert len(rows) == len(whole)


@settings(max_examples=40, deadline=None)
@given(some_lengths, st.integers(0, 25), st.integers(1, 2), st.data())
def test_resumes_at_any_step_as_if_it_had_not_stopped(lengths, taken, count, data):
    chosen = options(data) | {"masking": Masking(100, SPECIAL)}
    cells = dataset(lengths)
    count = min(count, len(BatchSource(cells, **chosen)))
    chosen |= {"shard": (0, count), "epoch": 1}
    expected = BatchStream(BatchSource(cells, **chosen), epochs=30)
    resumed = BatchSource(cells, start_step=taken, **chosen)
    assert len(resumed) == len(expected.batches) - taken % len(expected.batches)
    place = taken
    for _ in range(2):
        for index in range(len(resumed)):
            assert same(resumed[index], expected[place])
            np.testing.assert_array_equal(resumed.rows(index), expected.rows(place))
            place += 1
        resumed.set_epoch(resumed.epoch + 1)


@settings(max_examples=60, deadline=None)
@given(some_lengths, st.integers(64, 300))
def test_in_order_batches_are_as_large_as_their_longest_cell_allows(lengths, max_tokens):
    buckets = np.array([16, 48, 64])
    plan = plan_batches(np.array(lengths), buckets, max_tokens=max_tokens, in_order=True)
    expected, batch = [], []
    for row, length in enumerate(lengths):
        padded = min(b for b in buckets if b >= max(length, *(lengths[i] for i in batch), 0))
        if (len(batch) + 1) * padded > max_tokens:
            expected.append(batch)
            batch = []
        batch = [*batch, row]
    expected.append(batch)
    assert [batch.rows.tolist() for batch in plan] == expected
    for batch in plan:
        longest = max(lengths[row] for row in batch.rows)
        assert batch.length == min(b for b in buckets if b >= longest)


def test_cells_in_order_are_those_of_the_dataset():
    cells = dataset([40, 3, 17, 60, 8, 30, 1])
    source = BatchSource(cells, batch_size=3, in_order=True, bucket_count=7)
    rows = [source.rows(index).tolist() for index in range(len(source))]
    assert rows == [[0, 1, 2], [3, 4, 5], [6]]
    assert [source[index][0]["token_ids"].shape[1] for index in range(3)] == [48, 64, 16]
    np.testing.assert_array_equal(source[1][0]["token_ids"][1, :8], cells[4])


@pytest.mark.parametrize("count", [2, 3])
def test_the_first_two_batches_of_a_shard_are_unlike_as_keras_on_tensorflow_needs(count):
    cells = dataset(np.repeat([10, 50], 48))
    for index in range(count):
        for seed in range(5):
            source = BatchSource(
                cells, batch_size=4, shuffle=True, seed=seed, shard=(index, count), bucket_count=2
            )
            shapes = [source[i][0]["token_ids"].shape[1] for i in range(len(source))]
            assert shapes[0] != shapes[1]


def test_readers_of_two_epochs_at_once_see_the_batches_of_each():
    source = BatchSource(dataset([20] * 30), batch_size=4, shuffle=True)
    stream = BatchStream(source, epochs=4)
    forwards = [stream.rows(i).tolist() for i in range(len(stream))]
    source.set_epoch(2)
    backwards = [stream.rows(i).tolist() for i in reversed(range(len(stream)))]
    assert forwards == backwards[::-1]
    assert len({str(forwards[i : i + 8]) for i in range(0, 32, 8)}) == 4


def test_a_token_outside_the_vocabulary_is_noticed_in_the_batch_that_holds_it():
    cells = CellDataset.from_token_lists(
        dataset([5] * 8).token_lists, None, {"vocabulary_size": 100}
    )
    assert len(list(BatchSource(cells, batch_size=4))) == 2
    cells.vocabulary_size = 20
    message = r"The cells hold token id \d\d, and the model's ids go from 0 to 19"
    with pytest.raises(ValueError, match=message):
        BatchSource(cells, batch_size=8)[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shard": (2, 2)}, r"shard=\(2, 2\); expected \(index, count\) with 0 <= index < count\."),
        (
            {"shard": (3, 5), "batch_size": 2},
            r"There are only 3 batches for 5 shards, so this one has none: use fewer shards or "
            r"smaller batches\.",
        ),
        ({"start_step": -1}, r"start_step=-1; expected 0 or more\."),
        (
            {"in_order": True, "shuffle": True},
            r"Give shuffle \(for training\) or in_order \(for inference\), not both\.",
        ),
    ],
)
def test_refuses_what_makes_no_batches(arguments, message):
    with pytest.raises(ValueError, match=message):
        BatchSource(dataset([5] * 6), **arguments)


def test_refuses_an_order_both_kept_and_shuffled():
    message = r"Cells that are shuffled are not in order: give one of the two\."
    with pytest.raises(ValueError, match=message):
        plan_batches(
            np.array([3]), np.array([16]), batch_size=1, in_order=True, rng=np.random.default_rng()
        )


def test_refuses_steps_and_epochs_that_are_not_there():
    source = BatchSource(dataset([5] * 6), batch_size=2, start_step=1)
    assert len(source) == 2
    with pytest.raises(IndexError, match="batch 2 of 2"):
        source[2]
    with pytest.raises(IndexError, match="batch 5 of 5"):
        BatchStream(source, epochs=2)[5]
    with pytest.raises(ValueError, match=r"epochs=0; expected 1 or more, or None for no end\."):
        BatchStream(source, epochs=0)


def test_refuses_to_be_copied_into_another_process():
    with pytest.raises(TypeError, match="Read them with threads, or open the dataset in each"):
        pickle.dumps(BatchSource(dataset([5] * 6)))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            np.array([0.0, np.nan]),
            "labels are an array of float64 of shape (2,); expected an integer class for each of "
            "the 2 cells.",
        ),
        (
            np.zeros((2, 3), int),
            "labels are an array of int64 of shape (2, 3); expected an integer class for each of "
            "the 2 cells.",
        ),
        (np.zeros(3, int), "There are 3 labels for 2 cells."),
        (
            np.array([1, -1]),
            "The label of cell 1 is -1; expected classes from 0 (a code of -1 stands for a missing "
            "category: drop such cells).",
        ),
    ],
)
def test_labels_that_are_no_classes(labels, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        BatchSource(CellDataset([[5, 2], [7]]), labels=labels)
