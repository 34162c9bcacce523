from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_geneformer.tokenization.cells import token_lists
from keras_geneformer.tokenization.cells.token_lists import TokenLists


def reference(cells, rows, length, fill):
    out = []
    for row in rows:
        ids = list(cells[row])
        out.append(ids + [fill] * (length - len(ids)))
    return np.array(out).reshape(len(rows), length)


@st.composite
def several_pieces(draw):
    """Lists in pieces that begin and end in the middle of their arrays, and their cells."""
    pieces, cells = [], []
    for lengths in draw(st.lists(st.lists(st.integers(0, 6), max_size=5), min_size=1, max_size=4)):
        skipped = draw(st.integers(0, 3))
        ids = np.arange(skipped + sum(lengths) + 2, dtype=draw(st.sampled_from(["int16", "int64"])))
        offsets = np.cumsum([skipped, *lengths]).astype(draw(st.sampled_from(["int32", "int64"])))
        pieces.append((ids + 10 * len(pieces), offsets))
        cells += [pieces[-1][0][a:b] for a, b in pairwise(offsets)]
    return TokenLists(pieces), cells


def positions(data, cells, lowest=0):
    if not len(cells):
        return []
    return data.draw(st.lists(st.integers(lowest * len(cells), len(cells) - 1), max_size=8))


@settings(max_examples=100, deadline=None)
@given(several_pieces(), st.data())
def test_pads_as_a_loop_over_the_cells_does(lists_and_cells, data):
    lists, cells = lists_and_cells
    if data.draw(st.booleans()):
        chosen = np.array(positions(data, cells), dtype=np.int64)
        lists, cells = lists.take(chosen), [cells[i] for i in chosen]
    rows = positions(data, cells, lowest=-1)
    token_ids, lengths = lists.pad(rows, 7, fill=-1)
    np.testing.assert_array_equal(token_ids, reference(cells, rows, 7, -1))
    assert token_ids.dtype == lengths.dtype == np.int32
    assert lengths.tolist() == [len(cells[row]) for row in rows]


@pytest.mark.parametrize("limit", [1, 4, 2**22])
@settings(max_examples=50, deadline=None)
@given(several_pieces(), st.data())
def test_pieces_are_all_cells_in_their_order(limit, lists_and_cells, data):
    lists, cells = lists_and_cells
    if data.draw(st.booleans()):
        chosen = np.array(positions(data, cells), dtype=np.int64)
        lists, cells = lists.take(chosen), [cells[i] for i in chosen]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_lists, "_GATHERED", limit)
        pieces = list(lists.pieces())
    found = [ids[a:b] for ids, offsets in pieces for a, b in pairwise(offsets)]
    assert [ids.tolist() for ids in found] == [ids.tolist() for ids in cells]
    assert all(offsets[0] == 0 and offsets[-1] == len(ids) for ids, offsets in pieces)
    assert lists.token_ids.tolist() == [token for ids in cells for token in ids]
    assert [lists[i].tolist() for i in range(len(lists))] == [ids.tolist() for ids in cells]


def test_chosen_cells_are_copied_a_piece_at_a_time(monkeypatch):
    monkeypatch.setattr(token_lists, "_GATHERED", 100)
    lists = TokenLists.from_arrays([np.arange(n) for n in (60, 30, 250, 40, 60)])
    chosen = lists.take(np.array([4, 1, 2, 0, 3]))
    assert [len(ids) for ids, _ in chosen.pieces()] == [90, 250, 100]


def test_numbers_beside_the_ids_keep_their_type():
    counts = np.array([0.5, 1.5, 2.5], dtype=np.float32)
    lists = TokenLists([(counts, np.array([0, 1, 3]))])
    padded, lengths = lists.pad([1, 0])
    assert padded.dtype == lists[0].dtype == np.float32
    assert padded.tolist() == [[1.5, 2.5], [0.5, 0.0]]
    assert lengths.tolist() == [2, 1]


def test_writes_into_an_array_that_is_given():
    out = np.full((2, 3), 9, dtype=np.int64)
    padded, _ = TokenLists.from_arrays([[5], [6, 7]]).pad([0, 1], 3, out=out)
    assert padded is out
    assert out.tolist() == [[5, 0, 0], [6, 7, 0]]


def test_refuses_cells_too_long_and_cells_that_are_not_there():
    lists = TokenLists.from_arrays([[5, 6, 7], [8]])
    message = (
        r"A cell of 3 tokens does not fit into 2: pass a greater length, or tokenize with a "
        r"smaller max_length\."
    )
    with pytest.raises(ValueError, match=message):
        lists.pad([1, 0], length=2)
    with pytest.raises(IndexError):
        lists.pad([2])
