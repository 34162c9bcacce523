import numpy as np
import pandas as pd
import pytest

from keras_geneformer.testing import synthetic_dataset, tiny_vocabulary
from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.tokenization.genes.gene_lists import cells_with_token, read_gene_classes

VOCABULARY = tiny_vocabulary()


def test_ids_symbols_versions_and_case_are_one_gene(tmp_path):
    path = tmp_path / "genes.csv"
    path.write_text(
        "Ensembl_ID,gene_name,label,note\n"
        "ENSG90000000004,GENE4,high,x\n"
        "ensg90000000005.7,,low,x\n"
        ",gene6,low,x\n"
        "ENSG00000000000,GENE7,high,x\n"  # an id the vocabulary has not: its symbol is tried
    )
    genes = read_gene_classes(path, VOCABULARY)
    assert genes.classes == ("high", "low")
    expected = pd.DataFrame(
        {
            "ensembl_id": [f"ENSG9000000000{number}" for number in (4, 5, 6, 7)],
            "symbol": ["GENE4", "GENE5", "GENE6", "GENE7"],
            "token": np.array([6, 7, 8, 9], dtype=np.int32),
            "true": ["high", "low", "low", "high"],
        }
    )
    pd.testing.assert_frame_equal(genes.table, expected, check_dtype=False)
    assert genes.report.text() == "genes.csv: 4 rows; taken: 2 high, 2 low"


def test_a_dict_and_a_table_are_the_same():
    table = pd.DataFrame({"symbol": ["GENE1", "GENE2", "GENE3"], "class": ["b", "a", "b"]})
    lists = {"b": ["GENE3", "GENE1"], "a": ["GENE2"]}
    one, other = read_gene_classes(table, VOCABULARY), read_gene_classes(lists, VOCABULARY)
    pd.testing.assert_frame_equal(one.table, other.table)


def test_what_is_left_out_is_reported():
    genes = read_gene_classes(
        {
            "a": ["GENE1", "ENSG90000000001", "GENE2", "NOPE", "nope", "", None],
            "b": ["GENE3", "ENSG90000000002", "GENE119", "NOWHERE"],
            "c": ["nowhere", "GENE4"],
        },
        VOCABULARY,
    )
    cells = CellDataset([[3, 5], [6, 3, 10]], vocabulary=VOCABULARY)
    counts = cells_with_token(cells, VOCABULARY.size)
    assert counts[[3, 5, 6, 10]].tolist() == [2, 1, 1, 1]
    assert counts.sum() == 5
    genes = genes.present(counts)
    assert genes.table["symbol"].tolist() == ["GENE1", "GENE3", "GENE4"]
    assert genes.labels.tolist() == [0, 1, 2]
    assert genes.report.text().splitlines() == [
        "the list: 13 rows; taken: 1 a, 1 b, 1 c",
        "repeated within a class, counted once: 2",
        "without a gene or a class, left out: 2",
        "in several classes, left out: 2 (GENE2: a, b; NOWHERE: b, c)",
        "not in the vocabulary, left out: 1 (NOPE)",
        "in none of the cells, left out: 1 (GENE119)",
    ]
    assert genes.report.text(most=1).splitlines()[3].endswith("left out: 2 (GENE2: a, b; …)")
    assert genes.report.text(most=1).splitlines()[4].endswith("left out: 1 (NOPE)")


def test_counts_of_cells_are_those_of_the_cells():
    cells = synthetic_dataset(20)
    expected = sum(np.bincount(ids, minlength=VOCABULARY.size) for ids in cells)
    np.testing.assert_array_equal(cells_with_token(cells, VOCABULARY.size), expected)


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        ({"a": ["X1"], "b": ["X2"]}, r"None of the 2 genes of the list can be used: 2 are not in"),
        ({"a": ["GENE1", "GENE2"]}, r"The 2 genes of the list that can be used are all of one cl"),
        (
            {"a": ["GENE1"], "b": ["GENE2"], "c": ["X"]},
            r"No gene of the class 'c' of the list can be used: drop the class, or take other cel",
        ),
        ({"a": "GENE1", "b": ["GENE2"]}, r"The class 'a' holds the text 'GENE1'; expected a list"),
        ({" ": ["GENE1"], "b": ["GENE2"]}, r"The classes of the list are called \[' ', 'b'\]: on"),
        (["GENE1"], r"Received a list of genes; expected a dict of class names to genes, a DataF"),
        (
            pd.DataFrame({"gene": ["GENE1"]}),
            r"the list has the columns gene; expected 'label' with the class of a gene, and",
        ),
    ],
)
def test_refuses(genes, message):
    with pytest.raises(ValueError, match=message):
        read_gene_classes(genes, VOCABULARY)


def test_genes_that_no_cell_has_are_refused():
    genes = read_gene_classes({"a": ["GENE1"], "b": ["GENE2", "GENE3"]}, VOCABULARY)
    with pytest.raises(ValueError, match=r"None of the 3 genes of the list is in any of the cells"):
        genes.present(np.zeros(VOCABULARY.size, dtype=int))
    counts = np.ones(VOCABULARY.size, dtype=int)
    counts[3] = 0
    with pytest.raises(ValueError, match=r"The 2 genes .* are all of one class \('b'\)"):
        genes.present(counts)
    with pytest.raises(FileNotFoundError, match=r"no_list.csv: no such file"):
        read_gene_classes("no_list.csv", VOCABULARY)


def test_the_published_lists(shared, dictionaries):
    from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary

    vocabulary = GeneVocabulary.load(dictionaries / "V1")
    lists = shared / "data" / "gene_lists"
    taken = {
        name: read_gene_classes(lists / f"{name}.csv", vocabulary).report
        for name in ("dosage_sensitivity_tfs", "bivalent_promoters")
    }
    assert taken["dosage_sensitivity_tfs"].taken == {
        "dosage_insensitive": 368,
        "dosage_sensitive": 122,
    }
    bivalent = taken["bivalent_promoters"]
    # Five genes stand in several classes, one of them in all three: six rows too many.
    assert len(bivalent.in_two_classes) == 5
    assert bivalent.taken == {"bivalent": 96 - 2, "lys4_only": 78 - 4, "no_methylation": 40 - 5}
