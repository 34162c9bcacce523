"""Pictures of what analysis and compression return: drawn from their tables, number by number."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from keras_geneformer import plotting
from keras_geneformer.plotting.style import COLOURS
from keras_geneformer.testing import tiny_vocabulary


def _ticks(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


@pytest.mark.parametrize(
    ("p", "words"),
    [
        ("Goal_end_vs_random_pval", "shift to the goal beyond the null"),
        ("Test_vs_null_pval", "cosine less that of the null"),
    ],
)
def test_statistics_are_drawn_by_their_methods_columns(p, words):
    fdr = "Goal_end_FDR" if p.startswith("Goal") else "Test_vs_null_FDR"
    table = pd.DataFrame(
        {"Gene_name": list("abc"), "effect": [0.1, -0.2, 0.0], "Sig": [1, 1, 0]}
    ).assign(**{p: [0.01, 0.001, 0.5], fdr: 0.04})
    axes = plotting.volcano(table)
    assert axes.get_xlabel() == words
    assert sorted(text.get_text() for text in axes.texts) == ["a", "b"]
    _, up, down = axes.collections
    np.testing.assert_allclose(down.get_offsets(), [[-0.2, 3.0]])
    assert to_hex(up.get_facecolor()[0]) == COLOURS[2].lower()
    bars = plotting.ranked_genes(table)
    assert (bars.get_xlabel(), _ticks(bars.yaxis)) == (words, ["a", "c", "b"])


def test_effects_are_named_and_the_strongest_comes_first(tmp_path):
    vocabulary = tiny_vocabulary()
    genes = vocabulary.genes[:3].tolist()
    effects = pd.DataFrame(
        {
            "cell": ["c", "d"] * 3,
            "gene": np.repeat(genes, 2),
            "token": 2,
            "kind": "delete",
            "measure": "cell_cosine",
            "state": "original",
            "value": [0.9, 0.7, 0.5, 0.5, 1.0, 1.0],
        }
    )
    axes = plotting.perturbation_effects(effects, vocabulary=vocabulary, number=2)
    assert _ticks(axes.yaxis) == vocabulary.symbols[[1, 0]].tolist()
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], [0.5, 0.2])
    assert axes.get_xlabel() == "1 - cosine to the original cell"
    effects.to_parquet(tmp_path / "effects.parquet")
    with pytest.raises(ValueError, match="hold no shift of the cosine towards day5"):
        plotting.perturbation_effects(effects, goal="day5")


def test_gene_sets_show_their_interval_and_what_was_expected():
    table = pd.DataFrame({"set": ["known", "other"], "auroc": [0.7, 0.4], "top": 12})
    table = table.assign(
        auroc_low=[0.6, 0.3], auroc_high=[0.8, 0.5], in_top=[5, 1], expected_in_top=[1.2, 2.0]
    )
    ranks, top = plotting.gene_set_bars(table)
    assert _ticks(ranks.yaxis) == ["known", "other"]
    intervals = [segment[:, 0].tolist() for segment in ranks.collections[0].get_segments()]
    assert intervals == [[0.6, 0.8], [0.3, 0.5]]
    assert [bar.get_width() for bar in top.patches] == [5, 1]
    assert [segment[0, 0] for segment in top.collections[0].get_segments()] == [1.2, 2.0]
    with pytest.raises(ValueError, match=r"\['auroc_low', 'auroc_high', 'in_top', 'expected_in_"):
        plotting.gene_set_bars(table[["set", "auroc", "top"]])


def test_cosines_of_states():
    states = pd.DataFrame([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], index=["a", "b", "c"])
    axes = plotting.cosine_matrix(states.assign(cells=7))
    assert [text.get_text() for text in axes.texts[:3]] == ["1.00", "0.00", "0.71"]
    assert _ticks(axes.yaxis) == ["a", "b", "c"]
    centred = plotting.cosine_matrix(states, centred=True)
    assert float(centred.texts[1].get_text()) < -0.7
    with pytest.raises(ValueError, match="needs 2 to 60 rows, but got 1: choose some"):
        plotting.cosine_matrix(states[:1])


def test_attention_of_a_cell_is_told_as_times_an_even_share():
    weights = np.full((1, 2, 4, 4), 0.25, dtype=np.float32)
    weights[0, 1, 0] = [1, 0, 0, 0]
    axes = plotting.attention_matrix(weights, names=list("wxyz"), head=1, number=3)
    np.testing.assert_allclose(axes.images[0].get_array()[:2], [[4, 0, 0], [1, 1, 1]])
    assert _ticks(axes.xaxis) == list("wxy")
    mean = plotting.attention_matrix(weights)
    np.testing.assert_allclose(mean.images[0].get_array()[0], [2.5, 0.5, 0.5, 0.5])
    with pytest.raises(ValueError, match=r"are \(layers, heads, n, n\), but these are \(2, 4, 4\)"):
        plotting.attention_matrix(weights[0])
    with pytest.raises(ValueError, match="4 tokens are drawn, but there are 1 names"):
        plotting.attention_matrix(weights, names=["w"])


def test_attention_of_genes_is_a_row_a_gene():
    places = [(layer, head, gene) for layer in (1, 2) for head in (1, 2) for gene in "abc"]
    table = pd.DataFrame(places, columns=["layer", "head", "ensembl_id"])
    table = table.assign(symbol=table["ensembl_id"].str.upper(), cells=5)
    table["attention"] = table["ensembl_id"].map({"a": 1.0, "b": 3.0, "c": 2.0})
    axes = plotting.gene_attention(table, number=2)
    assert _ticks(axes.yaxis) == ["B", "C"]
    assert axes.images[0].get_array().tolist() == [[3.0] * 4, [2.0] * 4]
    with pytest.raises(ValueError, match="a gene stands there twice for a head"):
        plotting.gene_attention(pd.concat([table, table]))
    with pytest.raises(ValueError, match="no gene is in 6 cells"):
        plotting.gene_attention(table, min_cells=6)


def test_the_round_trip_of_cell_sentences():
    from keras_geneformer import RankModel
    from keras_geneformer.tokenization.sentences.rank_model import RoundTrip

    correlations = pd.Series([0.7, 0.9, np.nan, 0.8])
    line, cells = plotting.round_trip(RoundTrip(correlations, RankModel(), 0.8))
    assert sum(bar.get_height() for bar in cells.patches) == 3
    assert cells.get_lines()[0].get_xdata()[0] == 0.8
    assert line.get_lines()[0].get_ydata()[0] == pytest.approx(10**2.762 - 1)
    with pytest.raises(ValueError, match="no cell has two different counts"):
        plotting.round_trip(RoundTrip(correlations[2:3], RankModel(), np.nan))


def test_what_pruning_took_and_what_a_student_learnt():
    blocks = pd.DataFrame(
        {"block": ["encoder_block_0", "encoder_block_1"], "heads_before": 4, "heads": [4, 2]}
    ).assign(units_before=16, units=[16, 8])
    result = SimpleNamespace(blocks=blocks, parameters_before=1000, parameters=750)
    heads, units = plotting.pruned_blocks(result)
    assert _ticks(heads.yaxis) == ["block 0", "block 1"]
    assert [text.get_text() for text in units.texts] == ["16 of 16", "8 of 16"]
    assert heads.figure.get_suptitle() == "1,000 weights before, 750 now"
    metrics = {"accuracy": 0.6, "agreement": 0.7, "teacher_accuracy": 0.8}
    student = SimpleNamespace(metrics=metrics, parameters=10, teacher_parameters=20)
    axes = plotting.teacher_and_student(student)
    assert _ticks(axes.yaxis) == ["accuracy"]
    assert {line.get_label(): line.get_xdata()[0] for line in axes.get_lines()} == {
        **{"teacher": 0.8, "student": 0.6}
    }
    student.metrics = {}
    with pytest.raises(ValueError, match="distill with validation cells"):
        plotting.teacher_and_student(student)


def test_labels_and_whether_their_probabilities_hold():
    table = pd.DataFrame({"label": list("BBT"), "prob_B": [0.9, 0.7, 0.2]})
    table = table.assign(prob_T=1 - table["prob_B"], true=list("BTT"))
    axes = plotting.label_confidence(table)
    assert _ticks(axes.yaxis) == ["B (2)", "T (1)"]
    np.testing.assert_allclose(sorted(axes.collections[0].get_offsets()[:, 0]), [0.7, 0.9])
    upper, lower = plotting.reliability_diagram(table)
    assert sum(bar.get_height() for bar in lower.patches) == 3
    assert upper.texts[0].get_text() == "ECE 0.333\n3 cells"
    with pytest.raises(
        ValueError, match="needs a row, a column 'label' and columns 'prob_<class>'"
    ):
        plotting.label_confidence(table[["label"]])
