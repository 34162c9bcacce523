import numpy as np
import pandas as pd
import pytest

from keras_geneformer.analysis.perturbation.perturbing import perturb
from keras_geneformer.testing import synthetic_dataset, tiny_backbone
from keras_geneformer.tokenization.cells.dataset import CellDataset

pytestmark = pytest.mark.tensors

STATES = {"obs_key": "cell_type", "start": "B cell", "goal": "T cell"}


def vectors(names, width):
    values = np.random.default_rng(0).normal(size=(len(names), width))
    return {**STATES, "vectors": pd.DataFrame(values, index=names)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"genes": [99999], "kind": "overexpress"},
            "Received the token ids 99999 for genes; the model's go from 0 to 121.",
        ),
        (
            {"screen_by": "int8"},
            "Received screen_by='int8' and projections=None without screen; give screen=k, how "
            "many deletions a cell are computed.",
        ),
        (
            {"projections": 3},
            "Received screen_by='gradient' and projections=3 without screen; give screen=k, how "
            "many deletions a cell are computed.",
        ),
        (
            {"screen": 3, "screen_by": "x"},
            "Received screen_by='x'; expected one of gradient, int8.",
        ),
        (
            {"rank_shift": 2},
            "Received rank_shift=2 and quantiles=4 with kind='delete'; they go with "
            '"inhibit" and "activate".',
        ),
        (
            {"shard": "1/2"},
            "Received shard='1/2'; expected (i, n), as (2, 8): the second of eight.",
        ),
        (
            {"states": vectors(["B cell", "T cell"], 7)},
            "The vectors of states have 7 columns, and the model's hidden states 32: make them "
            "with this model (embed_states).",
        ),
        (
            {"states": vectors(["B cell", "B cell", "T cell"], 32)},
            "The vectors of states have two rows for B cell; expected one each.",
        ),
    ],
)
def test_what_cannot_be_asked_is_said_and_nothing_is_written(tmp_path, options, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        perturb(tiny_backbone(), synthetic_dataset(9), output=tmp_path / "x.parquet", **options)
    assert str(error.value) == message
    assert not list(tmp_path.iterdir())


def test_cells_of_one_name():
    cells = synthetic_dataset(4)
    twice = CellDataset([cells[i] for i in range(4)], cells.obs.iloc[[0, 0, 1, 2]])
    with pytest.raises(ValueError, match=r"^1 cells have the name of another in obs, 'cell0' for"):
        perturb(tiny_backbone(), twice)
    assert perturb(tiny_backbone(), twice.subset([1, 2]))["cell"].nunique() == 2


def test_cells_that_are_no_dataset():
    with pytest.raises(ValueError, match=r"^Received a str as cells; expected a CellDataset: Cell"):
        perturb(tiny_backbone(), "x.dataset")
