"""Tests of heads, and lists of genes of a class; no model is run."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from keras_geneformer.analysis.attention.gene_classes import genes_in_cells, read_tested_classes
from keras_geneformer.analysis.attention.head_tests import (
    false_discovery_rate,
    rank_strata,
    rank_sum,
)
from keras_geneformer.analysis.attention.heads import head_attention
from keras_geneformer.analysis.attention.sums import AttentionSums
from keras_geneformer.testing import tiny_vocabulary

VOCABULARY = tiny_vocabulary()


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
def test_the_rank_sum_is_scipy_s(alternative):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 9, size=(6, 80)).astype(float)
    own = rng.random(80) < 0.3
    values[:, own] += np.linspace(0, 3, 6)[:, None]
    found = rank_sum(values, own, alternative=alternative)
    expected = stats.mannwhitneyu(
        values[:, own],
        values[:, ~own],
        axis=1,
        alternative=alternative,
        method="asymptotic",
        use_continuity=False,
    )
    np.testing.assert_allclose(found.auc, expected.statistic / (own.sum() * (~own).sum()))
    np.testing.assert_allclose(found.p, expected.pvalue)


def test_a_difference_in_rank_alone_is_none_among_genes_of_like_rank():
    rng = np.random.default_rng(1)
    ranks = rng.random(2000)
    own = rng.random(2000) < 0.1 + 0.6 * ranks
    values = (ranks * 10 + rng.normal(0, 0.5, 2000))[None]
    plain = rank_sum(values, own)
    like = rank_sum(values, own, rank_strata(ranks, 40))
    assert plain.auc[0] > 0.6
    assert plain.p[0] < 1e-10
    assert abs(like.auc[0] - 0.5) < 0.04
    assert like.p[0] > 0.01
    moved = rank_sum(values + own, own, rank_strata(ranks, 40))
    assert moved.p[0] < 1e-20


def test_strata_are_of_even_size_and_those_of_one_kind_do_not_count():
    assert np.bincount(rank_strata(np.array([0.9, 0.1, 0.5, 0.5]), 2)).tolist() == [2, 2]
    alone = rank_sum(np.array([[1.0, 2.0]]), np.array([True, False]), np.array([0, 1]))
    assert np.isnan([alone.auc[0], alone.p[0]]).all()
    np.testing.assert_allclose(
        false_discovery_rate(np.array([0.01, np.nan, 0.04])), [0.02, np.nan, 0.04]
    )


def test_lists_of_one_class_are_set_against_all_other_genes(tmp_path):
    path = tmp_path / "census.v2.csv"
    path.write_text(
        "ensembl_id,gene_name,is_tf\nENSG90000000003,GENE3,Yes\nENSG1,GENE4,yes\n,GENE5,No\n"
    )
    census = read_tested_classes(path, VOCABULARY)
    assert census.report.taken == {"other genes": 118, "transcription factors": 2}
    path.write_text("gene_name\nGENE3\nGENE4\nno such gene\n")
    plain = read_tested_classes(path, VOCABULARY)
    assert plain.report.taken == {"census": 2, "other genes": 118}
    two = pd.DataFrame({"gene": ["GENE1", "GENE2", "GENE1"], "kind": ["a", "b", "b"]})
    named = read_tested_classes(two.assign(gene=["GENE1", "GENE2", "GENE7"]), VOCABULARY, "kind")
    assert named.report.taken == {"a": 1, "b": 2, "other genes": 117}


@pytest.mark.parametrize(
    ("genes", "column", "message"),
    [
        ({"other genes": ["GENE1"]}, None, "A class of the list is called 'other genes', which "),
        (
            {"tf": []},
            None,
            r"^None of the 0 genes of the class 'tf' is in the vocabulary \(it is em",
        ),
        (
            {"tf": ["X"], "a": ["GENE1"]},
            None,
            r"^None of the 1 genes of the class 'tf' is in the v",
        ),
        ({}, None, r"^Received no class of genes; expected at least one\.$"),
        ({"tf": "GENE1"}, None, "The class 'tf' holds the text 'GENE1'; expected a list of genes"),
        (7, None, "Received a int of gene classes; expected a dict of class names to lists of"),
        (pd.DataFrame({"x": ["a"]}), None, "the table has the columns x; expected 'ensembl_id' o"),
        (pd.DataFrame({"gene": ["a"]}), "kind", "the table has no column 'kind'; it has gene."),
    ],
)
def test_lists_that_cannot_be_used(genes, column, message):
    with pytest.raises(ValueError, match=message):
        read_tested_classes(genes, VOCABULARY, column)


def test_a_class_in_too_few_cells():
    classes = read_tested_classes({"tf": ["GENE1", "GENE2"]}, VOCABULARY)
    counts = np.full(VOCABULARY.size, 9)
    counts[classes.tokens[classes.labels == 1]] = 4
    assert genes_in_cells(classes, counts, 4).report.taken["tf"] == 2
    with pytest.raises(
        ValueError,
        match=r"^None of the 2 genes of the class 'tf' is in as many as 5 of the cells of donor "
        r"'d1': GENE1, GENE2\.$",
    ):
        genes_in_cells(classes, counts, 5, " of donor 'd1'")


def test_a_head_that_attends_to_a_class_is_found():
    rng = np.random.default_rng(0)
    size = VOCABULARY.size
    received = rng.normal(1.0, 0.1, (1, size, 2, 3)) * 10
    own = VOCABULARY.tokens[:12]
    received[0, own, 1, 2] += 10
    sums = AttentionSums(
        layers=(1, 2),
        heads=(3, 3),
        groups=[""],
        cells=np.array([10]),
        gene_cells=np.full((1, size), 10),
        received=received,
        ranks=np.arange(size)[None] * 10.0,
        rank_shares=rng.random((1, size)) * 10,
        parts=np.ones((1, 10, 2, 3)) * 10,
        part_cells=np.full((1, 10), 10),
        described=np.ones((1, 2, 3, 7)) * 20,
    )
    classes = read_tested_classes({"tf": VOCABULARY.genes[:12]}, VOCABULARY)
    found = head_attention(sums, classes, "other genes", "greater", 1, None)
    table = found.heads.set_index(["layer", "head"])
    assert table.index[table["fdr"] < 1e-6].tolist() == [(2, 3)]
    assert table.index[table["fdr_at_like_rank"] < 1e-4].tolist() == [(2, 3)]
    assert table.loc[(2, 3), "auc"] == 1.0
    assert table.loc[(2, 3), "attention"] - table.loc[(2, 3), "other_attention"] > 0.9
    assert found.diversity["entropy"].eq(2.0).all()
    assert found.ranks["attention"].eq(1.0).all()
    assert found.genes.set_index("symbol").loc["GENE3", "gene_class"] == "tf"
    assert (
        "1 of 6 heads (17%) attend more to tf (12 genes) than to other genes (108 genes), FDR < "
        "0.05; among genes of like rank 1 (17%). Largest AUC 1.000, layer 2 head 3"
    ) in found.text()
