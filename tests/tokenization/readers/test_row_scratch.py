import errno
import tempfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_geneformer.tokenization.readers import row_scratch
from keras_geneformer.tokenization.readers.row_scratch import RowScratch, scratch_rows


def in_blocks(rows, columns, values, size):
    for start in range(0, len(rows), size):
        where = slice(start, start + size)
        yield rows[where], columns[where], values[where]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 40),
    entries=st.integers(0, 300),
    part=st.integers(1, 60),
    skew=st.integers(1, 5),
)
def test_like_ten_lines_of_dictionaries(seed, rows, entries, part, skew):
    rng = np.random.default_rng(seed)
    row = (rows * rng.random(entries) ** skew).astype(int)  # some rows hold most entries
    column, value = rng.integers(9, size=entries), rng.integers(1, 50, size=entries)
    expected: dict[tuple[int, int], int] = {}
    for place in zip(row.tolist(), column.tolist(), value.tolist()):
        expected[place[:2]] = expected.get(place[:2], 0) + place[2]
    scratch = RowScratch(in_blocks(row, column, value, 70), (rows, 9), entries, int, "x", part)
    for start in range(0, rows, 7):
        stop = min(start + 11, rows)
        found = scratch.read(start, stop)
        assert found.shape == (stop - start, 9)
        assert found.has_canonical_format
        cells = found.tocoo()
        assert {
            (int(r) + start, int(c)): int(v) for r, c, v in zip(cells.row, cells.col, cells.data)
        } == {place: total for place, total in expected.items() if start <= place[0] < stop}
    scratch.close()


def test_parts_hold_few_entries_also_where_one_row_has_most(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    row = np.concatenate([np.arange(1000), np.full(5000, 3), np.full(5000, 4)])
    rng = np.random.default_rng(0)
    entries = row, rng.integers(20, size=len(row)), np.ones(len(row), np.float32)
    scratch = RowScratch([entries], (1000, 20), len(row), np.float32, "x", 100)
    expected = sp.csr_matrix((entries[2], entries[:2]), shape=(1000, 20)).toarray()
    np.testing.assert_array_equal(scratch.read(0, 1000).toarray(), expected)
    sizes = [path.stat().st_size // 12 for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(sizes) == len(row)
    # 1000 rows, 100 a file, and the rows that are larger alone.
    assert sorted(sizes)[-2:] == [5001, 5001]
    assert sorted(sizes)[-3] <= 200
    scratch.close()
    assert list(tmp_path.iterdir()) == []


def test_made_at_the_first_read_and_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    calls = []

    def blocks():
        calls.append(1)
        yield np.array([1]), np.array([2]), np.array([3])

    rows = scratch_rows(blocks, (2, 3), 1, np.int32, "x")
    assert rows.sequential
    assert calls == []
    assert rows.read(0, 2).toarray().tolist() == [[0, 0, 0], [0, 0, 3]]
    assert rows.read(0, 1).nnz == 0
    assert calls == [1]
    assert len(list(tmp_path.iterdir())) == 1
    rows.close()
    assert list(tmp_path.iterdir()) == []


def test_no_copy_is_left_where_the_source_breaks(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def blocks():
        yield np.array([0]), np.array([0]), np.array([1])
        raise ValueError("broken")

    rows = scratch_rows(blocks, (2, 3), 1, np.int32, "x")
    with pytest.raises(ValueError, match=r"^broken$"):
        rows.read(0, 1)
    assert list(tmp_path.iterdir()) == []


def test_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(row_scratch.Path, "open", full)
    block = np.array([0]), np.array([0]), np.array([1])
    with pytest.raises(OSError, match="cannot write the temporary copy") as caught:
        RowScratch([block], (1, 1), 1, np.float32, "x.mtx")
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.strerror == (
        "cannot write the temporary copy of x.mtx (No space left on device), which takes 12 bytes "
        "an entry; set TMPDIR to a folder with more room"
    )
    assert Path(caught.value.filename).parent == tmp_path
    assert list(tmp_path.iterdir()) == []
