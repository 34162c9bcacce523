import numpy as np
import pandas as pd
import pytest

from keras_geneformer.analysis.perturbation.states import States, read_states
from keras_geneformer.tokenization.cells.dataset import CellDataset


@pytest.fixture
def cells():
    days = ["2", "2", "5", "5", "9", "9", "8", None]
    lists = [[5, 6], [7, 8], [6, 5], [8, 7], [7, 8], [5, 6], [5, 7], [6, 7]]
    return CellDataset(lists, pd.DataFrame({"day": days, "kind": "x"}))


def given(**entries):
    return {"obs_key": "day", "start": 2, "goal": "5"} | entries


def test_names_are_text_and_rows_are_those_of_the_value(cells):
    states = States.of(given(alternatives="9"), cells.subset([0, 2, 1, 3, 4, 4]))
    assert states.names == ["2", "5", "9"]
    assert states.rows(cells, "5").tolist() == [2, 3]
    assert states.described() == {
        "obs_key": "day",
        "start": "2",
        "goal": "5",
        "alternatives": ["9"],
    }
    assert States.of(None, cells) is None
    assert States.of(states, cells) is states


def test_vectors_stand_for_cells_of_goal_and_alternatives(cells):
    vectors = pd.DataFrame(np.eye(3), index=["2", "5", "30"])
    states = States.of(given(goal="30", vectors=vectors), cells.subset([0]))
    assert states.vectors is vectors


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            {"obs_key": "dya"},
            "obs has no column 'dya', which obs_key of states names; it has day",
        ),
        ({"goal": "7"}, r"No cell is in the state '7': obs\['day'\] holds 2, 5, 8, 9\."),
        ({"start": "7"}, "No cell is in the state '7': "),
        ({"alternatives": ["7"]}, "No cell is in the state '7': "),
        ({"goal": 2}, "The states start and goal are both '2'; expected two different ones"),
        (
            {"alternatives": [9, 5]},
            r"The state '5' is the goal and among the alternatives",
        ),
        ({"alternatives": ["2"]}, r"The state '2' is the start and among the alternatives \(2\);"),
        ({"alternatives": ["9", 9]}, "The state '9' is twice among the alternatives"),
        ({"goal": "8"}, r"Only one cell is in the state '8' of obs\['day'\]; a state is the mean"),
        ({"alternatives": [9]}, "The states '2' and '9' hold the same cells, token for token, so"),
        ({"state_key": "day"}, 'states has unknown entries state_key; expected {"obs_key": a col'),
        ({"goal": None}, r'states lacks goal; expected {"obs_key": a column of obs, "start": val'),
        ({"vectors": [1]}, "The vectors of states are a list; expected the DataFrame that embed_"),
        (
            {"vectors": pd.DataFrame({"0": [1.0]}, index=["2"])},
            r"The vectors of states have no row for 5; they have 2\.",
        ),
        (
            {"vectors": pd.DataFrame({"0": [1.0, 1.0]}, index=["2", "5"])},
            "The states '2' and '5' have the same vector, so that nothing can move from one to",
        ),
        (
            {"vectors": pd.DataFrame({"0": [1.0, np.nan]}, index=["2", "5"])},
            "The vectors of states hold values that are not finite",
        ),
    ],
)
def test_refuses(cells, entries, message):
    with pytest.raises(ValueError, match=message):
        States.of(given(**entries), cells)


class Classifier:
    backbone = None


@pytest.mark.parametrize(
    ("states", "message"),
    [
        (Classifier(), r"Received a Classifier for states; .* A classifier is no state: give it"),
        ("some/preset", r"Received states='some/preset'; .* A classifier is no state: give it as"),
        ("states.json", r"Received states='states.json', a file; .* read it with json.load"),
        (["2", "5"], r'Received a list for states; expected {"obs_key": a column of obs'),
    ],
)
def test_refuses_what_is_no_mapping(cells, states, message):
    with pytest.raises(ValueError, match=message):
        States.of(states, cells)


def test_reads_a_json_file(tmp_path):
    path = tmp_path / "states.json"
    path.write_text('{"obs_key": "day", "start": 2, "goal": 5}')
    assert read_states(path) == {"obs_key": "day", "start": 2, "goal": 5}
    path.write_text("obs_key: day")
    with pytest.raises(ValueError, match=r"states.json is not json \(Expecting value"):
        read_states(path)
    path.write_text("[]")
    with pytest.raises(ValueError, match=r"states.json holds a list; expected"):
        read_states(path)
    with pytest.raises(FileNotFoundError, match=r"no states at .*other.json; expected"):
        read_states(tmp_path / "other.json")
