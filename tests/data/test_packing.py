"""Rows of several cells: which cells share a row, and what a packed batch holds."""

import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_geneformer.data.batch_source import BatchSource
from keras_geneformer.data.batch_stream import BatchStream
from keras_geneformer.data.masking import Masking
from keras_geneformer.data.packing import plan_rows, positions_per_row
from keras_geneformer.tokenization.cells.dataset import CellDataset

SPECIAL = {"<pad>": 0, "<mask>": 1, "<cls>": 2}
ROW = 64

some_lengths = st.lists(st.integers(1, ROW), min_size=1, max_size=40)
some_masking = st.builds(
    Masking,
    vocabulary_size=st.just(100),
    special_tokens=st.just(SPECIAL),
    published=st.booleans(),
    rate=st.sampled_from([0.15, 0.5]),
    seed=st.integers(0, 3),
)


def dataset(lengths, seed=0):
    """Cells of random tokens, the first of some of them <cls>."""
    rng = np.random.default_rng(seed)
    return CellDataset([rng.integers(2, 100, length) for length in lengths])


@settings(max_examples=60, deadline=None)
@given(some_lengths, some_masking, st.integers(1, 5), st.booleans(), st.integers(0, 2))
def test_each_cell_stands_once_in_a_row_masked_as_if_alone(
    lengths, masking, batch_size, shuffle, epoch
):
    cells = dataset(lengths)
    source = BatchSource(
        cells, batch_size=batch_size, masking=masking, pack=ROW, shuffle=shuffle, epoch=epoch
    )
    seen = []
    for step in range(len(source)):
        inputs, labels, weights = source[step]
        rows = iter(source.rows(step))
        shape = (len(labels), ROW)
        assert len(labels) == batch_size or step == len(source) - 1
        assert {inputs[name].shape for name in ("token_ids", "cell_numbers", "positions")} == {
            shape
        }
        assert labels.shape == weights.shape == inputs["mask_positions"].shape
        assert labels.shape[1] == positions_per_row(masking, ROW)
        for row in range(len(labels)):
            numbers = inputs["cell_numbers"][row]
            padding = numbers == 0
            assert not inputs["token_ids"][row][padding].any()
            places = inputs["mask_positions"][row][weights[row] == 1]
            assert (np.diff(places) > 0).all()
            assert not labels[row][weights[row] == 0].any()
            for number in range(1, numbers.max() + 1):
                cell = next(rows)
                seen.append(cell)
                own = np.flatnonzero(numbers == number)
                np.testing.assert_array_equal(np.diff(own), 1)
                np.testing.assert_array_equal(inputs["positions"][row][own], range(len(own)))
                # The cell alone, in a row of its own length.
                ids = cells[cell][None]
                alone = masking(ids, np.ones_like(ids), np.array([cell]), epoch)
                np.testing.assert_array_equal(inputs["token_ids"][row][own], alone.token_ids[0])
                counted = alone.weights[0] == 1
                mine = np.isin(places, own)
                np.testing.assert_array_equal(
                    places[mine] - own[0], alone.mask_positions[0][counted]
                )
                kept = labels[row][weights[row] == 1][mine]
                np.testing.assert_array_equal(kept, alone.labels[0][counted])
        assert next(rows, None) is None
    assert sorted(seen) == list(range(len(cells)))
    rows = sum(len(source[step][1]) for step in range(len(source)))
    assert source.padded_share == pytest.approx(1 - sum(lengths) / (rows * ROW))


@settings(max_examples=30, deadline=None)
@given(some_lengths, st.integers(1, 3), st.integers(1, 3), st.integers(0, 9))
def test_shards_parts_and_a_later_start_give_the_same_rows(lengths, shards, parts, taken):
    cells = dataset(lengths)
    options = {"batch_size": 4, "masking": Masking(100, SPECIAL), "pack": ROW, "shuffle": True}
    whole = BatchStream(BatchSource(cells, **options, seed=3), epochs=20)
    per_epoch = whole.batches.steps_per_epoch
    shards = min(shards, per_epoch)
    for shard in range(shards):
        source = BatchSource(cells, **options, seed=3, shard=(shard, shards), start_step=taken)
        epoch, step = source.epoch, source.start_step
        expected = whole[epoch * per_epoch + shard + step * shards]
        received = [
            BatchSource(
                cells,
                **options,
                seed=3,
                shard=(shard, shards),
                start_step=taken,
                part=(part, parts),
                multiple=parts,
            )[0]
            for part in range(parts)
        ]
        assert len({len(batch[1]) for batch in received}) == 1
        rows = len(expected[1])
        for name, array in expected[0].items():
            joined = np.concatenate([batch[0][name] for batch in received])
            np.testing.assert_array_equal(joined[:rows], array)
            assert not joined[rows:].any()
        for place in (1, 2):
            joined = np.concatenate([batch[place] for batch in received])
            np.testing.assert_array_equal(joined[:rows], expected[place])
            assert not joined[rows:].any()


