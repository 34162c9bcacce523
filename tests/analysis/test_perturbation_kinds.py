"""Kinds of perturbation and the views they make, against lists of Python."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_geneformer.analysis.perturbation.kinds import check_kind, moved, new_ranks
from keras_geneformer.analysis.perturbation.variants import Perturbation

CELL = np.arange(10, 20, dtype=np.int32)
"""Ten genes; the gene at rank r is 10 + r."""

SPECIAL = np.array([0, 1, 2, 3])


def copies(ids, only=None, **options):
    """Perturbed copies of a cell, as lists of tokens."""
    perturbation = Perturbation(
        **{"targets": None, "special": SPECIAL, "max_length": 12, **options}
    )
    groups = list(perturbation.of(np.asarray(ids, dtype=np.int32), only))
    assert perturbation.count(np.asarray(ids)) == sum(map(len, groups)) or only is not None
    return [group.tokens[view].tolist() for group in groups for view in group.views(slice(0, None))]


def test_activate_and_inhibit_move_a_gene_by_quantiles_of_a_ten_gene_cell():
    ranks = np.arange(10)
    # A quartile of ten genes holds 2.5 ranks, which is rounded to 3.
    assert new_ranks(ranks, 10, "activate").tolist() == [0, 0, 0, 0, 1, 2, 3, 4, 5, 6]
    assert new_ranks(ranks, 10, "inhibit").tolist() == [3, 4, 5, 6, 7, 8, 9, 9, 9, 9]
    assert new_ranks(ranks, 10, "activate", rank_shift=2).tolist() == [0] * 5 + [0, 1, 2, 3, 4]
    assert new_ranks(ranks, 10, "inhibit", rank_shift=3, quantiles=10).tolist() == [
        *(3, 4, 5, 6, 7, 8, 9, 9, 9, 9)
    ]


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("delete", {}, [10, 11, 12, 13, 14, 16, 17, 18, 19]),
        ("overexpress", {}, [15, 10, 11, 12, 13, 14, 16, 17, 18, 19]),
        ("activate", {}, [10, 11, 15, 12, 13, 14, 16, 17, 18, 19]),
        ("inhibit", {}, [10, 11, 12, 13, 14, 16, 17, 18, 15, 19]),
        ("set_rank", {"rank": 7}, [10, 11, 12, 13, 14, 16, 17, 15, 18, 19]),
        ("set_rank", {"rank": 99}, [10, 11, 12, 13, 14, 16, 17, 18, 19, 15]),
    ],
)
def test_a_kind_puts_the_gene_where_it_says(kind, options, expected):
    options = {"kind": kind, "targets": np.array([15]), **options}
    assert copies(CELL, **options) == [expected]
    with_special = copies([2, *CELL, 3], **{**options, "max_length": 20})
    assert with_special == [[2, *expected, 3]]


def test_all_genes_of_a_cell_are_perturbed_except_those_that_stand_there_already():
    assert len(copies(CELL, kind="delete")) == 10
    assert [copy[0] for copy in copies(CELL, kind="overexpress")] == list(range(11, 20))
    assert copies([2, 10, 3], kind="delete") == []
    assert copies([10], kind="inhibit") == []
    assert copies(CELL, kind="delete", only=np.array([3])) == [[10, 11, 12, *range(14, 20)]]


def test_a_gene_that_the_cell_lacks_is_inserted_and_the_last_gene_makes_room():
    options = {"kind": "overexpress", "targets": np.array([50, 12, 60])}
    assert copies(CELL, **options) == [
        [12, 10, 11, *range(13, 20)],
        [50, *CELL],
        [60, *CELL],
    ]
    full = {**options, "max_length": 10}
    assert copies(CELL, **full)[1:] == [[50, *CELL[:-1]], [60, *CELL[:-1]]]
    full = {**options, "max_length": 12}
    assert copies([2, *CELL, 3], **full)[1] == [2, 50, *CELL[:-1], 3]
    perturbation = Perturbation(special=SPECIAL, **full)
    inserted = list(perturbation.of(np.array([2, *CELL, 3], dtype=np.int32)))[1]
    assert inserted.tokens[: inserted.original].tolist() == [2, *CELL[:-1], 3]


def test_a_list_together_is_one_perturbation_of_the_cells_that_have_it():
    genes = {"targets": np.array([17, 11]), "together": True}
    assert copies(CELL, kind="delete", **genes) == [[10, *range(12, 17), 18, 19]]
    assert copies(CELL, kind="overexpress", **genes) == [[17, 11, 10, *range(12, 17), 18, 19]]
    assert copies(CELL[:5], kind="delete", **genes) == []
    assert copies([17, 11], kind="delete", **genes) == []
    shorter = copies(CELL[:5], kind="overexpress", **genes)
    assert shorter == [[17, 11, 10, 12, 13, 14]]
    # The cell is full, and its last gene is one of those that go to the front.
    genes["targets"] = np.array([50, 19])
    full = copies(CELL, kind="overexpress", **{**genes, "max_length": 10})
    assert full == [[50, 19, *range(10, 18)]]


def test_pairs_and_anchors():
    pairs = copies(CELL, kind="delete", targets=np.array([10, 12, 50, 14]), combination=2)
    assert pairs == [
        [11, 13, 14, *range(15, 20)],
        [11, 12, 13, *range(15, 20)],
        [10, 11, 13, *range(15, 20)],
    ]
    anchored = copies(CELL[:4], kind="delete", anchor=11)
    assert anchored == [[12, 13], [10, 13], [10, 12]]
    assert copies(CELL, kind="delete", anchor=50) == []
    assert copies(CELL[:3], kind="overexpress", anchor=12) == [[12, 10, 11], [12, 11, 10]]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_moves_are_those_of_a_list(data):
    total = data.draw(st.integers(2, 12))
    places = st.integers(0, total - 1)
    moves = data.draw(st.lists(st.tuples(places, places), min_size=1, max_size=4))
    expected = list(range(total))
    for start, end in moves:
        expected.insert(end, expected.pop(start))
    assert moved(np.array([moves]), total).tolist() == [expected]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("knockdown", 1, 4, None), "the perturbations there are: delete, overexpress, inhibit,"),
        (("activate", 5, 4, None), "Received rank_shift=5 and quantiles=4; expected 2 quantiles"),
        (("set_rank", 1, 4, None), 'Received kind="set_rank" with rank=None; expected a rank'),
        (("delete", 1, 4, 3), "Received rank=3 with kind='delete'; a rank goes with"),
        (("inhibit", 1, 4, None, True), "the published package has no such kind to reproduce"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        check_kind(*arguments)
