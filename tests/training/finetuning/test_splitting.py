import numpy as np
import pandas as pd
import pytest

from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.training.finetuning.labels import read_labels
from keras_geneformer.training.finetuning.splitting import split_cells

DONORS = np.repeat(["d1", "d2", "d3", "d4", "d5"], 8)
KINDS = np.tile(["a", "b"], 20)


@pytest.fixture
def labelled():
    index = [f"c{i}" for i in range(40)]
    turn = np.where((KINDS == "b") & (np.arange(40) < 39), "1", "2")
    obs = pd.DataFrame({"kind": KINDS, "donor": DONORS, "turn": turn}, index=index)
    cells = CellDataset([np.array([5, 6], dtype=np.int32)] * 40, obs)
    return cells, read_labels(cells, "kind")


def parts(split):
    return [split.train, split.validation, split.test]


def test_every_cell_is_in_one_part(labelled):
    split = split_cells(*labelled, validation=0.25, test=0.25)
    assert [len(part) for part in parts(split)] == [22, 8, 10]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts(split))), np.arange(40))
    assert sorted(KINDS[split.test]) == ["a"] * 5 + ["b"] * 5


def test_groups_stay_together(labelled):
    split = split_cells(*labelled, validation=0.2, test=0.2, group_key="donor")
    held = [set(DONORS[part]) for part in parts(split)]
    assert [len(donors) for donors in held] == [3, 1, 1]
    assert len(set.union(*held)) == 5


def test_fixed_cells_and_fixed_donors(labelled):
    split = split_cells(*labelled, validation=["c3", "c8"], test={"donor": ["d5", "d4"]})
    assert split.validation.tolist() == [3, 8]
    assert set(DONORS[split.test]) == {"d4", "d5"}
    assert split_cells(*labelled, validation=None).validation.size == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": ["c1"], "test": ["c1"]}, r"1 cells are to be in validation and in test"),
        ({"validation": ["c1", "c1"]}, r"validation names 1 cells twice"),
        ({"validation": ["c1", "zz"]}, r"1 of the 2 cells that validation names are not .* 'zz'"),
        ({"validation": {"donor": "d9"}}, r"No labelled cell has 'd9' in obs\['donor'\]"),
        (
            {"validation": ["c1"], "group_key": "donor"},
            r"Cells of 'd1' in obs\['donor'\] are in train and in validation",
        ),
        ({"validation": 0.2, "group_key": "patient"}, r"no column 'patient' in obs to split by"),
        ({"validation": {}}, r"No cell is left to train on"),
        ({"validation": []}, r"validation names no cell: name some, or pass None\."),
        (
            {"validation": {"donor": "d1", "kind": "b", "turn": "2"}},
            r"No labelled cell has all that validation names \(\{'donor': 'd1', 'kind': 'b', ",
        ),
        (
            {"test": {"turn": "1"}, "validation": 0.1},
            r"Of class b one cell is left beside those of test: a class needs one to train on",
        ),
        ({"validation": {"kind": "a"}}, r"No training cell is of class a"),
        ({"validation": {"kind": ["a", "b"]}}, r"No cell is left to train on"),
    ],
)
def test_refuses(labelled, options, message):
    with pytest.raises(ValueError, match=message):
        split_cells(*labelled, **options)
