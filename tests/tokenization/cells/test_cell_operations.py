import re

import numpy as np
import pandas as pd
import pytest

from keras_geneformer.testing import synthetic_dataset, tiny_vocabulary
from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.tokenization.cells.token_lists import TokenLists

IDS = [[5, 2, 9], [7], [3, 4, 6, 8]]


def dataset(names="abc", ids=IDS, **columns):
    return CellDataset(ids, pd.DataFrame(columns, index=list(names)))


def tokens(cells):
    return [cell.tolist() for cell in cells]


def refused(message):
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


def test_concat_joins_tokens_and_obs(tmp_path):
    one = dataset(
        kind=pd.Categorical(["T", "B", "T"], categories=["T", "B", "unused"]),
        mixed=[1, "a", None],
        only_here=[1, 2, 3],
    )
    other = dataset("bd", IDS[:2], kind=pd.Categorical(["NK", "T"]), mixed=["細胞", 2.5])
    other.save(tmp_path / "other.dataset")
    other = CellDataset.load(tmp_path / "other.dataset")
    joined = CellDataset.concat([one.subset([2, 0]), other], sources=["x", "y"])
    assert tokens(joined) == [IDS[2], IDS[0], IDS[0], IDS[1]]
    assert joined.obs.index.tolist() == ["c", "a", "b", "d"]
    assert joined.obs["kind"].tolist() == ["T", "T", "NK", "T"]
    assert joined.obs["kind"].cat.categories.tolist() == ["T", "B", "unused", "NK"]
    assert joined.obs["mixed"].tolist() == [None, 1, "細胞", "2.5"]
    assert joined.obs["only_here"].isna().tolist() == [False, False, True, True]
    assert joined.obs["source"].tolist() == ["x", "x", "y", "y"]
    assert joined.token_ids.tolist() == [i for cell in joined for i in cell]
    joined.save(tmp_path / "joined.dataset")
    again = CellDataset.load(tmp_path / "joined.dataset")
    assert tokens(again) == tokens(joined)
    assert again.obs["kind"].cat.categories.tolist() == ["T", "B", "unused", "NK"]


def test_columns_without_a_value_join_without_a_warning():
    one = dataset(x=[1.5, 2.0, 3.0], y=[None] * 3, z=[np.nan] * 3, flag=[True] * 3)
    one.obs["day"], one.obs["n"] = pd.to_datetime(["2020-01-01"] * 3), [1, 2, 3]
    other = dataset(x=[None] * 3, y=["a"] * 3, flag=[1, 2, 3])
    empty = CellDataset([], pd.DataFrame({"x": pd.Series([], dtype=float)}))
    joined = CellDataset.concat([one, other, empty])
    assert joined.obs["x"].tolist()[:3] == [1.5, 2.0, 3.0]
    assert joined.obs["y"].tolist() == [None, None, None, "a", "a", "a"]
    assert joined.obs["z"].isna().all()
    assert joined.obs["flag"].tolist() == [True, True, True, 1, 2, 3]
    assert joined.obs["day"].isna().tolist() == [False] * 3 + [True] * 3
    assert joined.obs["day"].dtype.kind == "M"
    assert joined.obs["n"].tolist() == [1, 2, 3, pd.NA, pd.NA, pd.NA]


def test_cells_of_one_name_stay_apart():
    joined = CellDataset.concat([dataset("ab", IDS[:2]), dataset("ab", IDS[1:])], sources="xy")
    assert joined.obs.index.tolist() == ["a", "b", "a", "b"]
    assert joined.filter("source == 'y'")[0].tolist() == IDS[1]


def test_concat_of_whole_files_copies_nothing(tmp_path):
    CellDataset(np.arange(400).reshape(4, 100)).save(tmp_path / "x.dataset")
    cells = CellDataset.load(tmp_path / "x.dataset")
    joined = CellDataset.concat([cells, cells])
    assert all(not ids.flags.owndata for ids, _ in joined.token_lists.pieces())
    assert tokens(joined) == tokens(cells) * 2


