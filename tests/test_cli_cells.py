"""The verbs for tokenized cells, cell sentences and parquet shards."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest

from keras_geneformer import CellDataset
from keras_geneformer.cli import main
from keras_geneformer.testing import synthetic_cells, synthetic_dataset, tiny_vocabulary

VERBS = ("describe", "tokenize-sentences", "write-sentences", "import-tokens", "export-tokens")


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path):
    tiny_vocabulary().save(tmp_path / "vocabulary")
    synthetic_dataset(30).save(tmp_path / "cells.dataset")
    synthetic_cells(30).write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path


@pytest.mark.parametrize("verb", VERBS)
def test_help_ends_with_an_example(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        run(verb, "--help")
    assert stop.value.code == 0
    assert f"example:\n  keras-geneformer {verb}" in capsys.readouterr().out


def test_describe(folder, capsys):
    lengths = folder / "lengths.pkl"
    stated = CellDataset.load(folder / "cells.dataset").lengths.tolist()
    lengths.write_bytes(pickle.dumps(stated))
    outputs = ("--output", folder / "x.png", "--output", folder / "x.json")
    options = ("--vocabulary", folder / "vocabulary", "--lengths", lengths)
    assert run("describe", folder / "cells.dataset", *options, *outputs) == 0
    assert capsys.readouterr().out.startswith("30 cells, ")
    assert json.loads((folder / "x.json").read_text())["unknown_share"] == 0.0
    assert (folder / "x.png").read_bytes().startswith(b"\x89PNG")
    lengths.write_bytes(pickle.dumps(stated[1:]))
    assert run("describe", folder / "cells.dataset", "--lengths", lengths) == 2
    assert "has 29 entries for 30 cells" in capsys.readouterr().err


def test_sentences_there_and_back(folder, capsys):
    vocabulary = ("--vocabulary", folder / "vocabulary")
    tokens = folder / "tokens.parquet"
    assert run("write-sentences", folder / "cells.dataset", *vocabulary, "--output", tokens) == 0
    assert "in the order of rank value in" in capsys.readouterr().out
    output = folder / "back.dataset"
    options = ("--mode", "rank-order", "--output", output)
    assert run("tokenize-sentences", tokens, *vocabulary, *options) == 0
    assert "30 of 30 cells tokenized" in capsys.readouterr().out
    cells = CellDataset.load(folder / "cells.dataset")
    np.testing.assert_array_equal(CellDataset.load(output).token_ids, cells.token_ids)
    counts = folder / "counts.parquet"
    assert run("write-sentences", folder / "cells.h5ad", "--output", counts, "--genes", 20) == 0
    assert pd.read_parquet(counts)["cell_sentence"].str.split().map(len).max() == 20
    fit = ("--fit", folder / "cells.h5ad", "--output", output)
    assert run("tokenize-sentences", counts, *vocabulary, *fit) == 0
    text = capsys.readouterr().out
    assert "fitted to" in text
    assert "Spearman correlation of 30 cells" in text
    assert run("tokenize-sentences", counts, *vocabulary, *fit, "--slope", "-0.5") == 2
    assert "give one or the other" in capsys.readouterr().err


def test_shards_there_and_back(folder, capsys):
    shards, output = folder / "shards", folder / "back.dataset"
    options = ("--output", shards, "--cells-per-shard", 12)
    assert run("export-tokens", folder / "cells.dataset", *options) == 0
    assert f"30 cells in 3 files in {shards}" in capsys.readouterr().out
    vocabulary = ("--vocabulary", folder / "vocabulary")
    assert run("import-tokens", shards, *vocabulary, "--output", output) == 0
    one, other = CellDataset.load(folder / "cells.dataset"), CellDataset.load(output)
    np.testing.assert_array_equal(one.token_ids, other.token_ids)
    pd.testing.assert_frame_equal(one.obs, other.obs)
