import re

import anndata
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

from keras_geneformer.testing import synthetic_cells, synthetic_dataset, tiny_vocabulary
from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary
from keras_geneformer.tokenization.sentences import sentence_export as module
from keras_geneformer.tokenization.sentences.cell_sentences import (
    tokenize_sentence_files,
    tokenize_sentences,
)
from keras_geneformer.tokenization.sentences.sentence_export import (
    cell_sentences,
    write_cell_sentences,
)


def refused(message):
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


def counted(rows, symbols, names=None):
    var = pd.DataFrame({"symbol": symbols}, index=names or [f"id{i}" for i in range(len(symbols))])
    obs = pd.DataFrame(index=[f"c{i}" for i in range(len(rows))])
    return anndata.AnnData(sp.csr_matrix(np.array(rows, dtype=np.float32)), obs=obs, var=var)


@pytest.mark.parametrize("cls", [False, True])
def test_tokens_to_sentences_and_back(cls):
    cells, vocabulary = synthetic_dataset(20, cls=cls), tiny_vocabulary(cls)
    sentences = cell_sentences(cells, vocabulary)
    assert sentences.index.tolist() == cells.obs.index.tolist()
    assert sentences.name == "cell_sentence"
    genes = vocabulary.symbols_of(cells[3][1:-1] if cls else cells[3])
    assert sentences.iloc[3].split() == genes.tolist()
    back = tokenize_sentences(sentences, vocabulary, mode="rank_order")
    np.testing.assert_array_equal(back.token_ids, cells.token_ids)
    assert cell_sentences(cells.subset([3]), vocabulary, genes=2).tolist() == [" ".join(genes[:2])]


def test_symbols_that_lead_elsewhere_give_way_to_ids():
    genes = ["ENSG00000000001", "ENSG00000000002", "ENSG00000000003"]
    vocabulary = GeneVocabulary(
        genes,
        [2, 3, 4],
        [1.0] * 3,
        symbols=["TWICE", "TWICE", "Ä 1"],
        aliases={"TWICE": genes[0], "Ä_1": genes[2]},
    )
    cells = CellDataset([[4, 3, 2, 1]])
    assert cell_sentences(cells, vocabulary).tolist() == ["Ä_1 ENSG00000000002 TWICE"]
    back = tokenize_sentences(cell_sentences(cells, vocabulary), vocabulary, mode="rank_order")
    assert back[0].tolist() == [4, 3, 2]


def test_counts_in_the_order_of_expression(monkeypatch):
    monkeypatch.setattr(module, "_CELLS_AT_ONCE", 2)
    adata = counted(
        [[1, 5, 5, 0, 2], [0, 0, 0, 0, 0], [0, 0, 3, 9, 0]], ["A", "B", "twice", "twice", None]
    )
    assert cell_sentences(adata).to_dict() == {"c0": "B id2 id4 A", "c1": "", "c2": "id3 id2"}
    assert cell_sentences(adata, genes=1).tolist() == ["B", "", "id3"]
    assert cell_sentences(adata, symbol_key="var_names").iloc[0] == "id1 id2 id4 id0"
    with refused("adata has no var column 'name'; it has symbol (var_names takes the index)"):
        cell_sentences(adata, symbol_key="name")
    with refused("genes is 0; expected 1 or more"):
        cell_sentences(adata, genes=0)


def test_a_vocabulary_leaves_out_other_genes():
    adata = counted([[3, 2, 1]], ["GENE1", "elsewhere", "GENE0"])
    assert cell_sentences(adata, tiny_vocabulary()).tolist() == ["GENE1 GENE0"]


@pytest.mark.parametrize("kind", ["cells", "adata", "file"])
def test_written_file(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(module, "_CELLS_AT_ONCE", 4)
    adata, vocabulary = synthetic_cells(9), tiny_vocabulary()
    adata.obs["kind"] = pd.Categorical(adata.obs["cell_type"], categories=["x", *"abc", "B cell"])
    source = {"cells": synthetic_dataset(9), "adata": adata, "file": tmp_path / "x.h5ad"}[kind]
    if kind == "file":
        adata.write_h5ad(source)
    path = write_cell_sentences(source, tmp_path / "new" / "x.parquet", vocabulary)
    assert [item.name for item in path.parent.iterdir()] == ["x.parquet"]
    table = pd.read_parquet(path)
    assert table["cell_sentence"].tolist() == cell_sentences(source, vocabulary).tolist()
    order = b'"rank value"' if kind == "cells" else b'"expression"'
    assert order in pq.read_schema(path).metadata[b"keras_geneformer"]
    cells = tokenize_sentence_files(path, vocabulary, mode="rank_order")
    wanted = source.obs if kind == "cells" else adata.obs
    if kind == "file":
        wanted = anndata.read_h5ad(source).obs
    pd.testing.assert_frame_equal(cells.obs, wanted)


def test_failures_leave_nothing(tmp_path):
    cells = CellDataset([[5], [500]])
    message = "cell 1 has token ids from 500 to 500; the vocabulary 'tiny' has 122"
    with refused(message):
        write_cell_sentences(cells, tmp_path / "x.parquet", tiny_vocabulary())
    assert not list(tmp_path.iterdir())
    with refused(
        f"{tmp_path / 'x.csv'} does not end in .parquet; expected the name of such a file"
    ):
        write_cell_sentences(cells, tmp_path / "x.csv", tiny_vocabulary())
    with refused("a CellDataset has token ids only: give vocabulary=, for the symbols"):
        cell_sentences(cells)
    with pytest.raises(ValueError, match=r"use the vocabulary of the cells$"):
        cell_sentences(synthetic_dataset(3), tiny_vocabulary(cls=True))


def test_repeated_entries_are_summed_and_negative_ones_refused():
    entries = np.array([2.0, 2.0, 3.0]), np.array([0, 0, 1]), np.array([0, 3])
    var = pd.DataFrame(index=["A", "B"])
    adata = anndata.AnnData(sp.csr_matrix(entries, shape=(1, 2)), var=var)
    assert cell_sentences(adata).tolist() == ["A B"]
    adata = counted([[3, -1]], ["A", "B"])
    with pytest.raises(ValueError, match=r"^adata has negative values: -1\.0 in cell 'c0', so it"):
        cell_sentences(adata)