def test_concat_keeps_report_and_counts():
    cells = synthetic_dataset(4)
    lists = TokenLists.from_arrays(list(cells))
    counts = TokenLists([(np.arange(len(lists.token_ids), dtype=np.float32), lists.offsets)])
    with_counts = CellDataset.from_token_lists(lists, cells.obs, cells.metadata, counts)
    joined = CellDataset.concat([with_counts, with_counts.subset([1])])
    assert joined.report.cells == 8
    assert joined.vocabulary_checksum == cells.vocabulary_checksum
    np.testing.assert_array_equal(joined.counts[4], counts[1])
    assert CellDataset.concat([with_counts, cells]).counts is None
    assert with_counts.merge_obs(pd.DataFrame({"x": range(4)}, cells.obs.index)).counts is counts


def test_concat_refuses_other_vocabularies():
    checksum, other = (tiny_vocabulary(cls).checksum[:12] for cls in (False, True))
    with refused(
        f"dataset 1 is of the vocabulary {other}, dataset 0 of {checksum}: their tokens mean "
        "different genes. Tokenize with one vocabulary, or say which it is with with_vocabulary"
    ):
        CellDataset.concat([synthetic_dataset(3), synthetic_dataset(3, cls=True)])
    with pytest.raises(ValueError, match=r"^dataset 1 is of the vocabulary unknown, dataset 0 of"):
        CellDataset.concat([synthetic_dataset(3), dataset()])
    with refused("no datasets to join"):
        CellDataset.concat([])
    with refused("1 sources for 2 datasets"):
        CellDataset.concat([dataset(), dataset()], sources=["x"])
    with refused("obs has a column 'source' already: give source_key another"):
        CellDataset.concat([dataset(source=[1, 2, 3])], sources=["x"])


def test_filter():
    cells = dataset(kind=pd.Categorical(["B", None, "T"], categories=list("TBz")), größe=[1, 2, 3])
    for chosen, options, rows in (
        ("kind == 'T'", {}, [2]),
        ("größe > 1 and kind != 'T'", {}, [1]),
        (lambda obs: obs["größe"] < 3, {"min_length": 2}, [0]),
        ([True, False, True], {"max_length": 3}, [0]),
        (pd.array([True, None, False], dtype="boolean"), {}, [0]),
        (pd.Series([True, None, False], dtype="boolean"), {}, [0]),
        (None, {"min_length": 3}, [0, 2]),
        (None, {}, [0, 1, 2]),
    ):
        part = cells.filter(chosen, **options)
        assert tokens(part) == [IDS[row] for row in rows]
        pd.testing.assert_frame_equal(part.obs, cells.obs.iloc[rows])


def test_filter_refuses_what_is_no_mask():
    cells = dataset(kind=["B", "T", "T"])
    with refused("the mask has 2 entries for 3 cells"):
        cells.filter([True, False])
    with refused(
        "the condition gave an array of int64 of shape (3,); expected a bool for each cell"
    ):
        cells.filter(lambda obs: [1, 0, 1])
    with pytest.raises(
        ValueError, match=r"^obs cannot be asked 'kinds == 1': .*It has the columns kind$"
    ):
        cells.filter("kinds == 1")