def test_every_epoch_has_as_many_rows_and_other_neighbours():
    cells = dataset([20] * 9 + [33] * 7 + [8] * 11)
    source = BatchSource(cells, batch_size=2, masking=Masking(100, SPECIAL), pack=ROW, shuffle=True)
    epochs = []
    for epoch in range(3):
        source.set_epoch(epoch)
        epochs.append([source.rows(step).tolist() for step in range(len(source))])
    assert len({len(rows) for rows in epochs}) == 1
    assert epochs[0] != epochs[1] != epochs[2]
    source.set_epoch(1)
    assert [source.rows(step).tolist() for step in range(len(source))] == epochs[1]


def test_a_row_is_closed_before_its_masks_overflow():
    # A cell of one gene has one mask: 64 of them would have 64, and a row has room for 12.
    masking = Masking(100, SPECIAL)
    plan = plan_rows(np.ones(30, dtype=int), ROW, masking, batch_size=1)
    assert [len(batch.rows) for batch in plan] == [12, 12, 6]
    assert positions_per_row(masking, ROW) == 12


def test_max_tokens_are_rows_times_their_length():
    cells = dataset([40] * 10)
    source = BatchSource(cells, max_tokens=200, masking=Masking(100, SPECIAL), pack=ROW)
    assert [len(source[step][1]) for step in range(len(source))] == [3, 3, 3, 1]


@pytest.mark.parametrize(
    ("name", "length", "share"),
    [
        ("pbmc3k", 2048, 0.04),
        ("pbmc_kang_ifnb_1000", 2048, 0.03),
        ("pancreas_4tech", 2048, 0.03),
        ("pancreas_4tech", 512, 0.03),
    ],
)
def test_little_of_real_rows_is_padding(reference, name, length, share):
    pq = pytest.importorskip("pyarrow.parquet")
    path = reference / "tokenizer" / f"{name}.V1.parquet"
    lengths = pq.read_table(path, columns=["length"])["length"].to_numpy()
    lengths = lengths[lengths <= length]
    plan = plan_rows(lengths, length, Masking(25426, SPECIAL), batch_size=12)
    assert plan.padded_share(lengths) < share


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"pack": 32},
            "pack=32: a cell of 40 tokens is longer than the row. Give pack=40 or more, or "
            "tokenize again with max_length=32.",
        ),
        (
            {"pack": ROW, "masking": None},
            "pack=64 is for a masked LM: give masking with it, and not in_order.",
        ),
        (
            {"pack": ROW, "in_order": True},
            "pack=64 is for a masked LM: give masking with it, and not in_order.",
        ),
        (
            {"pack": ROW, "padding": 0.1},
            "Give buckets, padding or pack, one of the three at most.",
        ),
        (
            {"pack": ROW, "max_tokens": 50},
            "max_tokens=50 holds no row of pack=64 tokens.",
        ),
        (
            {"padding": 0.1, "in_order": True},
            "padding=0.1 with in_order: cells that keep their order pad as it falls.",
        ),
    ],
)
def test_refuses_what_cannot_be_packed(options, message):
    options = {"masking": Masking(100, SPECIAL)} | options
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        BatchSource(dataset([40, 5]), **options)


def test_a_plan_of_many_cells_is_a_few_bytes_for_each():
    lengths = np.random.default_rng(0).integers(30, 2049, 200_000)
    tracemalloc.start()
    try:
        plan = plan_rows(
            lengths, 2048, Masking(100, SPECIAL), batch_size=12, rng=np.random.default_rng(1)
        )
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 10 * len(lengths)
    assert plan.padded_share(lengths) < 0.03


@pytest.mark.parametrize("rows", [{"pack": 32}, {"bucket_count": 1}])
def test_a_part_of_which_no_row_is_left_is_empty_rows(rows):
    cells = dataset([5, 30, 17, 9, 8])
    options = {"batch_size": 5, "masking": Masking(100, SPECIAL), "multiple": 8} | rows
    inputs, labels, weights = BatchSource(cells, part=(3, 4), **options)[0]
    assert inputs["token_ids"].shape == (2, 32)
    assert not inputs["token_ids"].any()
    assert not labels.any()
    assert not weights.any()
