import numpy as np
import pandas as pd
import pytest

from keras_geneformer import plotting


@pytest.fixture
def heads():
    places = [(layer, head) for layer in (1, 2) for head in (1, 2, 3)]
    table = pd.DataFrame(places, columns=["layer", "head"])
    return table.assign(
        auc=np.linspace(0.4, 0.7, 6), auc_at_like_rank=0.5, fdr=0.02, entropy=np.arange(6.0)
    )


def test_no_layer_is_cut_off(heads):
    ranks = [heads.assign(rank_from=0.1 * part, rank_to=0.1, attention=1.0) for part in range(3)]
    table = pd.concat(ranks)
    table.loc[table["layer"] == 2, "attention"] = 9.0
    panels = plotting.attention_by_rank(table)
    assert panels.shape == (2,)
    for panel in panels:
        bottom, top = panel.get_ylim()
        assert bottom == 0
        assert top > 9


def test_pictures_of_heads(heads, tmp_path):
    ranks = pd.concat(
        heads.assign(rank_from=part / 10, rank_to=(part + 1) / 10, attention=1 + part / 10)
        for part in range(10)
    )
    grid = plotting.head_map(heads, tmp_path / "a.png", title="Heads")
    assert [text.get_text() for text in grid.texts] == [f"{one:.2f}*" for one in heads["auc"]]
    shades = plotting.head_map(heads, tmp_path / "b.png", value="entropy", middle=None)
    assert shades.images[0].get_array().tolist() == [[0, 1, 2], [3, 4, 5]]
    plotting.attention_by_rank(ranks, tmp_path / "c.png")
    spread = plotting.attention_spread(heads, tmp_path / "d.png")
    assert list(spread.get_lines()[0].get_ydata()) == [1, 4]
    matched = plotting.rank_matched_heads(heads, tmp_path / "e.png")
    assert sum(len(dots.get_offsets()) for dots in matched.collections) == 6
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"^a map of heads needs one row a layer and head, but so"):
        plotting.head_map(pd.concat([heads, heads]), tmp_path / "x.png")
    with pytest.raises(
        ValueError,
        match=r"^a picture of attention needs a row and the columns layer, head, entropy, but the",
    ):
        plotting.attention_spread(heads.drop(columns="entropy"), tmp_path / "x.png")
    assert len(list(tmp_path.iterdir())) == 5


def test_pictures_of_networks(tmp_path):
    genes = pd.DataFrame(
        {
            "symbol": list("abcd"),
            "cells": 1,
            "module": ["2", "1", "1", "none"],
            "strength": [1.0, 2.0, 3.0, 0.0],
        },
        index=list("abcd"),
    )
    edges = pd.DataFrame({"source": ["b", "a"], "target": ["c", "b"], "weight": 0.5, "cells": 1})
    places = pd.DataFrame({"x": range(4), "y": range(4)})
    matrix = plotting.module_matrix(genes, edges)
    assert [label.get_text() for label in matrix.get_yticklabels()] == ["1", "2"]
    # c and b are module 1, the stronger first, and a is module 2.
    linked = np.argwhere(matrix.images[0].get_array() > 0).tolist()
    assert linked == [[0, 1], [1, 0], [1, 2], [2, 1]]
    points = plotting.network_map(places, genes)
    assert [text.get_text() for text in points.texts] == ["c", "a"]
    with pytest.raises(ValueError, match=r"find modules first \(with_modules\)$"):
        plotting.module_matrix(genes.drop(columns="module"), edges, tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"needs coordinates of each, but got 3 of 4$"):
        plotting.network_map(places[:3], genes, tmp_path / "x.png")
