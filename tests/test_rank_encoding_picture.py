"""The picture of rank value encoding: its numbers are the cell's, its order the tokenizer's."""

import anndata
import numpy as np
import pytest
from matplotlib.colors import to_hex

from keras_geneformer import RankValueTokenizer
from keras_geneformer.plotting import rank_value_encoding
from keras_geneformer.plotting.style import COLOURS
from keras_geneformer.testing import synthetic_cells, tiny_vocabulary


def test_tokens_stand_beside_the_numbers_they_come_from(tmp_path):
    adata, vocabulary = synthetic_cells(3), tiny_vocabulary()
    path = tmp_path / "ranks.png"
    axes = rank_value_encoding(adata, path, vocabulary=vocabulary, cell="cell1", number=6)
    assert path.read_bytes().startswith(b"\x89PNG")
    ids = RankValueTokenizer(vocabulary)(adata)[1]
    said = [text.get_text() for text in axes.texts]
    start = 2 * 6  # after the names and the counts of the genes on the left
    rows = [said[start + 6 * row : start + 6 * row + 6] for row in range(6)]
    assert [row[0] for row in rows] == vocabulary.symbols_of(ids[:6]).tolist()
    assert [int(row[-1]) for row in rows] == ids[:6].tolist()
    for name, counts, scaled, median, value, _ in rows:
        counted = adata[1, adata.var["symbol"] == name].X.sum()
        assert int(counts) == counted
        scaled, median, value = (float(part.replace(",", "")) for part in (scaled, median, value))
        assert scaled == pytest.approx(counted / adata.obs["n_counts"].iloc[1] * 1e4, abs=0.06)
        assert value == pytest.approx(scaled / median, rel=2e-3)
    assert [float(number) for number in said[1:start:2]] == sorted(adata.X[1].data)[-6:][::-1]


def test_lines_rise_in_green_and_fall_in_red():
    # By counts g0, g1, g2; GENE2 has the lowest median and comes first as a token.
    vocabulary = tiny_vocabulary()
    lowest = np.argsort(vocabulary.medians)[[0, -1]]
    var_names = vocabulary.genes[lowest[::-1]]
    adata = anndata.AnnData(np.array([[12.0, 11.0]], dtype=np.float32))
    adata.var_names = var_names
    axes = rank_value_encoding(adata, vocabulary=vocabulary, gene_key=None)
    lines = axes.get_lines()[:2]
    drawn = {tuple(line.get_ydata()): to_hex(line.get_color()) for line in lines}
    assert drawn == {(1, 0): COLOURS[2].lower(), (0, 1): COLOURS[1].lower()}
    assert [text.get_text() for text in axes.texts if "th" in text.get_text()] == []
