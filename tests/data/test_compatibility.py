import numpy as np
import pytest

from keras_geneformer.data.compatibility import check_vocabulary
from keras_geneformer.testing import tiny_vocabulary
from keras_geneformer.tokenization.cells.dataset import CellDataset

VOCABULARY = tiny_vocabulary()


def test_accepts_cells_of_the_vocabulary_and_cells_that_name_none():
    cells = [[2, 3], [4]]
    check_vocabulary(CellDataset(cells, vocabulary=VOCABULARY), VOCABULARY.checksum, 122, 128)
    check_vocabulary(CellDataset(cells, vocabulary=VOCABULARY), None, 122, 128)
    check_vocabulary(CellDataset(cells), VOCABULARY.checksum, 122)


def test_refuses_another_vocabulary():
    cells = CellDataset([[2, 3]], vocabulary=VOCABULARY)
    message = (
        rf"tokenized with another vocabulary \(checksum {VOCABULARY.checksum[:12]}…\) "
        r"than the model's \(checksum abcabcabcabc…\): tokenize them again with the model's"
    )
    with pytest.raises(ValueError, match=message):
        check_vocabulary(cells, "abc" * 5, 122)


def test_refuses_a_vocabulary_of_another_size():
    cells = CellDataset([[2, 3]], vocabulary=VOCABULARY)
    message = "with a vocabulary of 122 token ids, and the model has 20275: tokenize them again"
    with pytest.raises(ValueError, match=message):
        check_vocabulary(cells, None, 20275)


def test_refuses_tokens_the_model_does_not_know():
    message = (
        "The cells hold token id 300, and the model's ids go from 0 to 121: they were tokenized "
        "with another vocabulary."
    )
    with pytest.raises(ValueError, match=message):
        check_vocabulary(CellDataset([[2, 300]]), None, 122)


def test_refuses_cells_too_long_or_empty_or_none():
    message = (
        "The longest cell has 60 tokens, and the model takes 50: tokenize again with max_length=50."
    )
    with pytest.raises(ValueError, match=message):
        check_vocabulary(CellDataset([np.arange(2, 62)]), None, 122, 50)
    with pytest.raises(ValueError, match=r"Cell 1 \('1'\) has no tokens: drop such cells with"):
        check_vocabulary(CellDataset([[2], np.empty(0, int)]), None, 122)
    with pytest.raises(ValueError, match=r"There are no cells in the dataset\."):
        check_vocabulary(CellDataset([]), None, 122)


def test_cells_of_an_unknown_vocabulary_betray_a_v2_one_by_their_ends(caplog):
    framed = CellDataset([np.array([2, 9, 8, 3]), np.array([2, 7, 3])])
    bare = CellDataset([np.array([9, 8]), np.array([7, 2])])
    with pytest.raises(ValueError, match="begins with token 2 and ends with token 3"):
        check_vocabulary(framed, None, 30, 16, (0, 1))
    check_vocabulary(framed, None, 30, 16, (0, 1, 2, 3))
    check_vocabulary(bare, None, 30, 16, (0, 1))
    assert not caplog.records
    check_vocabulary(bare, None, 30, 16, (0, 1, 2, 3))
    assert "do not say which vocabulary" in caplog.text
