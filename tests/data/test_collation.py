import numpy as np
import pytest

from keras_geneformer.data.collation import collate
from keras_geneformer.tokenization.cells.dataset import CellDataset


def test_pads_on_the_right():
    token_ids, padding_mask = collate([[5, 6, 7], [8]], length=4)
    assert token_ids.tolist() == [[5, 6, 7, 0], [8, 0, 0, 0]]
    assert padding_mask.tolist() == [[1, 1, 1, 0], [1, 0, 0, 0]]
    assert token_ids.dtype == padding_mask.dtype == np.int32


def test_takes_rows_of_a_dataset_in_the_order_asked_for():
    cells = CellDataset([[5], [6, 7], [8, 9, 10]])
    token_ids, padding_mask = collate(cells, rows=[2, 0], pad_token_id=1)
    assert token_ids.tolist() == [[8, 9, 10], [5, 1, 1]]
    assert padding_mask.sum(axis=1).tolist() == [3, 1]


def test_refuses_a_cell_longer_than_the_length():
    message = (
        "A cell of 3 tokens does not fit into 2: pass a greater length, or tokenize with a smaller "
        "max_length."
    )
    with pytest.raises(ValueError, match=message):
        collate([[5, 6, 7]], length=2)
