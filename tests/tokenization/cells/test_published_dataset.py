"""A published dataset: the directory, the pickle of lengths beside it, the published vocabulary."""

import pickle
import re

import datasets
import numpy as np
import pandas as pd
import pytest

from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.tokenization.genes.published_pickles import read_published_lengths
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary


@pytest.fixture
def published(tmp_path, shared):
    """Cells of Genecorpus-30M as they are published: by `datasets`, lengths pickled."""
    frame = pd.read_parquet(shared / "data" / "tokenized" / "genecorpus30m_400.parquet")
    path = tmp_path / "genecorpus_30M_2048.dataset"
    content = {"input_ids": frame["input_ids"].tolist(), "length": frame["length"].tolist()}
    datasets.Dataset.from_dict(content).save_to_disk(str(path))
    lengths = tmp_path / "genecorpus_30M_2048_lengths.pkl"
    lengths.write_bytes(pickle.dumps(frame["length"].tolist()))
    return path, lengths


def test_published_dataset_with_lengths_and_vocabulary(published, dictionaries):
    path, lengths = published
    vocabulary = GeneVocabulary.load(dictionaries / "V1")
    cells = CellDataset.load(path, lengths=lengths, vocabulary=vocabulary)
    assert len(cells) == 400
    assert cells.vocabulary_checksum == vocabulary.checksum
    found = cells.describe(vocabulary)
    assert found.unknown_share == 0.0
    assert found.full_share == pytest.approx(0.995)
    with pytest.raises(ValueError, match="which stands for nothing in the vocabulary 'v2' of"):
        CellDataset.load(path, vocabulary=GeneVocabulary.load(dictionaries / "V2"))


def test_lengths_that_do_not_agree(published):
    path, lengths = published
    stated = pickle.loads(lengths.read_bytes())
    lengths.write_bytes(pickle.dumps(stated[1:]))
    message = (
        f"{lengths} has 399 entries for 400 cells: it belongs to another dataset, or the dataset "
        "was filtered since"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        CellDataset.load(path, lengths=lengths)
    actual = stated[7]
    stated[7] = 11
    message = (
        "the list of lengths differs from the dataset in 1 of 400 cells, first in cell 7: 11 and "
        f"{actual} tokens. It belongs to another dataset, or the cells are in another order"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        CellDataset.load(path).check_lengths(stated)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("kind", [int, np.int64, np.int16])
def test_lengths_of_any_integers(tmp_path, protocol, kind):
    path = tmp_path / "lengths.pkl"
    path.write_bytes(pickle.dumps([kind(3), kind(200)], protocol))
    assert read_published_lengths(path).tolist() == [3, 200]


class Attack:
    def __reduce__(self):
        import os

        return os.system, ("touch stolen",)


def test_a_malicious_pickle_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "lengths.pkl"
    path.write_bytes(pickle.dumps([1, Attack()]))
    message = (
        f"refused to load {path}: it names posix.system, and only list, int and numpy integers "
        "are admitted"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_published_lengths(path)
    assert not (tmp_path / "stolen").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": 1}, "holds a dict; expected a list of lengths"),
        ([1, "2"], "holds a str at 1 ('2'); expected integers, the length of each cell"),
        ([1, True], "holds a bool at 1 (True); expected integers, the length of each cell"),
        ([1, -2], "holds lengths from -2 to 1; expected 0 or more"),
        ([2.0], "holds a float at 0 (2.0); expected integers, the length of each cell"),
    ],
)
def test_pickles_of_something_else(tmp_path, content, message):
    path = tmp_path / "lengths.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path} {message}')}$"):
        read_published_lengths(path)


def test_damaged_pickle(tmp_path):
    path = tmp_path / "lengths.pkl"
    data = pickle.dumps(list(range(500)))
    path.write_bytes(data[:100])
    message = f"{path} is truncated: the pickle stops after 100 bytes; fetch it again"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_published_lengths(path)
    path.write_bytes(b"")
    message = f"{path} is empty (0 bytes); expected a pickled list"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_published_lengths(path)
