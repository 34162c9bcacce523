import logging
import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from keras_geneformer import RankValueTokenizer
from keras_geneformer.testing import synthetic_cells, tiny_vocabulary
from keras_geneformer.tokenization.gene_identity import map_genes

VOCABULARY = tiny_vocabulary()
GENES = VOCABULARY.genes.tolist()


def var(ids, **columns):
    index = [f"row{i}" for i in range(len(ids))]
    return pd.DataFrame({"ensembl_id": ids, **columns}, index=index)


def test_case_version_symbols_empty_ids_and_repeats():
    names = [GENES[3], GENES[3].lower(), f"{GENES[4]}.17", " GENE5 ", "", np.nan, None, "unknown"]
    genes = map_genes(var(names), alias_vocabulary())
    assert genes.positions.tolist() == [3, 3, 4, 5, -1, -1, -1, -1]
    assert genes.repeated.tolist() == [True, True, *[False] * 6]
    assert (genes.known, genes.summed, genes.nameless, genes.key) == (4, 1, 3, "ensembl_id")


def alias_vocabulary():
    from keras_geneformer import GeneVocabulary

    return GeneVocabulary(
        VOCABULARY.genes,
        VOCABULARY.tokens,
        VOCABULARY.medians,
        aliases=dict(zip(VOCABULARY.symbols, VOCABULARY.genes)),
    )


def test_categorical_ids_with_missing_ones():
    genes = map_genes(var(pd.Categorical([GENES[1], None])), VOCABULARY)
    assert genes.positions.tolist() == [1, -1]


def test_missing_column_is_looked_up_where_most_genes_are_known(caplog):
    frame = pd.DataFrame({"feature_name": ["GENE0", "GENE1"]}, index=["a", "b"])
    with caplog.at_level(logging.INFO):
        genes = map_genes(frame, alias_vocabulary())
    assert (genes.key, genes.positions.tolist()) == ("feature_name", [0, 1])
    assert caplog.messages == [
        "adata has no var column 'ensembl_id': genes looked up in feature_name (2 of 2 known)"
    ]
    assert map_genes(frame.set_axis(GENES[:2]), alias_vocabulary()).key == "var_names"


def test_asked_for_columns():
    frame = var(["x"], other=[GENES[2]]).set_axis([GENES[7]])
    assert map_genes(frame, VOCABULARY, "other").positions.tolist() == [2]
    assert map_genes(frame, VOCABULARY, None).positions.tolist() == [7]
    assert map_genes(frame, VOCABULARY, "var_names").positions.tolist() == [7]
    message = "^adata has no var column 'nothing'; it has ensembl_id, other"
    with pytest.raises(ValueError, match=message):
        map_genes(frame, VOCABULARY, "nothing")


@pytest.mark.parametrize(
    ("ids", "cause"),
    [
        (
            ["ENSMUSG00000051951", "ENSMUSG00000089699.2"],
            r"mouse Ensembl ids: use a mouse vocabulary, or take them as their human orthologs "
            r"\(vocabulary\.with_orthologs, --orthologs\)$",
        ),
        (["ENST00000456328.2"], "Ensembl transcript ids: sum them by gene first"),
        (["ENSDARG00000104632"], "Ensembl ids of another species"),
        (["7157", "2597"], r"numbers \(Entrez ids or row numbers\)"),
        ([7157, 2597], r"numbers \(Entrez ids or row numbers\)"),
        (["AAACATACAACCAC-1"], r"cell barcodes: is the matrix transposed\?"),
        (["lung_2_AAACATACAACCAC"], r"cell barcodes: is the matrix transposed\?"),
        (["ENSG00000141510"], "human Ensembl ids this vocabulary does not have"),
    ],
)
def test_no_known_gene_names_the_likely_cause(ids, cause):
    start = (
        rf"^adata: none of the {len(ids)} genes in ensembl_id is in the vocabulary 'tiny' \(they"
    )
    with pytest.raises(
        ValueError, match=rf"{start} start with {ids[0]}.*\. They look like {cause}"
    ):
        map_genes(var(ids), VOCABULARY)


def test_no_known_gene_of_no_known_kind():
    with pytest.raises(
        ValueError, match=r"Is it the wrong column, or another species\? .*symbol\)$"
    ):
        map_genes(var(["Actb", "x1"], symbol=["a", "b"]), VOCABULARY)
    with pytest.raises(
        ValueError, match=r"they are all empty. Give gene_key= another of var's col"
    ):
        map_genes(var(["", np.nan]), VOCABULARY)


def test_mouse_symbols_are_taken_with_a_warning(dictionaries, caplog):
    from keras_geneformer import GeneVocabulary

    human = GeneVocabulary.load(dictionaries / "V2")
    names = pd.Index(["Actb", "Gapdh", "Cd8a", "Xkr4"])
    genes = map_genes(pd.DataFrame(index=names), human)
    assert human.symbols[genes.positions].tolist() == ["ACTB", "GAPDH", "CD8A", "XKR4"]
    assert caplog.messages == [
        "adata: most names in var_names look like mouse symbols (Actb); they are taken as the "
        "human genes of the same name"
    ]


def test_few_known_counts_are_warned_of(caplog):
    adata = synthetic_cells(10)
    adata.var["ensembl_id"] = [*GENES[:3], *["x"] * (len(GENES) - 3)]
    cells = RankValueTokenizer(VOCABULARY)(adata)
    share = adata.X[:, :3].sum() / adata.X.sum()
    assert cells.report.known_share == pytest.approx(share)
    assert cells.report.sources[0].known_genes == 3
    assert caplog.messages == [
        f"adata: only {100 * share:.0f}% of the counts belong to genes of the vocabulary (3 of 120 "
        "genes known); is it of this species, and gene_key the right column?"
    ]


def test_hardly_any_known_counts_are_refused():
    adata = synthetic_cells(10)
    mouse = [f"ENSMUSG{i:011d}" for i in range(len(GENES) - 1)]
    adata.var["ensembl_id"] = [GENES[0], *mouse]
    for known, counts in ((4, 96), (5, 95)):
        adata.X = sp.csr_matrix(np.eye(1, len(GENES)) * known + np.eye(1, len(GENES), 1) * counts)[
            [0] * 10
        ]
        adata.obs["n_counts"] = 100.0
        if known == 5:
            assert len(RankValueTokenizer(VOCABULARY)(adata)) == 10
            continue
        message = (
            "adata: only 4.0% of the counts belong to genes of the vocabulary (1 of 120 genes in "
            "ensembl_id known); expected 5% or more. They look like mouse Ensembl ids: use a mouse "
            "vocabulary, or take them as their human orthologs (vocabulary.with_orthologs, "
            "--orthologs)"
        )
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            RankValueTokenizer(VOCABULARY)(adata)
