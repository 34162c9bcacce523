"""The picture of a dataset: drawn from its figures, readable, written whole."""

import struct

import numpy as np
import pytest

from keras_geneformer.plotting import cell_lengths
from keras_geneformer.testing import synthetic_dataset, tiny_vocabulary
from keras_geneformer.tokenization.cells.dataset import CellDataset


def test_lengths_and_tokens_are_drawn(tmp_path):
    cells = synthetic_dataset(60)
    path = tmp_path / "new" / "x.png"
    lengths, bars = cell_lengths(cells, path, vocabulary=tiny_vocabulary(), title="cells")
    assert sum(patch.get_height() for patch in lengths.patches) == 60
    assert lengths.get_xlabel() == "tokens a cell"
    top = cells.describe(tiny_vocabulary(), top=10).top_tokens
    assert [label.get_text() for label in bars.get_yticklabels()] == top["symbol"].tolist()
    widths = [patch.get_width() for patch in bars.patches]
    np.testing.assert_allclose(widths, 100 * top["share"])
    assert [item.name for item in path.parent.iterdir()] == ["x.png"]
    header = path.read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    assert struct.unpack(">II", header[16:24])[0] == 1000


def test_labels_lie_inside_the_picture():
    axes = cell_lengths(synthetic_dataset(20), vocabulary=tiny_vocabulary())
    figure = axes[0].figure
    figure.draw_without_rendering()
    box = figure.bbox
    for label in axes[1].get_yticklabels():
        extent = label.get_window_extent()
        assert extent.x0 >= box.x0
        assert extent.x1 <= box.x1


def test_cells_of_one_length_and_no_vocabulary():
    axes = cell_lengths(CellDataset([[5, 2, 9]] * 4))
    assert axes[1].get_yticklabels()[0].get_text() == "token 2"
    assert sum(patch.get_height() for patch in axes[0].patches) == 4


def test_no_cells():
    with pytest.raises(ValueError, match=r"^there are no cells to draw$"):
        cell_lengths(CellDataset([]))


def test_one_cell_is_a_bar_at_whole_numbers():
    lengths, _ = cell_lengths(CellDataset([[5, 2, 9]]))
    low, high = lengths.get_xlim()
    assert (low, high) == (-0.5, 9.5)
    assert all(tick == round(tick) for tick in lengths.get_xticks())
