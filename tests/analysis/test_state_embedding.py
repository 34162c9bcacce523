import numpy as np
import pandas as pd
import pytest

from keras_geneformer.analysis.cell_embedding import embed_cells
from keras_geneformer.analysis.state_embedding import embed_states, median, state_of_each
from keras_geneformer.testing import synthetic_dataset, tiny_backbone
from keras_geneformer.tokenization.cells.dataset import CellDataset


def made_up(kinds):
    return CellDataset([[5, 6, 7]] * len(kinds), pd.DataFrame({"kind": kinds}))


def test_states_are_the_values_asked_for_and_missing_ones_are_none():
    cells = made_up(["b", "a", None, "c", "b"])
    assert state_of_each(cells, "kind")[0] == ["a", "b", "c"]
    names, codes = state_of_each(cells, "kind", ["b", "a"])
    assert (names, codes.tolist()) == (["b", "a"], [0, 1, -1, -1, 0])


def test_the_lower_median_is_a_value_and_the_other_the_mean_of_two():
    values = np.array([[3.0, 1.0, 8.0, 2.0], [5.0, 5.0, 7.0, 9.0]])
    assert median(values).tolist() == [2.5, 6.0]
    assert median(values, lower=True).tolist() == [2.0, 5.0]
    assert median(values[:, :3], lower=True).tolist() == [3.0, 5.0]


def test_refuses_before_a_model_is_needed():
    cells = made_up(["a", "a", "b", None])
    with pytest.raises(ValueError, match=r"The cells have no column 'x' in obs; it has kind\."):
        embed_states(None, cells, "x")
    with pytest.raises(ValueError, match=r"No cell has kind = 'z'; it holds a, b\."):
        embed_states(None, cells, "kind", states=["a", "z"])
    message = (
        r"The state 'b' of kind has 1 cell; expected 2 or more: one cell has no centre to speak "
        r"of\. Leave the state out with states=\[\.\.\.\], or give more cells\."
    )
    with pytest.raises(ValueError, match=message):
        embed_states(None, cells, "kind")
    with pytest.raises(ValueError, match=r"Received states=\['a', 'a'\]; expected values of the"):
        embed_states(None, cells, "kind", states=["a", "a"])
    with pytest.raises(ValueError, match=r"No cell has a value in the obs column 'kind': there"):
        embed_states(None, made_up([None, None]), "kind")
    with pytest.raises(ValueError, match="Received statistic='sum'; expected one of mean, median"):
        embed_states(None, cells, "kind", statistic="sum")


@pytest.mark.tensors
def test_states_are_means_and_medians_of_their_cells(monkeypatch):
    backbone, cells = tiny_backbone(num_layers=1), synthetic_dataset(8)
    embedding = embed_cells(backbone, cells).astype(np.float64)
    groups = embedding.groupby(cells.obs["cell_type"].to_numpy())
    means = embed_states(backbone, cells, "cell_type")
    assert means.attrs == {"cells": {"B cell": 3, "T cell": 3, "monocyte": 2}}
    assert (means.to_numpy().dtype, means.index.name) == (np.float64, "cell_type")
    np.testing.assert_allclose(means, groups.mean(), atol=1e-6)
    monkeypatch.setattr("keras_geneformer.analysis.state_embedding._VALUES_A_BLOCK", 7)
    chosen = ["monocyte", "B cell"]
    medians = embed_states(backbone, cells, "cell_type", states=chosen, statistic="median")
    np.testing.assert_allclose(medians, groups.median().loc[chosen], atol=1e-6)
    lower = embed_states(
        backbone, cells, "cell_type", states=chosen, statistic="median", published=True
    )
    np.testing.assert_allclose(lower.iloc[0], groups.min().loc["monocyte"], atol=1e-6)

    same = cells.subset([0, 3, 0, 3])
    same.obs = pd.DataFrame({"kind": list("aabb")}, list("wxyz"))
    with pytest.raises(
        ValueError, match="The states 'a' and 'b' have the same embedding; expected"
    ):
        embed_states(backbone, same, "kind")
