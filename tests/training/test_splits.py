import numpy as np
import pytest

from keras_geneformer.training.splits import split_by_cell, split_by_group


def test_every_class_gives_its_share_and_no_cell_is_in_both():
    labels = np.array(["B"] * 40 + ["T"] * 100 + ["rare"] * 2)
    train, validation = split_by_cell(labels, 0.1, seed=1)
    assert sorted([*train, *validation]) == list(range(142))
    classes, counts = np.unique(labels[validation], return_counts=True)
    assert dict(zip(classes, counts)) == {"B": 4, "T": 10, "rare": 1}


def test_a_split_depends_on_its_seed_alone():
    labels = np.arange(100) % 3
    np.testing.assert_array_equal(split_by_cell(labels)[1], split_by_cell(labels)[1])
    assert not np.array_equal(split_by_cell(labels)[1], split_by_cell(labels, seed=1)[1])


def test_no_group_is_on_both_sides():
    rng = np.random.default_rng(0)
    groups, labels = rng.integers(12, size=300), rng.integers(3, size=300)
    train, validation = split_by_group(labels, groups, 0.1, seed=3)
    assert sorted([*train, *validation]) == list(range(300))
    assert not set(groups[train]) & set(groups[validation])
    assert 30 <= len(validation) < 90


@pytest.mark.parametrize("seed", range(6))
def test_a_group_with_all_cells_of_a_class_is_never_held_out(seed):
    groups = np.array(["a", "a", "b", "b", "c", "c"])
    labels = np.array(["B", "rare", "B", "T", "B", "T"])
    train, _ = split_by_group(labels, groups, seed=seed)
    assert set(labels[train]) == {"B", "T", "rare"}


def test_refuses_what_cannot_be_split():
    message = r"Only one cell is of class rare: a class needs two cells at least, one to train on"
    with pytest.raises(ValueError, match=message):
        split_by_cell(["B", "B", "rare"])
    message = r"The share of cells to validate on must be between 0 and 1, not 1\.5\."
    with pytest.raises(ValueError, match=message):
        split_by_cell(["B", "B"], 1.5)
    with pytest.raises(
        ValueError, match=r"All cells are of one group \('d1'\): to hold out groups"
    ):
        split_by_group(["B", "T"], ["d1", "d1"])
    message = r"None of the 2 groups can be held out, because each holds all cells of some class"
    with pytest.raises(ValueError, match=message):
        split_by_group(["B", "B", "T"], ["d1", "d1", "d2"])
