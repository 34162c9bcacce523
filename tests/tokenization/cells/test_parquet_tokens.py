import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from keras_geneformer.testing import synthetic_dataset, tiny_vocabulary
from keras_geneformer.tokenization.cells import cell_tables
from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.tokenization.cells.token_lists import TokenLists
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary

IDS = [[5, 2, 9], [7], [3, 4, 6, 8], []]


def tokens(cells):
    return [cell.tolist() for cell in cells]


def written(path, ids=IDS, **columns):
    pq.write_table(pa.table({"input_ids": ids, **columns}), path)
    return path


def refused(message, kind=ValueError):
    return pytest.raises(kind, match=f"^{re.escape(message)}$")


def test_genecorpus_as_parquet(shared, dictionaries, tmp_path):
    source = shared / "data" / "tokenized" / "genecorpus30m_400.parquet"
    vocabulary = GeneVocabulary.load(dictionaries / "V1")
    cells = CellDataset.from_parquet(source, tmp_path / "x.dataset", vocabulary)
    stored = pd.read_parquet(source)["input_ids"]
    assert len(cells) == 400
    assert all(np.array_equal(cell, ids) for cell, ids in zip(cells, stored))
    assert cells.vocabulary_checksum == vocabulary.checksum
    assert cells.token_ids.dtype == np.int16
    assert not cells.token_ids.flags.owndata
    assert cells.obs.shape == (400, 0)
    files = cells.to_parquet(tmp_path / "shards", cells_per_shard=150)
    assert [pq.read_metadata(file).num_rows for file in files] == [150, 150, 100]
    again = CellDataset.from_parquet(tmp_path / "shards")
    np.testing.assert_array_equal(again.token_ids, cells.token_ids)
    assert again.vocabulary_checksum == vocabulary.checksum


@pytest.mark.parametrize("in_memory", [True, False])
def test_shards_folders_and_patterns_in_sorted_order(tmp_path, in_memory, monkeypatch):
    monkeypatch.setattr(cell_tables, "_ROWS_AT_ONCE", 2)
    (tmp_path / "in").mkdir()
    written(tmp_path / "in" / "b.parquet", pa.array(IDS[2:], pa.large_list(pa.uint16())))
    written(tmp_path / "in" / "a.parquet", IDS[:2], length=[3, 1], kind=["x", None], n=[1, None])
    (tmp_path / "in" / ".a.partial-01.parquet").write_bytes(b"PAR1 half")
    output = None if in_memory else tmp_path / "x.dataset"
    for paths in (
        tmp_path / "in",
        str(tmp_path / "in" / "*.parquet"),
        [tmp_path / "in" / "b.parquet", tmp_path / "in" / "a.parquet"],
    ):
        cells = CellDataset.from_parquet(paths, output)
        assert tokens(cells) == IDS
        assert cells.obs.index.tolist() == ["0", "1", "2", "3"]
        assert cells.obs["kind"].tolist() == ["x", None, None, None]
        assert cells.obs["n"].tolist() == [1, pd.NA, pd.NA, pd.NA]
        assert str(cells.obs["n"].dtype) == "Int64"
        assert cells.vocabulary_checksum is None


@pytest.mark.parametrize("in_memory", [True, False])
def test_what_pandas_wrote(tmp_path, in_memory, caplog):
    frame = pd.DataFrame(
        {
            "input_ids": IDS[:3],
            "type": pd.Categorical(["β", None, "a"], categories=["z", "a", "β"], ordered=True),
            "age": np.array([1.5, np.nan, 2], dtype=np.float32),
            "flag": [True, False, True],
            "day": pd.to_datetime(["2020-01-01", None, "2021-01-01"]),
            "vector": [[1.0], [2.0], [3.0]],
        },
        index=pd.Index(["c1", "細胞", "c2"], name="barcode"),
    )
    frame.to_parquet(tmp_path / "x.parquet")
    cells = CellDataset.from_parquet(
        tmp_path / "x.parquet", None if in_memory else tmp_path / "x.dataset"
    )
    wanted = frame.drop(columns=["input_ids", "vector"])
    pd.testing.assert_frame_equal(cells.obs, wanted, check_index_type=False, check_dtype=False)
    assert cells.obs["type"].dtype == frame["type"].dtype
    assert cells.obs["age"].dtype == np.float32
    assert caplog.messages == [
        "columns left out, as obs holds no lists: vector (list<element: double>)"
    ]


