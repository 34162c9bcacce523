import json

import numpy as np
import pandas as pd
import pytest

from keras_geneformer.testing import synthetic_dataset, tiny_vocabulary
from keras_geneformer.tokenization.cells import description as module
from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.tokenization.cells.description import token_frequencies
from keras_geneformer.tokenization.cells.token_lists import TokenLists


def test_every_figure_by_hand():
    vocabulary = tiny_vocabulary(cls=True)  # genes are 4 to 123
    obs = pd.DataFrame({"größe": [1, 2, 3], "kind": pd.Categorical(list("aba"))}, list("xyz"))
    cells = CellDataset([[2, 7, 9, 3], [2, 9, 3], [2, 500, 9, 4, 700, 3]], obs)
    found = cells.describe(vocabulary)
    assert (found.cells, found.tokens, found.distinct_tokens) == (3, 13, 7)
    assert found.length_quantiles[0.0] == 3
    assert found.length_quantiles[0.5] == 4
    assert found.length_quantiles[1.0] == 6
    assert found.full_share == 0.0
    assert found.unknown_share == pytest.approx(2 / 13)
    assert found.unknown_tokens == (500, 700)
    assert found.known_count_share is None
    top = found.top_tokens
    assert top["token"].tolist() == [9, 4, 7, 500, 700]
    assert top["symbol"].tolist() == ["GENE5", "GENE0", "GENE3", "", ""]
    assert top["cells"].tolist() == [3, 1, 1, 1, 1]
    assert top["share"].tolist()[0] == 1.0
    assert found.obs_columns == {"größe": "int64", "kind": "category"}
    text = str(found).splitlines()
    assert text[0] == "3 cells, 13 tokens (7 different)"
    assert "unknown      15.38% of the tokens (first 500, 700)" in text
    assert "obs          größe (int64), kind (category)" in text
    assert json.loads(json.dumps(found.to_dict()))["top_tokens"][0]["symbol"] == "GENE5"


def test_what_is_not_known_is_not_said():
    found = CellDataset([[5, 2], [7]]).describe()
    assert (found.full_share, found.unknown_share, found.max_length) == (None, None, None)
    assert found.vocabulary == "unknown"
    assert found.top_tokens["symbol"].tolist() == ["", "", ""]
    assert "in most      2 50%, 5 50%, 7 50%" in repr(found)


def test_tokenized_cells_without_their_vocabulary():
    cells = synthetic_dataset(12, cls=True)
    found = cells.describe(top=5)
    assert found.known_count_share == 1.0
    assert found.max_length == 128
    assert len(found.top_tokens) == 5
    assert not set(found.top_tokens["token"]) & {0, 1, 2, 3}
    assert cells.vocabulary_checksum[:12] in found.vocabulary


def test_cells_at_the_maximal_length():
    vocabulary = tiny_vocabulary()
    long = np.arange(2, 122).tolist() + [5] * 8
    assert CellDataset([long, [4]], vocabulary=vocabulary).describe().full_share == 0.5


def test_no_cells():
    found = CellDataset([]).describe(tiny_vocabulary())
    assert (found.cells, found.tokens, found.unknown_share) == (0, 0, 0.0)
    assert str(found).startswith("0 cells, 0 tokens (0 different)")


def test_chosen_cells_and_files_piece_by_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_IDS_AT_ONCE", 7)
    cells = synthetic_dataset(30)
    cells.save(tmp_path / "x.dataset")
    loaded = CellDataset.load(tmp_path / "x.dataset")
    some = loaded.subset([3, 1, 20, 1])
    found = some.describe(tiny_vocabulary())
    flat = np.concatenate([cells[i] for i in (3, 1, 20, 1)])
    token, times = np.unique(flat, return_counts=True)
    assert found.top_tokens["cells"].tolist() == sorted(times, reverse=True)[:20]
    assert found.distinct_tokens == len(token)
    assert "token_ids" not in vars(loaded.token_lists)


def test_frequencies_grow_with_the_ids():
    pieces = [np.array([1, 1], np.int16), np.array([70_000], np.int32)]
    times = token_frequencies(pieces)
    assert (len(times), times[1], times[70_000]) == (70_001, 2, 1)


def test_another_vocabulary_is_refused():
    with pytest.raises(ValueError, match=r"use the vocabulary of the cells$"):
        synthetic_dataset(3).describe(tiny_vocabulary(cls=True))


def test_negative_ids_are_named():
    cells = CellDataset.from_token_lists(
        TokenLists([(np.array([1, 2, -4]), np.array([0, 2, 3]))]), None, {}
    )
    with pytest.raises(ValueError, match=r"^cell 1 has the token id -4, expected 0 or more, and"):
        cells.describe()
