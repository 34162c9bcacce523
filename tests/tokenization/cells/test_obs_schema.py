import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_geneformer.tokenization.cells.arrow_format import RESERVED
from keras_geneformer.tokenization.cells.obs_columns import decode_obs
from keras_geneformer.tokenization.cells.obs_schema import ObsSchema, look_at_obs


def joined(*frames, rows=3, source_file=False):
    """The frames as one, after a trip through Arrow in pieces of few rows."""
    files = [f"f{i}" for i in range(len(frames))]
    schema = ObsSchema.of([look_at_obs(frame) for frame in frames], RESERVED, source_file)
    batches = []
    for obs, file in zip(frames, files):
        for start in range(0, len(obs), rows):
            columns = schema.encode(obs.iloc[start : start + rows], file)
            arrays = [columns[name] for name in schema.types]
            batches.append(pa.RecordBatch.from_arrays(arrays, schema=pa.schema(schema.types)))
    return decode_obs(pa.Table.from_batches(batches), schema.kinds(files), RESERVED)


def frame(cells=4, **columns):
    return pd.DataFrame(columns, index=[f"cell{i}" for i in range(cells)])


COLUMNS = {
    "text": ["x", "y", None, "ü 细胞"],
    "integer": [1, 2, 3, 4],
    "float": [1.5, np.nan, 2.0, np.inf],
    "flag": [True, False, True, False],
    "category": pd.Categorical(["B", "T", None, "B"], categories=["T", "B", "unused"]),
    "ordered": pd.Categorical(["lo", "hi", "lo", "hi"], ["lo", "hi"], ordered=True),
    "number category": pd.Categorical([3, 1, 3, 3]),
    "nullable": pd.array([1, None, 3, 4], dtype="Int16"),
    "date": pd.to_datetime(["2020-01-01", None, "2021-01-01", "2022-01-01"]),
    "length": [9, 9, 9, 9],
    "counts": [5, 5, 5, 5],
}


def test_one_file_comes_back_as_it_was():
    obs = frame(**COLUMNS)
    pd.testing.assert_frame_equal(joined(obs), obs)


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_files_alike_are_joined_as_pandas_joins_them(rows):
    one, two = frame(**COLUMNS), frame(**COLUMNS).iloc[::-1]
    expected = pd.concat([one, two])
    pd.testing.assert_frame_equal(joined(one, two, rows=rows), expected)


def test_a_column_that_a_file_lacks_is_missing():
    one, two = frame(**COLUMNS), frame(other=["a", "b", "c", "d"])
    obs = joined(one, two)
    assert obs.columns.tolist() == [*COLUMNS, "other"]
    assert obs.iloc[4:][list(COLUMNS)].isna().all(axis=None)
    types = {"integer": "Int64", "float": "float64", "nullable": "Int16", "flag": "boolean"}
    for name, dtype in types.items():
        assert obs[name].dtype == dtype
    assert obs["flag"].tolist()[:4] == COLUMNS["flag"]
    assert obs["category"].cat.categories.tolist() == ["T", "B", "unused"]
    assert obs["date"].dtype == "datetime64[ns]"


def test_categories_of_all_files_in_the_order_in_which_they_stand():
    one = frame(2, kind=pd.Categorical(["B", "T"]))
    two = frame(2, kind=pd.Categorical(["NK", "B"], categories=["NK", "B", "none has it"]))
    obs = joined(one, two)
    assert obs["kind"].tolist() == ["B", "T", "NK", "B"]
    assert obs["kind"].cat.categories.tolist() == ["B", "T", "NK", "none has it"]
    assert joined(one, frame(1, kind=["NK"]))["kind"].tolist() == ["B", "T", "NK"]


def test_numbers_of_unlike_types_become_the_type_that_holds_both(caplog):
    obs = joined(frame(2, n=np.array([1, 2], "int32")), frame(1, n=[0.5]))
    assert obs["n"].tolist() == [1.0, 2.0, 0.5]
    assert not caplog.messages


