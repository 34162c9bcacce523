"""What is read from a memory-mapped dataset is not kept: anonymous memory stays flat."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from keras_geneformer.analysis.perturbation.gene_selection import check_presence
from keras_geneformer.analysis.pooling import check_pooling
from keras_geneformer.data import compatibility
from keras_geneformer.data.batch_source import BatchSource
from keras_geneformer.data.compatibility import check_vocabulary
from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.tokenization.cells.token_lists import TokenLists

STATUS = Path("/proc/self/status")
FILES, CELLS, LENGTH = 32, 512, 2048
MEGABYTES = FILES * CELLS * LENGTH * 2 / 1e6

pytestmark = [
    pytest.mark.tensors,
    pytest.mark.skipif(
        not STATUS.exists() or "RssAnon" not in STATUS.read_text(),
        reason="this system has no RssAnon in /proc/self/status",
    ),
]


def anonymous_memory():
    return int(re.search(r"RssAnon:\s+(\d+) kB", STATUS.read_text()).group(1)) / 1000


@pytest.fixture
def stored(tmp_path):
    """67 MB of token ids in 32 files, which are one file named 32 times."""
    ids = np.random.default_rng(0).integers(4, 1000, CELLS * LENGTH).astype(np.int16)
    lists = TokenLists([(ids, np.arange(CELLS + 1) * LENGTH)])
    metadata = {"vocabulary_checksum": "a" * 64, "vocabulary_size": 1000}
    path = tmp_path / "cells.dataset"
    CellDataset.from_token_lists(lists, None, metadata).save(path)
    for name, change in (
        ("state.json", lambda state: {"_data_files": state["_data_files"] * FILES}),
        (
            "keras_geneformer.json",
            lambda ours: {key: ours[key] * FILES for key in ("num_cells", "num_tokens")},
        ),
    ):
        content = json.loads((path / name).read_text())
        (path / name).write_text(json.dumps(content | change(content)))
    return path


def test_batches_and_checks_keep_nothing_of_what_they_read(stored):
    cells = CellDataset.load(stored)
    assert len(cells) == FILES * CELLS
    source = BatchSource(cells, batch_size=64, shuffle=True)
    source[0]
    before = anonymous_memory()
    checked = sum(int(source[index][0]["padding_mask"].sum()) for index in range(len(source)))
    assert checked == FILES * CELLS * LENGTH
    check_vocabulary(cells, None, 1000, LENGTH)
    check_presence(cells, np.array([4, 999]), ["a", "b"])
    check_pooling(cells, "mean", np.arange(4))
    subset = cells.subset(np.arange(len(cells))[::-1])
    assert sum(len(ids) for ids, _ in subset.token_lists.pieces()) == checked
    after = anonymous_memory()
    assert after - before < MEGABYTES / 3
    assert len(cells.token_ids) == checked  # what must not be asked for, and is seen if it is
    assert anonymous_memory() - after > MEGABYTES / 2


def test_large_datasets_of_the_models_vocabulary_are_looked_at_batch_by_batch(stored, monkeypatch):
    monkeypatch.setattr(compatibility, "_READ_WHOLE", CELLS * LENGTH)
    cells = CellDataset.load(stored)

    def read(_self):
        raise AssertionError("the token ids were read")

    monkeypatch.setattr(TokenLists, "pieces", read)
    check_vocabulary(cells, "a" * 64, 1000, LENGTH)
    with pytest.raises(AssertionError, match="the token ids were read"):
        check_vocabulary(cells, None, 1000, LENGTH)