def test_round_trip_keeps_everything_but_the_report(tmp_path):
    cells = synthetic_dataset(10, cls=True)
    cells.obs["kind"] = pd.Categorical(
        cells.obs["cell_type"], categories=[*"xy", "T cell", "B cell"]
    )
    cells.obs["mixed"] = pd.array([1, None, *range(8)], dtype="Int64")
    lists = TokenLists.from_arrays(list(cells))
    counts = TokenLists([(np.arange(len(lists.token_ids), dtype=np.float32), lists.offsets)])
    cells = CellDataset.from_token_lists(lists, cells.obs, cells.metadata, counts)
    cells.subset([3, 1, 4, 1, 5]).to_parquet(tmp_path / "shards", 2)
    for output in (None, tmp_path / "x.dataset"):
        again = CellDataset.from_parquet(tmp_path / "shards", output)
        assert tokens(again) == [cells[i].tolist() for i in (3, 1, 4, 1, 5)]
        pd.testing.assert_frame_equal(again.obs, cells.obs.iloc[[3, 1, 4, 1, 5]])
        assert again.metadata == cells.metadata | {"report": None}
        np.testing.assert_array_equal(again.counts[2], counts[4])


def test_no_cells(tmp_path):
    (file,) = CellDataset([]).to_parquet(tmp_path / "shards")
    assert file.name == "cells-00000-of-00001.parquet"
    assert len(CellDataset.from_parquet(file)) == 0


