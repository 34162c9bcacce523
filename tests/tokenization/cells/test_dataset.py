import json
import re
import shutil

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from keras_geneformer import RankValueTokenizer
from keras_geneformer.testing import synthetic_cells, synthetic_dataset, tiny_vocabulary
from keras_geneformer.tokenization.cells.dataset import CellDataset

IDS = [[5, 2, 9], [7], [3, 4, 6, 8]]
FLAT = [5, 2, 9, 7, 3, 4, 6, 8]


def varied_obs():
    days = pd.to_datetime(["2020-01-01", None, "2021-01-01"])
    return pd.DataFrame(
        {
            "category": pd.Categorical(["a", None, "b"], categories=["b", "a", "z"], ordered=True),
            "number_category": pd.Categorical([2, 1, 2]),
            "float_category": pd.Categorical([1.5, None, 2.0]),
            "bool_category": pd.Categorical([True, False, True]),
            "bool": [True, False, True],
            "float32": np.array([1, np.nan, 3], dtype=np.float32),
            "text": pd.Series(["é", None, "細胞"], dtype=object).to_numpy(),
            "int": [1, 2, 3],
            "uint8": np.array([1, 2, 255], dtype=np.uint8),
            "day": days,
            "utc": days.tz_localize("UTC"),
            "delta": pd.to_timedelta([1, 2, None], unit="s"),
            "nullable_int": pd.array([2**60 + 1, None, 3], dtype="Int64"),
            "nullable_bool": pd.array([True, None, False], dtype="boolean"),
            "nullable_text": pd.array(["x", None, "z"], dtype="string"),
            "missing_bool": pd.Series([True, None, False], dtype=object).to_numpy(),
            "nothing": pd.Series([None] * 3, dtype=object).to_numpy(),
            "length": [7, 8, 9],
            "input_ids": ["p", "q", "r"],
        },
        index=pd.Index(["c1", "c2", "c2"], name="barcode"),
    )


def saved(path, obs=None):
    CellDataset(IDS, obs).save(path)
    return path


def published(path, ids=np.int64, columns=None, **options):
    """A dataset as the published package writes it."""
    content = {"input_ids": [np.array(cell, dtype=ids) for cell in IDS], **(columns or {})}
    datasets.Dataset.from_dict(content).save_to_disk(str(path), **options)
    return path


def test_cells_from_memory():
    cells = CellDataset(IDS, pd.DataFrame({"x": [1, 2, 3]}, index=["a", "b", "c"]))
    assert len(cells) == 3
    assert [cell.tolist() for cell in cells] == IDS
    assert cells[-1].dtype == np.int32
    assert cells[-1].tolist() == IDS[2]
    assert cells.lengths.tolist() == [3, 1, 4]
    assert cells.offsets.tolist() == [0, 3, 4, 8]
    assert cells.token_ids.tolist() == FLAT
    assert cells.token_ids.dtype == np.int16
    assert CellDataset([[40_000]]).token_ids.dtype == np.int32
    assert CellDataset(IDS).obs.index.tolist() == ["0", "1", "2"]
    with pytest.raises(IndexError, match="cell 3 of 3"):
        cells[3]


def test_vocabulary_comes_along():
    vocabulary = tiny_vocabulary(cls=True)
    cells = CellDataset(IDS, vocabulary=vocabulary)
    assert cells.vocabulary_checksum == vocabulary.checksum
    assert (cells.vocabulary_size, cells.max_length) == (vocabulary.size, vocabulary.max_length)
    assert cells.special_tokens == vocabulary.special_tokens
    with pytest.raises(
        ValueError, match=r"^cell 1 has token ids from 3 to 124; expected 0 or more "
    ):
        CellDataset([[3], [3, 124]], vocabulary=vocabulary)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([[1], [-2]], "cell 1 has token ids from -2 to -2; expected 0 or more"),
        ([[1.5]], r"cell 0 is an array of float64 of shape \(1,\); expected a 1-D sequence"),
        ([[[1, 2]]], r"cell 0 is an array of int64 of shape \(1, 2\)"),
        (["ab"], "cell 0 is an array of <U2"),
    ],
)
def test_bad_ids(cells, message):
    with pytest.raises(ValueError, match=message):
        CellDataset(cells)


