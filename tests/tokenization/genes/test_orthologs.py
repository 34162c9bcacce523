import logging

import numpy as np
import pandas as pd
import pytest

from keras_geneformer import RankValueTokenizer
from keras_geneformer.testing import synthetic_cells, tiny_vocabulary
from keras_geneformer.tokenization.genes.orthologs import Orthologs


def mouse(number):
    return f"ENSMUSG{number:011d}"


@pytest.fixture
def table():
    """Mouse genes of the tiny vocabulary's: 0-99 one to one, 100 to two, 102 and 103 to one."""
    genes = tiny_vocabulary().genes
    rows = [(f"{mouse(i)}.2", genes[i], f"Mouse{i}") for i in range(100)]
    rows += [(mouse(100), genes[100], "Mouse100"), (mouse(100), genes[101], "Mouse100")]
    rows += [(mouse(102), genes[102], "Mouse102"), (mouse(103), genes[102], "Mouse103")]
    rows += [rows[0], (mouse(104), "", "Mouse104"), (mouse(105), "ENSG99999999999", "Mouse105")]
    return pd.DataFrame(rows, columns=["gene", "ortholog", "symbol"])


def test_only_one_to_one_orthologs_count(table):
    orthologs = Orthologs.read(table)
    assert len(orthologs.pairs) == 101
    assert (orthologs.one_to_many, orthologs.many_to_one) == (1, 2)
    assert orthologs.symbols[mouse(7)] == "Mouse7"


def test_a_mouse_corpus_gets_the_tokens_of_a_human_vocabulary(table, tmp_path, caplog):
    vocabulary = tiny_vocabulary()
    biomart = table.rename(
        columns={
            "gene": "Gene stable ID",
            "ortholog": "Human gene stable ID",
            "symbol": "Gene name",
        }
    )
    biomart.to_csv(tmp_path / "mart.tsv", sep="\t", index=False)
    with caplog.at_level(logging.INFO):
        both = vocabulary.with_orthologs(tmp_path / "mart.tsv")
    assert (
        "100 of 101 one-to-one orthologs are in the vocabulary (0 names changed their gene); left "
        "out: 1 genes with several orthologs, 2 that share theirs" in caplog.text
    )
    assert both.checksum == vocabulary.checksum
    human = synthetic_cells(30)[:, :100].copy()
    expected = RankValueTokenizer(vocabulary)(human)
    for key, ids in (
        ("ensembl_id", [mouse(i) for i in range(100)]),
        ("symbol", [f"mouse{i}" for i in range(100)]),
    ):
        adata = human.copy()
        adata.var = pd.DataFrame({key: ids}, index=ids)
        cells = RankValueTokenizer(both)(adata, gene_key=key)
        np.testing.assert_array_equal(cells.token_ids, expected.token_ids)
    assert both.tokens_of([mouse(100), mouse(102), mouse(105)]).tolist() == [-1, -1, -1]
    assert both.tokens_of(vocabulary.genes).tolist() == vocabulary.tokens.tolist()
    both.save(tmp_path / "both")
    assert type(both).load(tmp_path / "both").aliases == both.aliases


def test_symbols_mean_the_ortholog_and_ids_stay(table):
    vocabulary = tiny_vocabulary()
    table.loc[1, "symbol"] = "gene5"
    table.loc[2, "symbol"] = vocabulary.genes[9]
    both = vocabulary.with_orthologs(table)
    asked = ["GENE5", vocabulary.genes[9], mouse(5)]
    assert both.positions_of(asked).tolist() == [1, 9, 5]


def test_tables_without_orthologs(table):
    vocabulary = tiny_vocabulary()
    with pytest.raises(
        ValueError,
        match=r"^the table has no column with genes to map to: expected 'ortholog' or 'human_id' "
        r"or 'human_ensembl_id' or 'Human gene stable ID'; it has gene, symbol$",
    ):
        vocabulary.with_orthologs(table.drop(columns="ortholog"))
    with pytest.raises(
        ValueError,
        match=r"^the table has no one-to-one orthologs: of its 3 genes 1 have several and the "
        r"others share theirs$",
    ):
        vocabulary.with_orthologs(table.iloc[100:104])
    exchanged = table.rename(columns={"gene": "ortholog", "ortholog": "gene"})
    with pytest.raises(
        ValueError,
        match=r"^none of the \d+ orthologs is a gene of the vocabulary \(the first is ENSG\d+ to "
        r"ENSMUSG\d+; the vocabulary begins with ENSG\d+\): are the columns exchanged\?$",
    ):
        vocabulary.with_orthologs(exchanged)


def test_headers_in_any_case_and_with_blanks(tmp_path):
    (tmp_path / "t.csv").write_text("Gene , ORTHOLOG, Symbol\nENSMUSG00000000001,ENSG1,Gnai3\n")
    orthologs = Orthologs.read(tmp_path / "t.csv")
    assert orthologs.pairs == {"ENSMUSG00000000001": "ENSG1"}
    assert orthologs.symbols == {"ENSMUSG00000000001": "Gnai3"}


def test_tables_that_say_nothing():
    with pytest.raises(ValueError, match=r"^the table has 2 columns 'gene'; expected one$"):
        Orthologs.read(pd.DataFrame([["a", "b", "c"]], columns=["gene", "ortholog", "gene"]))
    with pytest.raises(
        ValueError, match=r"^the table has no row with both a gene and its ortholog, of 1 rows$"
    ):
        Orthologs.read(pd.DataFrame({"gene": ["a"], "ortholog": [None]}))