def test_sample_keeps_shares_and_repeats_itself():
    kinds = np.repeat(["a", "b", "c"], [60, 30, 10])
    obs = pd.DataFrame({"kind": pd.Categorical(kinds, categories=list("zcba"))})
    cells = CellDataset([[i % 50] for i in range(100)], obs)
    drawn = cells.sample(20, "kind", seed=3)
    assert drawn.obs["kind"].value_counts().to_dict() == {"a": 12, "b": 6, "c": 2, "z": 0}
    assert drawn.obs.index.tolist() == cells.sample(20, "kind", seed=3).obs.index.tolist()
    assert drawn.obs.index.tolist() != cells.sample(20, "kind", seed=4).obs.index.tolist()
    assert drawn.obs.index.is_monotonic_increasing
    assert drawn.obs.index.is_unique
    capped = cells.sample(stratify="kind", per_class=15).obs["kind"]
    assert capped.value_counts().to_dict() == {"a": 15, "b": 15, "c": 10, "z": 0}
    few = cells.sample(10, "kind", per_class=15).obs["kind"]
    assert sorted(few.value_counts()) == [0, 2, 4, 4]
    assert len(cells.sample(7)) == 7
    assert len(cells.sample(100, "kind")) == 100
    assert len(cells.sample(0, "kind")) == 0


def test_sample_takes_missing_labels_for_a_class():
    cells = dataset("abcdef", [[1]] * 6, kind=["x", None, "x", np.nan, "x", "x"])
    assert cells.sample(3, "kind").obs["kind"].isna().sum() == 1


def test_sample_refuses():
    cells = dataset(kind=["a", "a", "b"])
    with refused("asked for 4 of 3 cells"):
        cells.sample(4)
    with refused("asked for 3 of 2 cells with at most 1 of a class"):
        cells.sample(3, "kind", per_class=1)
    with refused("obs has no column 'type'; it has kind"):
        cells.sample(1, "type")
    with refused("neither n nor per_class says how many cells to draw"):
        cells.sample()
    with refused("per_class needs stratify, the obs column with the classes"):
        cells.sample(per_class=1)
    with refused("n is 0.5; expected a number of cells, 0 or more"):
        cells.sample(0.5)


def test_merge_obs_by_name_and_by_column(caplog):
    cells = dataset(donor=["d1", "d2", "d1"])
    frame = pd.DataFrame(
        {
            "count": [3, 1, 9],
            "type": pd.Categorical(["T", "α", "B"], categories=["B", "α", "T", "unused"]),
            "mixed": [1, "x", 2.5],
            "old": [True, False, True],
        },
        index=["c", "a", "elsewhere"],
    )
    merged = cells.merge_obs(frame)
    assert merged.obs.columns.tolist() == ["donor", "count", "type", "mixed", "old"]
    assert merged.obs["count"].tolist() == [1, pd.NA, 3]
    assert str(merged.obs["count"].dtype) == "Int64"
    assert str(merged.obs["old"].dtype) == "boolean"
    assert merged.obs["type"].isna().tolist() == [False, True, False]
    assert merged.obs["type"].cat.categories.tolist() == ["B", "α", "T", "unused"]
    assert merged.obs["mixed"].tolist()[::2] == ["x", 1]
    assert caplog.messages == ["1 of 3 cells are not in the table"]
    assert tokens(merged) == IDS
    assert cells.obs.columns.tolist() == ["donor"]
    ages = pd.DataFrame({"donor": ["d2", "d1"], "age": [40, 30]})
    assert cells.merge_obs(ages, on="donor").obs["age"].tolist() == [30, 40, 30]
    assert cells.merge_obs(ages, on="donor").obs["age"].dtype == np.int64
    joined = CellDataset.concat([cells, cells], sources=["x", "y"])
    joined.obs["name"] = joined.obs.index
    both = pd.DataFrame({"source": list("yx"), "name": list("aa"), "mark": [1, 2]})
    assert joined.merge_obs(both, on=["source", "name"]).obs["mark"].dropna().tolist() == [2, 1]


def test_merge_obs_says_when_cells_share_a_row(caplog):
    cells = dataset("aab")
    merged = cells.merge_obs(pd.DataFrame({"x": [1, 2]}, index=["a", "b"]))
    assert merged.obs["x"].tolist() == [1, 1, 2]
    assert caplog.messages == [
        "1 cells have the name of another cell and take the same row of the table"
    ]


