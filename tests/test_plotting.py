"""Pictures: written whole, from the numbers given, without touching matplotlib's global state."""

import struct

import numpy as np
import pandas as pd
import pytest

from keras_geneformer import plotting


def _size(path) -> tuple[int, int]:
    header = path.read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    return struct.unpack(">II", header[16:24])


def test_loss_curve_draws_each_loss_and_the_baseline(tmp_path):
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "loss": [3.0, 2.0, 1.0],
            "val_loss": [3.0, np.nan, 2.0],
            "lr": [1, 1, 1],
        }
    )
    path = tmp_path / "new" / "loss.png"
    axes = plotting.loss_curve(history, path, baseline=2.5)
    lines = {line.get_label(): line.get_ydata() for line in axes.get_lines()[:2]}
    assert set(lines) == {"training", "validation"}
    np.testing.assert_array_equal(lines["validation"], [3.0, 2.0])
    assert axes.get_lines()[2].get_ydata()[0] == 2.5
    assert _size(path) == (1000, 600)
    assert [file.name for file in path.parent.iterdir()] == ["loss.png"]


def test_loss_curve_names_the_columns_it_found(tmp_path):
    with pytest.raises(
        ValueError, match=r"ends in 'loss', but the history has 1 rows and columns \['accuracy'\]"
    ):
        plotting.loss_curve(pd.DataFrame({"accuracy": [1.0]}), tmp_path / "loss.png")
    assert not any(tmp_path.iterdir())


def test_embedding_map_shows_every_label_and_its_count(tmp_path):
    labels = pd.Series(["a", "a", "b", None, *"cdefghijkl"], dtype="category")
    xy = pd.DataFrame(
        np.random.default_rng(0).normal(size=(len(labels), 2)), columns=["umap1", "umap2"]
    )
    axes = plotting.embedding_map(xy, labels)
    shown = {dots.get_label(): len(dots.get_offsets()) for dots in axes.collections}
    assert shown["a (2)"] == 2
    assert shown["none (1)"] == 1
    assert len(shown) == 13
    looks = {
        (tuple(dots.get_facecolor()[0]), dots.get_paths()[0].vertices.tobytes())
        for dots in axes.collections
    }
    assert len(looks) == 13, "two labels look the same"


def test_embedding_map_refuses_labels_of_other_cells(tmp_path):
    xy = pd.DataFrame({"x": [0.0, 1.0], "y": [0.0, 1.0]})
    with pytest.raises(ValueError, match="got 2 rows and 1 labels"):
        plotting.embedding_map(xy, pd.Series(["a"]), tmp_path / "map.png")


def test_confusion_matrix_prints_counts_and_shades_shares_of_rows(tmp_path):
    counts = pd.DataFrame([[8, 2], [0, 0]], index=["B", "T"], columns=["B", "T"])
    axes = plotting.confusion_matrix(counts)
    assert [text.get_text() for text in axes.texts] == ["8", "2"]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.8, 0.2], [0, 0]])
    predictions = pd.DataFrame({"true": ["B"] * 10, "label": ["B"] * 8 + ["T"] * 2})
    axes = plotting.confusion_matrix(predictions)
    assert [text.get_text() for text in axes.texts] == ["8", "2"]
    with pytest.raises(ValueError, match=r"square, but this one is \(1, 2\)"):
        plotting.confusion_matrix(counts.iloc[:1], tmp_path / "x.png")


def test_gene_bars_draw_the_largest_first(tmp_path):
    effects = pd.DataFrame({"gene": ["a", "b", "c", "d"], "value": [0.1, 0.3, np.nan, 0.2]})
    axes = plotting.gene_bars(effects, number=2)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "d"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first bar is on top"
    with pytest.raises(ValueError, match=r"no column \['shift'\] among \['gene', 'value'\]"):
        plotting.gene_bars(effects, tmp_path / "x.png", value="shift")


@pytest.mark.slow  # numba compiles UMAP at its first use
def test_umap_keeps_the_rows_of_dropped_cells_as_nan():
    embedding = pd.DataFrame(
        np.random.default_rng(0).normal(size=(30, 4)), index=[f"c{i}" for i in range(30)]
    )
    embedding.iloc[3] = np.nan
    coordinates = plotting.umap_coordinates(embedding, seed=1)
    assert list(coordinates.index) == list(embedding.index)
    assert coordinates.isna().any(axis=1).sum() == 1
    assert coordinates.iloc[3].isna().all()
    with pytest.raises(ValueError, match="at least 4 cells, but the embedding has 3"):
        plotting.umap_coordinates(embedding.iloc[:4])


def test_drawing_leaves_global_style_alone(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    plotting.gene_bars(pd.DataFrame({"gene": ["a"], "value": [1.0]}), tmp_path / "genes.png")
    assert dict(matplotlib.rcParams) == before


def test_missing_matplotlib_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'keras_geneformer\[plot\]'"):
        plotting.gene_bars(pd.DataFrame({"gene": ["a"], "value": [1.0]}), tmp_path / "genes.png")


def test_a_notebook_shows_what_a_function_returns():
    axes = plotting.gene_bars(pd.DataFrame({"gene": ["a"], "value": [1.0]}))
    png, size = axes._repr_png_()
    assert struct.unpack(">II", png[16:24]) == (1000, round(2 * size["height"]))
    assert size["width"] == 500
    history = pd.DataFrame({"loss": [1.0, 0.5], "validation_f1": [0.5, 0.6]})
    panels = plotting.learning_curves(history)
    assert panels.shape == (2,)
    assert panels._repr_png_()[0].startswith(b"\x89PNG")
    assert (panels == axes)._repr_png_() is None


def test_every_picture_takes_a_path_second_or_after_its_tables_and_none_by_default():
    import inspect

    for name in plotting.__all__:
        if name == "umap_coordinates":
            continue
        parameters = inspect.signature(getattr(plotting, name)).parameters
        assert parameters["path"].default is None, name
        assert parameters["title"].default == "", name
        assert parameters["title"].kind is inspect.Parameter.KEYWORD_ONLY, name


def test_analysis_and_evaluation_name_pictures_that_there_are():
    import ast
    import re
    from pathlib import Path

    import keras_geneformer as kg

    package = Path(kg.__file__).parent
    for section in ("analysis", "evaluation"):
        for name, home in kg._CONTENTS[section].items():
            tree = ast.parse((package / section / f"{home.replace('.', '/')}.py").read_text())
            (function,) = [node for node in tree.body if getattr(node, "name", "") == name]
            said = ast.get_docstring(function).split("Picture: ")[1].split("\n\n")[0]
            drawn = set(re.findall(r"`(?:kg\.plotting\.)?(\w+)[`(]", said)) - {"gene_network"}
            assert drawn, name
            assert drawn <= set(plotting.__all__), name
