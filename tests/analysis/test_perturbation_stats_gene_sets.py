"""Whether ranked genes match a known set, on made-up tables and a list of dosage-sensitive TFs."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from keras_geneformer.analysis.statistics.gene_set_enrichment import gene_set_enrichment


def ranked(seed=0, genes=400, sets=(40,), lift=0.0, by_detections=0.0):
    """Statistics of genes; those of the sets are detected in most cells."""
    rng = np.random.default_rng(seed)
    detections = rng.integers(10, 1000, genes)
    detections[: sum(sets)] = rng.integers(700, 1000, sum(sets))
    score = rng.normal(size=genes) + by_detections * detections / 1000
    score[: sets[0]] += lift
    return pd.DataFrame(
        {
            "Gene": np.arange(genes) + 2,
            "Gene_name": [f"G{number}" for number in range(genes)],
            "Ensembl_ID": [f"ENSG{number:011d}" for number in range(genes)],
            "Shift_to_goal_end": score,
            "N_Detections": detections,
            "mean_rank": rng.random(genes),
        }
    )


def names(start, stop):
    return [f"G{number}" for number in range(start, stop)]


def test_a_set_of_genes_detected_often_is_not_enriched_by_that():
    table = ranked(by_detections=6.0)
    matched = gene_set_enrichment(table, names(0, 40)).iloc[0]
    anything = gene_set_enrichment(table, names(0, 40), null="all").iloc[0]
    assert anything["auroc"] > 0.7
    assert anything["auroc_p"] == 1 / 2001
    assert anything["hypergeometric_p"] < 1e-3
    assert matched["auroc_p"] > 0.05
    assert matched["top_p"] > 0.05
    assert matched["auroc_low"] < 0.5 < matched["auroc_high"]


def test_a_set_that_truly_stands_on_top_is_found():
    table = ranked(lift=1.5, by_detections=4.0)
    found = gene_set_enrichment(table, [*names(0, 40), "nobody"], top=50).iloc[0]
    assert (found["genes"], found["unknown"], found["top"]) == (40, 1, 50)
    assert found["auroc_low"] > 0.6
    assert found["auroc_p"] == 1 / 2001
    assert found["fold_low"] > 1
    assert found["in_top"] == (table["Shift_to_goal_end"].nlargest(50).index < 40).sum()


def test_without_matching_the_numbers_are_the_textbook_s():
    table = ranked(lift=0.7)
    found = gene_set_enrichment(table, names(0, 40), null="all", top=60).iloc[0]
    score = table["Shift_to_goal_end"]
    larger = stats.mannwhitneyu(score[:40], score[40:]).statistic
    assert found["auroc"] == pytest.approx(larger / 40 / 360)
    one_sided = stats.hypergeom.sf(found["in_top"] - 1, 400, 40, 60)
    assert found["hypergeometric_p"] == pytest.approx(one_sided)
    assert found["expected_in_top"] == pytest.approx(40 * (60 - found["in_top"]) / 360)


def test_low_cosines_rank_first():
    table = ranked(lift=1.5)
    table = table.assign(Test_avg_shift=-table.pop("Shift_to_goal_end"))
    assert gene_set_enrichment(table, names(0, 40))["auroc"].iloc[0] > 0.7
    with pytest.raises(ValueError, match=r"Received by='mean_rank' without ascending; expected T"):
        gene_set_enrichment(table, names(0, 40), by="mean_rank")


def test_classes_of_a_file_are_compared_with_each_other(shared, tmp_path):
    path = shared / "data" / "gene_lists" / "dosage_sensitivity_tfs.csv"
    genes = pd.read_csv(path)
    sensitive = genes["label"] == "dosage_sensitive"
    others = ranked(genes=300)
    table = pd.DataFrame(
        {
            "Gene": range(2, len(genes) + 2),
            "Gene_name": genes["gene_name"],
            "Ensembl_ID": genes["ensembl_id"],
            "Shift_to_goal_end": np.random.default_rng(0).normal(size=len(genes)) + sensitive,
            "N_Detections": 50,
            "mean_rank": 0.5,
        }
    )
    table = pd.concat([table, others.assign(Gene=others["Gene"] + 1000)], ignore_index=True)
    found = gene_set_enrichment(table, path).set_index("set")
    assert list(found.index) == [
        "dosage_insensitive",
        "dosage_sensitive",
        "dosage_insensitive against dosage_sensitive",
    ]
    assert found["genes"].tolist() == [368, 122, 368]
    assert found["auroc"].iloc[2] < 0.3
    assert found.loc["dosage_sensitive", "auroc_p"] < 0.01
    one = tmp_path / "known.csv"
    genes[sensitive].drop(columns="label").to_csv(one, index=False)
    assert gene_set_enrichment(table, one)["set"].tolist() == ["known"]


def test_the_order_of_the_table_does_not_matter():
    table = ranked(lift=0.5).assign(N_Detections=50, mean_rank=0.5)
    by_score = table.sort_values("Shift_to_goal_end", ascending=False)
    one, other = (gene_set_enrichment(each, names(0, 40)) for each in (table, by_score))
    assert one["auroc"].iloc[0] == pytest.approx(other["auroc"].iloc[0])


def test_what_cannot_be_asked_is_said():
    table = ranked()
    with pytest.raises(ValueError, match=r"None of the 1 genes of genes is known \(TP53, …\); exp"):
        gene_set_enrichment(table, ["TP53"])
    with pytest.raises(ValueError, match=r"columns Gene_name, Gene lack Ensembl_ID; expected a ta"):
        gene_set_enrichment(table[["Gene_name", "Gene"]], names(0, 4))
    with pytest.raises(ValueError, match=r"0 of 400 genes have 2000 detections and a Shift_to_goa"):
        gene_set_enrichment(table, names(0, 4), minimum_detections=2000)
    with pytest.raises(ValueError, match=r"top is 400; expected 1 to 399 of 400 genes"):
        gene_set_enrichment(table, names(0, 4), top=400)
    with pytest.raises(
        ValueError, match=r"No group of matched genes holds both genes of genes and"
    ):
        gene_set_enrichment(table, names(0, 400))