def test_merge_obs_refuses():
    cells = dataset(kind=["a", "a", "b"])
    with refused(
        "the table has 1 labels more than once in its index, first 'a': rows that cannot be told "
        "apart cannot be joined to cells"
    ):
        cells.merge_obs(pd.DataFrame({"x": [1, 2]}, index=["a", "a"]))
    with refused(
        "none of the 3 cells is in the table of 2 rows: cells are called 'a', 'b', ..., its index "
        "has 0, 1. Give on= the column both have"
    ):
        cells.merge_obs(pd.DataFrame({"x": [1, 2]}))
    with refused("obs has a column 'kind' already: rename that of the table or drop it"):
        cells.merge_obs(pd.DataFrame({"kind": [1]}, index=["a"]))
    with refused("the table has no column 'kind'; it has x"):
        cells.merge_obs(pd.DataFrame({"x": [1]}), on="kind")
    with refused("obs has no column 'x'; it has kind"):
        cells.merge_obs(pd.DataFrame({"x": [1]}), on="x")
    with refused("merge_obs got a list; expected a DataFrame, whose index holds the cells' names"):
        cells.merge_obs(["T", "B"])
    with refused("the table has the column 'x' more than once: rename one"):
        cells.merge_obs(pd.DataFrame([[1, 2]], index=["a"], columns=["x", "x"]))


def test_merge_obs_takes_a_part_of_a_table_with_repeated_labels():
    table = pd.DataFrame({"x": [1, 2, 3, 4]}, index=list("abcc"))
    assert not table.index.is_unique  # pandas remembers this, and gives it on to slices
    assert dataset().merge_obs(table.iloc[:3]).obs["x"].tolist() == [1, 2, 3]


def test_merge_obs_joins_nothing_to_missing_values():
    cells = dataset(donor=["d1", None, np.nan])
    table = pd.DataFrame({"donor": ["d1", None], "age": [30.0, 40.0]})
    ages = cells.merge_obs(table, on="donor").obs["age"]
    assert ages[0:1].tolist() == [30.0]
    assert ages[1:].isna().all()


def test_no_cells_and_an_empty_mask():
    assert len(dataset("", []).filter([])) == 0


def test_labels_of_a_wrong_shape():
    with refused("obs has 2 rows for 3 cells; expected one each"):
        CellDataset(IDS, pd.DataFrame({"kind": ["a", "b"]}))


def test_with_vocabulary(tmp_path):
    vocabulary = tiny_vocabulary()
    CellDataset(IDS, pd.DataFrame({"x": [1, 2, 3]}, index=list("abc"))).save(tmp_path / "x.dataset")
    cells = CellDataset.load(tmp_path / "x.dataset", vocabulary=vocabulary)
    assert cells.vocabulary_checksum == vocabulary.checksum
    assert (cells.vocabulary_size, cells.max_length) == (122, 128)
    assert cells.obs["x"].tolist() == [1, 2, 3]
    assert cells.with_vocabulary(vocabulary)[2].tolist() == IDS[2]
    wrong = CellDataset([[3], [4, 500]])
    with refused(
        "cell 1 has the token id 500, which stands for nothing in the vocabulary 'tiny' of 122 "
        "ids. Is it the vocabulary the cells were tokenized with?"
    ):
        wrong.with_vocabulary(vocabulary)
    assert wrong.with_vocabulary(vocabulary, check=False).vocabulary_size == 122
    other = tiny_vocabulary(cls=True)
    with refused(
        f"the cells were tokenized with the vocabulary of checksum {vocabulary.checksum[:12]}, "
        f"and 'tiny' has {other.checksum[:12]}: use the vocabulary of the cells"
    ):
        cells.with_vocabulary(other)


def test_with_vocabulary_keeps_changes_of_obs(tmp_path):
    CellDataset(IDS).save(tmp_path / "x.dataset")
    cells = CellDataset.load(tmp_path / "x.dataset")
    cells.obs["new"] = [1, 2, 3]
    assert cells.with_vocabulary(tiny_vocabulary()).obs["new"].tolist() == [1, 2, 3]