def test_columns_and_lists_that_are_none(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": ["a"]}), path)
    with refused(
        f"{path}: the column input_ids is missing; expected lists of integers (the file has text)"
    ):
        CellDataset.from_parquet(path)
    written(path, [["a"]])
    with refused(
        f"{path}: the column input_ids is list<element: string>; expected lists of integers (the "
        "file has input_ids)"
    ):
        CellDataset.from_parquet(path)
    written(path, [[1], None])
    with pytest.raises(ValueError, match="input_ids has missing values; expected a list for each"):
        CellDataset.from_parquet(path)
    written(path, [[1], [2, 3]], length=[1, 5])
    with refused(
        f"{path}, from row 0 on: the row 1 after it states the length 5 and has 2 tokens: a file "
        "was changed. Get it again"
    ):
        CellDataset.from_parquet(path)


def test_ids_outside_leave_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(cell_tables, "_ROWS_AT_ONCE", 1)
    path = written(tmp_path / "x.parquet", [[3], [], [4, 122]])
    with refused(
        f"{path}: row 2 has the token id 122, which stands for nothing in the vocabulary 'tiny' of "
        "122 ids. Is it the vocabulary the cells were tokenized with?"
    ):
        CellDataset.from_parquet(path, tmp_path / "x.dataset", tiny_vocabulary())
    written(path, [[3], [-1]])
    with refused(f"{path}: row 1 has the token id -1, expected 0 or more, and less than 2**31"):
        CellDataset.from_parquet(path, tmp_path / "x.dataset")
    assert [item.name for item in tmp_path.iterdir()] == ["x.parquet"]


def test_files_that_are_none(tmp_path):
    with refused(
        f"{tmp_path / 'no.parquet'}: no such file, or no .parquet file in that place",
        FileNotFoundError,
    ):
        CellDataset.from_parquet(tmp_path / "no.parquet")
    with pytest.raises(FileNotFoundError, match=r"no \.parquet file in that place"):
        CellDataset.from_parquet(tmp_path)
    path = written(tmp_path / "x.parquet")
    data = path.read_bytes()
    for size in (0, 3, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(ValueError, match=r"x\.parquet cannot be read: .* It is damaged, trunc"):
            CellDataset.from_parquet(path)
    (tmp_path / "x.txt").write_text("a")
    with refused(f"{tmp_path / 'x.txt'} ends in none of .parquet; expected such a file"):
        CellDataset.from_parquet(tmp_path / "x.txt")


def test_damage_in_the_middle_is_named(tmp_path):
    path = tmp_path / "x.parquet"
    ids = np.random.default_rng(0).integers(0, 1000, (500, 40)).tolist()
    pq.write_table(pa.table({"input_ids": ids}), path, row_group_size=100)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}"):
        CellDataset.from_parquet(path, tmp_path / "x.dataset", tiny_vocabulary())
    assert not (tmp_path / "x.dataset").exists()


def test_shards_of_different_vocabularies_or_columns(tmp_path):
    (one,) = synthetic_dataset(3).to_parquet(tmp_path / "one")
    (two,) = synthetic_dataset(3, cls=True).to_parquet(tmp_path / "two")
    with pytest.raises(ValueError, match=r"were tokenized with different vocabularies \(checksums"):
        CellDataset.from_parquet([one, two])
    with pytest.raises(ValueError, match="was written with the vocabulary of checksum"):
        CellDataset.from_parquet(one, vocabulary=tiny_vocabulary(cls=True))
    a, b = written(tmp_path / "a.parquet", x=["a"] * 4), written(tmp_path / "b.parquet", x=[1] * 4)
    with pytest.raises(ValueError, match=r"^the 2 files from .*a\.parquet on differ in their colu"):
        CellDataset.from_parquet([a, b])


def test_categories_of_several_files(tmp_path):
    paths = []
    for name, values in (
        ("a", pd.Categorical(["x", None, "y"], categories=["y", "x", "unused"])),
        ("b", pd.Categorical(["c299"] * 3, categories=[f"c{i}" for i in range(300)])),
        ("c", ["plain", None, "x"]),
    ):
        paths.append(tmp_path / f"{name}.parquet")
        pd.DataFrame({"input_ids": IDS[:3], "k": values}).to_parquet(paths[-1])
    obs = CellDataset.from_parquet(paths[:2], tmp_path / "x.dataset").obs
    assert obs["k"].tolist() == ["x", np.nan, "y", *["c299"] * 3]
    assert obs["k"].cat.categories.tolist() == ["y", "x", "unused", *(f"c{i}" for i in range(300))]
    assert CellDataset.from_parquet(paths[::2]).obs["k"].tolist() == [
        *("x", None, "y"),
        *("plain", None, "x"),
    ]


def test_own_shards_of_different_obs(tmp_path):
    one = CellDataset(IDS, pd.DataFrame({"k": pd.Categorical(list("abab"))}, list("wxyz")))
    two = CellDataset(IDS, pd.DataFrame({"k": pd.Categorical(list("caca"))}, list("stuv")))
    paths = one.to_parquet(tmp_path / "1") + two.to_parquet(tmp_path / "2")
    cells = CellDataset.from_parquet(paths)
    assert cells.obs.index.tolist() == list("wxyzstuv")
    assert cells.obs["k"].tolist() == list("ababcaca")


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="exists and holds something else"):
        CellDataset(IDS).to_parquet(tmp_path / "x")
    CellDataset(IDS).to_parquet(tmp_path / "y", 1)
    CellDataset(IDS).to_parquet(tmp_path / "y", 2)
    assert len(list((tmp_path / "y").iterdir())) == 2
    with refused("cells_per_shard is 0; expected 1 or more"):
        CellDataset(IDS).to_parquet(tmp_path / "z", 0)
