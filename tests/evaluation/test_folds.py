import json

import numpy as np
import pytest

from keras_geneformer.evaluation.folds import held_groups, make_folds

LABELS = np.array(["B", "T", "T"] * 20)
DONORS = np.repeat([f"d{number}" for number in range(6)], 10)


def test_the_folds_are_those_of_the_published_package(reference):
    folds = json.loads((reference / "classifier" / "splits.json").read_text())["gene_folds"]
    published = folds["train0.8_eval0.2_test0"]["folds"]
    ours = make_folds(np.arange(100) < 40, folds=5, seed=0)
    for (training, test), fold in zip(ours, published, strict=True):
        assert training.tolist() == fold["train"]
        assert test.tolist() == fold["eval"]


@pytest.mark.parametrize("stratified", [True, False])
@pytest.mark.parametrize("groups", [None, DONORS])
def test_every_cell_is_tested_once_and_no_group_is_on_both_sides(groups, stratified):
    folds = make_folds(LABELS, groups, folds=3, stratified=stratified)
    assert np.sort(np.concatenate([test for _, test in folds])).tolist() == list(range(60))
    for training, test in folds:
        assert np.sort(np.concatenate([training, test])).tolist() == list(range(60))
        if groups is not None:
            assert not set(groups[training]) & set(groups[test])
        elif stratified:
            assert 6 <= (LABELS[test] == "B").sum() <= 7


def test_one_group_at_a_time_is_left_out_in_their_order():
    folds = make_folds(LABELS, DONORS, "leave-one-out")
    assert [held_groups(fold, DONORS) for fold in folds] == [f"d{number}" for number in range(6)]


def test_repeats_split_anew_and_a_seed_repeats_them():
    folds = make_folds(LABELS, folds=3, repeats=2, seed=5)
    assert len(folds) == 6
    assert folds[0][1].tolist() != folds[3][1].tolist()
    assert folds[3][1].tolist() == make_folds(LABELS, folds=3, seed=6)[0][1].tolist()


def test_a_fold_may_miss_a_class_but_no_class_may_miss_in_training():
    labels, donors = np.array(["B", "T"] * 6, dtype=object), np.repeat(["a", "b", "c"], 4)
    labels[:4] = "T"
    folds = make_folds(labels, donors, "leave-one-out")
    assert set(labels[folds[0][1]]) == {"T"}
    labels[:3] = "plasma"
    message = (
        r"Fold 1 \(a\) tests a class of which fewer than two cells are left to train on: "
        r"plasma \(0 left\)\. Drop the class, merge it with another, or split otherwise\."
    )
    with pytest.raises(ValueError, match=message):
        make_folds(labels, donors, "leave-one-out")
    assert len(make_folds(labels, donors, "leave-one-out", allow_unlearnable=True)) == 3


def test_a_class_of_fewer_cells_than_folds_is_tested_cell_by_cell():
    labels = np.array(["B"] * 20 + ["T"] * 3)
    tested = [(labels[test] == "T").sum() for _, test in make_folds(labels, folds=5)]
    assert sorted(tested) == [0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("labels", "groups", "options", "message"),
    [
        (
            ["B"] * 10 + ["T"] * 2 + ["NK"],
            None,
            {},
            r"Too few cells for 5 folds are of class NK \(1\), T \(2\): drop the class, or merge "
            r"it with another\.",
        ),
        (
            ["B", "T"] * 3,
            None,
            {},
            r"of class B \(3\), T \(3\): drop the class, or merge it with another, or take 3 folds",
        ),
        (LABELS, ["d"] * 60, {}, r"All cells are of one group \('d'\)"),
        (LABELS, DONORS, {"folds": 7}, r"There are 6 groups for 7 folds: take 6 folds at most"),
        (LABELS, None, {"folds": "leave-one-out"}, "and there are no groups: give group_key"),
        (LABELS, None, {"folds": "loo"}, r"Received folds='loo'; expected a number"),
        (LABELS, None, {"folds": 1}, r"Received folds=1; expected 2 or more"),
        (LABELS, DONORS[:5], {}, "There are 5 groups for 60 labels; expected one each"),
        (["B", None, "T"], None, {}, "1 of 3 cells have no value among the labels"),
        (LABELS, DONORS, {"folds": "leave-one-out", "repeats": 2}, "folds that no seed changes"),
        (LABELS, None, {"repeats": 0}, "Received repeats=0; expected 1 or more"),
    ],
)
def test_bad_input(labels, groups, options, message):
    with pytest.raises(ValueError, match=message):
        make_folds(labels, groups, **options)