def test_what_is_unlike_otherwise_becomes_text_and_is_said(caplog):
    obs = joined(frame(2, n=[1, 2]), frame(1, n=["x"]))
    assert obs["n"].tolist() == ["1", "2", "x"]
    assert caplog.messages == [
        "obs column 'n' is int64, object, not alike in all files: kept as text"
    ]
    caplog.clear()
    obs = joined(frame(3, n=[1, "x", None]), frame(1, n=["y"]), rows=1)
    assert obs["n"].tolist() == ["1", "x", None, "y"]
    assert caplog.messages == ["obs column 'n' (object) is kept as text"]
    caplog.clear()
    one, two = frame(1, n=pd.Categorical([1])), frame(1, n=pd.Categorical(["x"]))
    obs = joined(one, two)
    assert (obs["n"].tolist(), obs["n"].cat.categories.tolist()) == (["1", "x"], ["1", "x"])
    assert caplog.messages == ["obs column 'n' has categories of unlike types: kept as text"]


def test_a_column_of_missing_values_agrees_with_all():
    obs = joined(frame(2, n=[None, None]), frame(2, n=["a", None]), frame(1, n=[None]), rows=1)
    assert obs["n"].tolist() == [None, None, "a", None, None]


def test_names_that_stand_twice_or_are_taken():
    twice = pd.DataFrame([[1, "a"], [2, "b"]], columns=["n", "n"], index=["x", "y"])
    obs = joined(twice, twice, source_file=True)
    assert obs.columns.tolist() == ["n", "n", "source_file"]
    assert obs.iloc[:, 1].tolist() == ["a", "b", "a", "b"]
    assert obs["source_file"].tolist() == ["f0", "f0", "f1", "f1"]
    theirs = joined(frame(1, source_file=["mine"], input_ids=[3]), source_file=True)
    assert theirs.loc["cell0"].tolist() == ["mine", 3]


def test_chosen_columns():
    look = look_at_obs(frame(**COLUMNS), ["flag", "absent"])
    assert [column.name for column in look.columns] == ["flag"]


def test_an_index_of_several_levels():
    obs = pd.DataFrame(index=pd.MultiIndex.from_tuples([("a", 1)]))
    with pytest.raises(ValueError, match=r"^obs has an index of several levels; expected one na"):
        look_at_obs(obs)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_files_in_any_pieces_give_the_rows_of_all(data):
    """Whatever columns files have, each row keeps its values, as text at worst."""
    frames = []
    for _ in range(data.draw(st.integers(1, 3))):
        names = data.draw(st.lists(st.sampled_from(sorted(COLUMNS)), unique=True))
        # A column takes now the values of its own name, now those of another.
        values = [COLUMNS[data.draw(st.sampled_from([name, "integer", "text"]))] for name in names]
        frames.append(frame(**dict(zip(names, values))))
    obs = joined(*frames, rows=data.draw(st.integers(1, 4)))
    start = 0
    for part in frames:
        rows = obs.iloc[start : start + len(part)]
        start += len(part)
        assert rows.index.tolist() == part.index.tolist()
        for name in obs.columns:
            got = rows[name].tolist()
            given_ = part[name].tolist() if name in part else [None] * len(part)
            for one, other in zip(got, given_):
                if pd.isna(one) or pd.isna(other):
                    assert pd.isna(one) == pd.isna(other), (name, got, given_)
                elif str(one) != str(other):
                    assert float(one) == float(other), (name, got, given_)


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_large_integers_lose_no_digit_where_a_file_lacks_them(dtype):
    large = np.asarray([1, 2, 3, 2**63 - 1], dtype=dtype)
    obs = joined(frame(id=large), frame(other=[1.5, 2, 3, 4]))
    assert obs["id"].dtype == {"int64": "Int64", "uint64": "UInt64"}[dtype]
    assert obs["id"].tolist() == [*large.tolist(), *[pd.NA] * 4]


def test_large_integers_beside_floats_are_kept_as_text(caplog):
    obs = joined(frame(id=[1, 2, 3, 2**63 - 1]), frame(id=[1.5, 2, 3, 4]))
    assert obs["id"].tolist()[3:5] == ["9223372036854775807", "1.5"]
    assert caplog.messages == [
        "obs column 'id' is float64, int64, not alike in all files: kept as text"
    ]


def test_what_only_looks_like_a_number():
    ages = pd.interval_range(0.0, 4.0, periods=4)
    ages = pd.Series(ages.astype("interval[float64, right]"), index=frame().index)
    obs = joined(pd.DataFrame({"age": ages}), frame())
    assert obs["age"].tolist()[:4] == ages.tolist()


@pytest.mark.parametrize("values", [[1, 2, 3, 2**70], np.ones(4, dtype=np.longdouble)])
def test_numbers_that_arrow_lacks_are_kept_as_text(values):
    assert joined(frame(x=values))["x"].tolist() == [str(value) for value in values]