def test_obs_of_another_length():
    with pytest.raises(ValueError, match="obs has 2 rows for 3 cells; expected one each"):
        CellDataset(IDS, varied_obs().iloc[:2])


def test_subsets():
    cells = CellDataset(IDS, varied_obs())
    for chosen, rows in (
        ([2, 0], [2, 0]),
        (np.array([True, False, True]), [0, 2]),
        (cells.obs["int"] > 1, [1, 2]),
        ([-1], [2]),
        ([], []),
        ([0, 0], [0, 0]),
    ):
        part = cells.subset(chosen)
        assert [cell.tolist() for cell in part] == [IDS[row] for row in rows]
        assert part.token_ids.tolist() == [i for row in rows for i in IDS[row]]
        assert part.lengths.tolist() == [len(IDS[row]) for row in rows]
        pd.testing.assert_frame_equal(part.obs, cells.obs.iloc[rows])
    assert cells.subset([2, 1]).subset([1])[0].tolist() == IDS[1]
    with pytest.raises(ValueError, match="the mask has 2 entries for 3 cells"):
        cells.subset([True, False])
    with pytest.raises(IndexError, match="out of bounds"):
        cells.subset([3])
    with pytest.raises(ValueError, match="expected 1-D positions or a mask of bools"):
        cells.subset(["c1"])


def test_round_trip_keeps_every_kind_of_obs(tmp_path):
    obs = varied_obs()
    cells = CellDataset.load(saved(tmp_path / "x.dataset", obs))
    assert [cell.tolist() for cell in cells] == IDS
    pd.testing.assert_frame_equal(cells.obs, obs)
    part = cells.subset([2, 0])
    part.save(tmp_path / "part.dataset")
    pd.testing.assert_frame_equal(CellDataset.load(tmp_path / "part.dataset").obs, obs.iloc[[2, 0]])


def test_mixed_types_become_text_and_say_so(tmp_path, caplog):
    obs = pd.DataFrame({"mixed": [1, "a", None]}, index=list("xyz"))
    cells = CellDataset.load(saved(tmp_path / "x.dataset", obs))
    assert cells.obs["mixed"].tolist() == ["1", "a", None]
    assert caplog.messages == ["obs column 'mixed' (object) is kept as text"]


def test_round_trip_keeps_vocabulary_and_report(tmp_path):
    cells = synthetic_dataset(12, cls=True)
    cells.save(tmp_path / "x.dataset")
    again = CellDataset.load(tmp_path / "x.dataset")
    assert again.metadata == cells.metadata
    assert again.report == cells.report
    np.testing.assert_array_equal(again.token_ids, cells.token_ids)
    pd.testing.assert_frame_equal(again.obs, cells.obs)


def test_ids_are_memory_mapped(tmp_path):
    before = pa.total_allocated_bytes()
    flat = np.arange(400_000, dtype=np.int64) % 30_000
    CellDataset(flat.reshape(400, 1000)).save(tmp_path / "x.dataset")
    cells = CellDataset.load(tmp_path / "x.dataset")
    assert not cells.token_ids.flags.owndata
    assert not cells.token_ids.flags.writeable
    assert pa.total_allocated_bytes() - before < 100_000


def test_datasets_reads_what_we_write(tmp_path):
    path = saved(tmp_path / "x.dataset", varied_obs())
    theirs = datasets.load_from_disk(str(path))
    assert theirs["input_ids"][:] == IDS
    assert theirs["length"][:] == [3, 1, 4]
    assert theirs["category"][:] == ["a", None, "b"]
    assert theirs["barcode"][:] == ["c1", "c2", "c2"]
    # datasets 3 knows no `List`.
    features = json.loads((path / "dataset_info.json").read_text())["features"]
    assert features["input_ids"]["_type"] == "Sequence"
    schema = pa.ipc.open_stream(path / "data-00000-of-00001.arrow").schema
    assert b'"List"' not in schema.metadata[b"huggingface"]


