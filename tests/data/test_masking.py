import hashlib
import json

import numpy as np
import pytest

from keras_geneformer.data.collation import collate
from keras_geneformer.data.masking import Masking, lowest

V2 = {"<pad>": 0, "<mask>": 1, "<cls>": 2, "<eos>": 3}
VOCABULARY_SIZE = 5000


def cells(number=40, seed=0):
    rng = np.random.default_rng(seed)
    genes = np.arange(4, VOCABULARY_SIZE)
    return [
        np.concatenate([[2], rng.choice(genes, rng.integers(3, 300), replace=False), [3]])
        for _ in range(number)
    ]


def restore(batch):
    """The unmasked ids, from the labels."""
    token_ids = batch.token_ids.copy()
    row, column = np.nonzero(batch.weights)
    token_ids[row, batch.mask_positions[row, column]] = batch.labels[row, column]
    return token_ids


@pytest.mark.parametrize("published", [False, True])
def test_labels_are_what_stood_there_and_nothing_else_changes(published):
    token_ids, padding_mask = collate(cells())
    batch = Masking(VOCABULARY_SIZE, V2, published=published)(
        token_ids, padding_mask, np.arange(40), 0
    )
    np.testing.assert_array_equal(restore(batch), token_ids)
    assert batch.mask_positions.dtype == batch.labels.dtype == batch.token_ids.dtype == np.int32
    for positions, weights in zip(batch.mask_positions, batch.weights):
        counted = positions[weights > 0]
        assert np.all(np.diff(counted) > 0)


def test_exactly_fifteen_percent_of_the_genes_of_each_cell_are_masked():
    token_ids, padding_mask = collate(cells())
    batch = Masking(VOCABULARY_SIZE, V2)(token_ids, padding_mask, np.arange(40), 0)
    genes = padding_mask.sum(axis=1) - 2
    np.testing.assert_array_equal(batch.weights.sum(axis=1), np.maximum(np.rint(0.15 * genes), 1))


def test_special_tokens_are_never_masked_nor_drawn():
    token_ids, padding_mask = collate(cells(400))
    batch = Masking(VOCABULARY_SIZE, V2)(token_ids, padding_mask, np.arange(400), 0)
    counted = batch.weights > 0
    new = np.take_along_axis(batch.token_ids, batch.mask_positions, axis=1)[counted]
    assert batch.labels[counted].min() >= 4
    assert set(new[new < 4]) == {1}
    drawn = new[(new != 1) & (new != batch.labels[counted])]
    assert drawn.min() < 200
    assert drawn.max() > VOCABULARY_SIZE - 200


def test_eighty_ten_ten():
    token_ids, padding_mask = collate(cells(1500))
    batch = Masking(VOCABULARY_SIZE, V2)(token_ids, padding_mask, np.arange(1500), 0)
    counted = batch.weights > 0
    new = np.take_along_axis(batch.token_ids, batch.mask_positions, axis=1)[counted]
    shares = (new == 1).mean(), (new == batch.labels[counted]).mean()
    np.testing.assert_allclose(shares, (0.8, 0.1), atol=0.01)


def test_published_behaviour_has_the_published_rates(reference):
    expected = json.loads((reference / "pretrain" / "mlm.json").read_text())["tiny-v2"]["collator"]
    rate = expected["counts"]["sel"] / expected["counts"]["n"]
    token_ids, padding_mask = collate(cells(1000))
    batch = Masking(VOCABULARY_SIZE, V2, published=True)(
        token_ids, padding_mask, np.arange(1000), 0
    )
    labels = batch.labels[batch.weights > 0]
    assert labels.size / padding_mask.sum() == pytest.approx(rate, abs=0.005)
    # <cls> and <eos> are masked as often as anything else there, <pad> and <mask> never.
    assert np.isin(labels, [2, 3]).sum() / 2000 == pytest.approx(0.15, abs=0.03)
    assert not np.isin(labels, [0, 1]).any()
    assert np.ptp(batch.weights.sum(axis=1) / padding_mask.sum(axis=1)) > 0.05


def test_a_cell_is_masked_alike_in_any_batch_and_padding():
    some = cells()
    masking = Masking(VOCABULARY_SIZE, V2, seed=3)
    whole = masking(*collate(some), np.arange(40), 5)
    rows = np.array([31, 4])
    other = masking(*collate(some, rows, length=400), rows, 5)
    for number, row in enumerate(rows):
        length = len(some[row])
        np.testing.assert_array_equal(
            other.token_ids[number, :length], whole.token_ids[row, :length]
        )


def test_epochs_cells_and_seeds_are_masked_differently():
    token_ids, padding_mask = collate([np.arange(4, 304)] * 2)

    def masked(seed, epoch):
        masking = Masking(VOCABULARY_SIZE, V2, seed=seed)
        return masking(token_ids, padding_mask, np.arange(2), epoch).token_ids

    first = masked(0, 0)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first, masked(0, 1))
    assert not np.array_equal(first, masked(1, 0))
    np.testing.assert_array_equal(first, masked(0, 0))


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        (False, "d56e0a1ed81ab87241acc201a32d665a92fbbf018375484406a550fb6f77d307"),
        (True, "2476eb0fd405774180f502a70cb9e4664fb548392399e7fdb95d6d94c7885102"),
    ],
)
def test_masks_are_the_same_in_every_version(published, expected):
    token_ids = np.tile(np.arange(4, 304, dtype=np.int32), (5, 1))
    token_ids[:, 0] = 2
    padding_mask = (np.arange(300) < np.array([[300], [299], [40], [2], [1]])).astype(np.int32)
    masking = Masking(VOCABULARY_SIZE, V2, published=published, seed=11)
    batch = masking(token_ids * padding_mask, padding_mask, np.array([0, 7, 10**9, 3, 5]), 4)
    parts = (batch.token_ids, batch.mask_positions, batch.labels, batch.weights)
    assert hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest() == expected


def test_of_equal_numbers_the_first_are_the_lowest():
    numbers = np.random.default_rng(0).integers(0, 6, (50, 20))
    counts = np.arange(50) % 21
    order = np.argsort(numbers, axis=1, kind="stable")
    for row, marked in enumerate(lowest(numbers, counts)):
        assert sorted(order[row, : counts[row]]) == np.flatnonzero(marked).tolist()


@pytest.mark.parametrize("published", [False, True])
def test_positions_a_cell_depend_on_the_padded_length_alone(published):
    masking = Masking(VOCABULARY_SIZE, V2, published=published)
    for length in (16, 304):
        token_ids, padding_mask = collate([np.arange(4, 14)], length=length)
        batch = masking(token_ids, padding_mask, np.array([0]), 0)
        assert batch.mask_positions.shape == (1, masking.positions_per_cell(length))


def test_refuses_a_vocabulary_without_a_mask_token():
    message = (
        r"The vocabulary has no <mask> token \(special tokens: \{'<pad>': 0\}\): masked-LM "
        "training needs both."
    )
    with pytest.raises(ValueError, match=message):
        Masking(10, {"<pad>": 0})
    with pytest.raises(ValueError, match=r"rate must lie between 0 and 1, not 15\."):
        Masking(10, V2, rate=15)