@pytest.mark.parametrize("ids", [np.int16, np.int32, np.int64, np.uint16])
@pytest.mark.parametrize("kind", ["List", "LargeList", "Sequence"])
def test_we_read_what_datasets_writes(tmp_path, ids, kind):
    path = published(
        tmp_path / "x.dataset",
        columns={"cell_type": ["B", None, "T"], "length": [3, 1, 4]},
    )
    theirs = datasets.load_from_disk(str(path))
    value = datasets.Value(np.dtype(ids).name)
    feature = getattr(datasets, kind)(value)
    theirs = theirs.cast_column("input_ids", feature)
    theirs.save_to_disk(str(tmp_path / "y.dataset"), num_shards=2)
    assert len(list((tmp_path / "y.dataset").glob("*.arrow"))) == 2
    cells = CellDataset.load(tmp_path / "y.dataset")
    assert [cell.tolist() for cell in cells] == IDS
    assert all(cell.dtype == np.int32 for cell in cells)
    assert cells.token_ids.tolist() == FLAT
    assert cells.subset([2, 0, 1]).token_ids.tolist() == IDS[2] + IDS[0] + IDS[1]
    assert cells.obs.columns.tolist() == ["cell_type"]
    assert cells.obs["cell_type"].tolist() == ["B", None, "T"]
    assert cells.obs.index.tolist() == ["0", "1", "2"]
    assert cells.vocabulary_checksum is None
    cells.save(tmp_path / "z.dataset")
    assert [cell.tolist() for cell in CellDataset.load(tmp_path / "z.dataset")] == IDS


def test_published_without_length(tmp_path):
    cells = CellDataset.load(published(tmp_path / "x.dataset"))
    assert cells.lengths.tolist() == [3, 1, 4]
    assert cells.obs.shape == (3, 0)


def test_saving_over_something_else_is_refused(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "thesis.txt").write_text("mine")
    message = (
        f"{tmp_path / 'x'} exists and holds something else than what would replace it; nothing was "
        "written. Choose another name or remove it yourself"
    )
    with pytest.raises(FileExistsError, match=f"^{re.escape(message)}$"):
        saved(tmp_path / "x")
    assert (tmp_path / "x" / "thesis.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="file is a file; expected a new name"):
        saved(tmp_path / "file")


def test_saving_over_itself(tmp_path):
    path = saved(tmp_path / "x.dataset", varied_obs())
    cells = CellDataset.load(path)
    cells.subset([1, 2]).save(path)
    assert [cell.tolist() for cell in CellDataset.load(path)] == IDS[1:]
    assert [cell.tolist() for cell in cells] == IDS  # still mapped


def cut(path, size):
    data = path.read_bytes()
    path.write_bytes(data[:size])


def test_damaged_directories(tmp_path):
    with pytest.raises(FileNotFoundError, match="no dataset directory"):
        CellDataset.load(tmp_path / "none")
    with pytest.raises(
        FileNotFoundError, match=r"is not a complete dataset: it has no state\.json"
    ):
        CellDataset.load(tmp_path)
    path = saved(tmp_path / "x.dataset")
    data = path / "data-00000-of-00001.arrow"
    whole = data.read_bytes()
    for size in (0, 5, len(whole) // 2, len(whole) - 8, len(whole) - 1):
        data.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"arrow is truncated or damaged: it does not end as"):
            CellDataset.load(path)
    data.unlink()
    with pytest.raises(FileNotFoundError, match=r"has no data-00000-of-00001\.arrow, which its st"):
        CellDataset.load(path)
    data.write_bytes(whole)
    assert len(CellDataset.load(path)) == 3
    state = path / "state.json"
    cut(state, 20)
    with pytest.raises(ValueError, match=r"state\.json is not JSON"):
        CellDataset.load(path)


@pytest.mark.parametrize("name", ["num_tokens", "obs"])
def test_manifest_that_lacks_an_entry(tmp_path, name):
    path = saved(tmp_path / "x.dataset")
    ours = json.loads((path / "keras_geneformer.json").read_text())
    del ours[name]
    (path / "keras_geneformer.json").write_text(json.dumps(ours))
    with pytest.raises(ValueError, match=rf"keras_geneformer\.json has {name} None; expected an "):
        CellDataset.load(path)


def test_state_that_names_no_files(tmp_path):
    path = saved(tmp_path / "x.dataset")
    for files in (["a"], "a", [{"filename": 3}]):
        (path / "state.json").write_text(json.dumps({"_data_files": files}))
        message = f"state.json has _data_files {files!r}; expected a list of objects with a filena"
        with pytest.raises(ValueError, match=re.escape(message)):
            CellDataset.load(path)


def test_swapped_data_file_is_noticed(tmp_path):
    one, other = saved(tmp_path / "x.dataset"), tmp_path / "y.dataset"
    CellDataset(IDS[:2]).save(other)
    name = "data-00000-of-00001.arrow"
    shutil.copy(other / name, one / name)
    with pytest.raises(ValueError, match=r"has 2 cells; expected 3 as keras_geneformer\.json says"):
        CellDataset.load(one)
    CellDataset([[1], [2], [3]]).save(other)
    shutil.copy(other / name, one / name)
    with pytest.raises(ValueError, match="has 3 token ids; expected 8"):
        CellDataset.load(one)


def test_foreign_data(tmp_path):
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(str(tmp_path / "text"))
    with pytest.raises(ValueError, match=r"has no column input_ids \(it has text\); expected a"):
        CellDataset.load(tmp_path / "text")
    datasets.Dataset.from_dict({"input_ids": ["a"]}).save_to_disk(str(tmp_path / "ids"))
    with pytest.raises(ValueError, match=r"input_ids of .* is string; expected lists of integers"):
        CellDataset.load(tmp_path / "ids")
    datasets.Dataset.from_dict({"input_ids": [[1], None]}).save_to_disk(str(tmp_path / "null"))
    with pytest.raises(ValueError, match=r"input_ids of .* has missing values; expected a list"):
        CellDataset.load(tmp_path / "null")
    splits = datasets.DatasetDict({"train": datasets.Dataset.from_dict({"input_ids": [[1]]})})
    splits.save_to_disk(str(tmp_path / "splits"))
    with pytest.raises(ValueError, match=r"holds several splits \(train\): load one of them, e.g."):
        CellDataset.load(tmp_path / "splits")
    assert len(CellDataset.load(tmp_path / "splits" / "train")) == 1


def test_a_dataset_carries_its_vocabulary(tmp_path):
    vocabulary = tiny_vocabulary()
    cells = RankValueTokenizer(vocabulary)(synthetic_cells(6))
    assert cells.vocabulary is vocabulary
    cells.save(tmp_path / "x.dataset")
    loaded = CellDataset.load(tmp_path / "x.dataset")
    more = pd.DataFrame({"age": range(6)}, index=loaded.obs.index)
    for some in (
        loaded,
        loaded.subset([1, 2]),
        CellDataset.concat([loaded, loaded]),
        loaded.merge_obs(more),
        CellDataset.load(tmp_path / "x.dataset", memory_map=False),
    ):
        assert some.vocabulary.checksum == vocabulary.checksum
        assert some.vocabulary.symbols.tolist() == vocabulary.symbols.tolist()
    assert repr(loaded.describe()) == repr(loaded.describe(vocabulary))
    datasets.load_from_disk(str(tmp_path / "x.dataset"))
    assert CellDataset([[5]]).vocabulary is None
    loaded.subset([0]).save(tmp_path / "x.dataset")
    assert len(CellDataset.load(tmp_path / "x.dataset")) == 1


def test_a_vocabulary_that_was_replaced_is_refused(tmp_path):
    RankValueTokenizer(tiny_vocabulary())(synthetic_cells(6)).save(tmp_path / "x.dataset")
    tiny_vocabulary(cls=True).save(tmp_path / "x.dataset" / "vocabulary")
    cells = CellDataset.load(tmp_path / "x.dataset")
    with pytest.raises(ValueError, match=r"vocabulary has the checksum \w+, and its cells were to"):
        _ = cells.vocabulary
