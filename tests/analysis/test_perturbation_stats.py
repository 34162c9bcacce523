"""Statistics of perturbation on made-up effects whose truth is known."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from keras_geneformer.analysis.statistics import aggregates, effect_values
from keras_geneformer.analysis.statistics.mixed_model import random_intercepts
from keras_geneformer.analysis.statistics.perturbation_statistics import perturbation_stats
from keras_geneformer.analysis.statistics.rank_sums import rank_sum_p, smaller_in_group
from keras_geneformer.testing import tiny_vocabulary
from keras_geneformer.tokenization.cells.dataset import CellDataset

GOAL = {"goal": "goal"}


def made_up(seed=0, genes=200, cells=90, hits=0, size=0.0, slope=0.0, donor_sd=0.0):
    """Shifts of 1e-5, larger for genes in front (`slope`), and for the first genes (`size`)."""
    rng = np.random.default_rng(seed)
    level, share = rng.normal(size=genes), rng.uniform(0.2, 0.9, genes)
    own = rng.normal(0, donor_sd, (6, genes))
    own[:, :hits] += size
    tables = []
    for cell in range(cells):
        tokens = np.flatnonzero(rng.random(genes) < share)
        tokens = tokens[np.argsort(-level[tokens] + rng.normal(0, 0.3, len(tokens)))]
        front = 1 - (np.arange(len(tokens)) + 0.5) / len(tokens)
        value = rng.normal(size=len(tokens)) + own[cell % 6, tokens] + slope * front**2
        tables.append(pd.DataFrame({"cell": f"c{cell}", "token": tokens + 2, "value": value / 1e5}))
    table = pd.concat(tables, ignore_index=True)
    table["gene"] = "ENSG" + table["token"].astype(str).str.zfill(11)
    return table.assign(kind="delete", measure="state_shift", state="goal")


def obs(cells=90):
    donors = np.arange(cells) % 6
    return pd.DataFrame({"donor": donors, "one": 1}, index=[f"c{cell}" for cell in range(cells)])


def found(table):
    return set(table.loc[table["Sig"] == 1, "Gene"] - 2)


def test_genes_in_front_are_no_hits_because_they_stand_in_front():
    effects = made_up(slope=3.0)
    assert len(found(perturbation_stats(effects, states=GOAL, published=True))) > 50
    assert len(found(perturbation_stats(effects, states=GOAL, null="all"))) > 50
    assert len(found(perturbation_stats(effects, states=GOAL))) <= 2


def test_planted_genes_are_found_with_their_size():
    table = perturbation_stats(made_up(slope=3.0, hits=10, size=2.0), states=GOAL)
    assert set(range(10)) <= found(table)
    assert len(found(table)) <= 12
    planted = table[table["Gene"] < 12]
    assert (planted["effect_low"] < 2e-5).sum() >= 8
    assert (planted["effect_high"] > 2e-5).sum() >= 8
    np.testing.assert_allclose(planted["cohens_d"].mean(), 2.0, atol=0.25)
    np.testing.assert_allclose(table["effect"] + table["null_mean"], table["Shift_to_goal_end"])
    assert (planted["null_p"] < 0.01).all()


def test_cells_are_no_independent_sample_of_donors():
    effects = made_up(donor_sd=1.0)
    assert len(found(perturbation_stats(effects, states=GOAL))) > 30
    for test in ("donor-means", "mixed-model"):
        table = perturbation_stats(effects, states=GOAL, obs=obs(), donor_key="donor", test=test)
        assert len(found(table)) <= 2
        assert table["donors"].max() == 6
    planted = made_up(donor_sd=0.1, hits=5, size=2.0)
    table = perturbation_stats(planted, states=GOAL, obs=obs(), donor_key="donor")
    assert set(range(5)) <= found(table)
    ranks = perturbation_stats(
        planted, states=GOAL, obs=obs(), donor_key="donor", test="donor-ranks"
    )
    assert ranks["Goal_end_vs_random_pval"].min() == pytest.approx(2 / 2**6)


def test_the_mixed_model_is_that_of_statsmodels():
    mixed = pytest.importorskip("statsmodels.regression.mixed_linear_model")
    rng = np.random.default_rng(4)
    donor = rng.integers(5, size=60)
    for spread in (2.0, 0.5):
        value = 0.5 + rng.normal(0, spread, 5)[donor] + rng.normal(size=60)
        fitted = mixed.MixedLM(value, np.ones(60), donor).fit()
        count = np.bincount(donor).astype(float)
        mean = np.bincount(donor, value) / count
        squares = ((value - mean[donor]) ** 2).sum()
        ours = random_intercepts(mean[None], count[None], np.array([squares]))
        np.testing.assert_allclose(ours[0], fitted.fe_params[0], rtol=1e-4)
        np.testing.assert_allclose(ours[1], fitted.bse_fe[0], rtol=1e-3)
        t = abs(fitted.fe_params[0] / fitted.bse_fe[0])
        np.testing.assert_allclose(ours[2], 2 * stats.t.sf(t, 4), rtol=5e-3)


def test_rank_sums_are_those_of_scipy():
    rng = np.random.default_rng(1)
    group = rng.integers(3, size=80)
    value = rng.integers(12, size=80).astype(float)
    counted = rng.random(80) < 0.6
    smaller = smaller_in_group(group, value, counted)
    for number in range(3):
        one = value[(group == number) & ~counted]
        other = value[(group == number) & counted]
        larger = smaller[(group == number) & ~counted].sum()
        expected = stats.ranksums(one, other).pvalue
        p = rank_sum_p(larger, np.array(len(one)), np.array(len(other)))
        np.testing.assert_allclose(p, expected)


def test_ranks_come_from_the_cells_where_few_genes_were_perturbed():
    effects = made_up(slope=3.0, cells=30)
    ids = [rows["token"].to_numpy() for _, rows in effects.groupby("cell", sort=False)]
    cells = CellDataset(ids, obs(30))
    few = effects[effects["token"] % 2 == 0]
    whole = perturbation_stats(effects, states=GOAL).set_index("Gene")["mean_rank"]
    part = perturbation_stats(few, states=GOAL, cells=cells).set_index("Gene")["mean_rank"]
    np.testing.assert_allclose(part, whole[part.index])


def test_only_the_genes_asked_for_are_reported_and_counted():
    effects = made_up(hits=10, size=0.9, slope=1.0)
    everything = perturbation_stats(effects, states=GOAL).set_index("Ensembl_ID")
    genes = [f"ENSG{token:011d}" for token in (2, 3, 190)]
    some = perturbation_stats(effects, states=GOAL, genes=genes).set_index("Ensembl_ID")
    assert sorted(some.index) == genes
    p = some["Goal_end_vs_random_pval"]
    np.testing.assert_allclose(p, everything.loc[p.index, "Goal_end_vs_random_pval"])
    np.testing.assert_allclose(some["Goal_end_FDR"], stats.false_discovery_control(p))
    one = effects[effects["gene"] == genes[0]]
    alone = perturbation_stats(one, states=GOAL)
    expected = stats.wilcoxon(one["value"], method="approx", correction=False).pvalue
    np.testing.assert_allclose(alone["Goal_end_vs_random_pval"], expected)


def test_effects_within_the_noise_are_not_significant():
    effects = made_up(hits=10, size=2.0)
    rng = np.random.default_rng(0)
    kept = {}
    for noise in (1e-9, 3e-4):
        again = effects.assign(value=effects["value"] + rng.normal(0, noise, len(effects)))
        table = perturbation_stats(effects, states=GOAL, noise=again)
        np.testing.assert_allclose(
            table["noise_floor"], 2 * noise / np.sqrt(table["N_Detections"]), rtol=0.25
        )
        kept[noise] = found(table)
    assert len(kept[1e-9]) >= 10
    assert not kept[3e-4]


def test_rare_genes_are_not_tested():
    effects = made_up(cells=8)
    table = perturbation_stats(effects, states=GOAL, minimum_detections=6)
    rare = table["N_Detections"] < 6
    assert rare.any()
    np.testing.assert_array_equal(table["Goal_end_FDR"].isna(), rare)
    assert rare.is_monotonic_increasing


def cosines(values, genes=("A", "B"), measure="cell_cosine", state="original"):
    """Effects of genes, a list of values over cells each."""
    rows = [
        {"cell": f"c{cell}", "gene": gene, "token": -1 if "+" in gene else ord(gene[0]), "value": v}
        for gene, own in zip(genes, values)
        for cell, v in enumerate(own)
    ]
    return pd.DataFrame(rows).assign(kind="delete", measure=measure, state=state)


def test_impact_is_the_component_of_low_similarity_whatever_its_number():
    for seed in range(6):
        rng = np.random.default_rng(seed)
        low, high = rng.normal(0.95, 0.003, (9, 8)), rng.normal(0.995, 0.001, (40, 8))
        names = [chr(number) for number in range(200, 249)]
        table = perturbation_stats(cosines([*low, *high], names), "mixture")
        assert table["Impact_component"].sum() == 9
        assert set(table["Gene"][:9]) == set(range(200, 209))
        assert (table["Impact_probability"].diff().dropna() <= 1e-12).all()
        assert (table["N_Detections"] == 8).all()


def test_pairs_are_compared_with_the_sum_of_both():
    rng = np.random.default_rng(0)
    one, other = 1 - rng.random((2, 12)) / 10
    both = one + other - 1 - 0.01 + rng.normal(0, 1e-4, 12)
    third = 1 - rng.random(12) / 10
    genes = ("A", "B", "C", "A+B", "C+A")
    effects = cosines([one, other, third, both, one + third - 1], genes)
    table = perturbation_stats(effects, "mixture", anchor="A").set_index("Ensembl_ID")
    assert sorted(table.index) == ["B", "C"]
    np.testing.assert_allclose(
        table["Combo_minus_sum_shift"].loc[["B", "C"]], [-0.01, 0], atol=1e-4
    )
    assert table["N_Detections"].tolist() == [12, 12]
    assert table["Sig"].loc[["B", "C"]].tolist() == [1, 0]


def test_the_same_genes_in_other_cells_are_a_null():
    rng = np.random.default_rng(2)
    means = np.array([0.99, 0.99, 0.98])
    here = cosines(means[:, None] - rng.random((3, 20)) / 1000, "ABC")
    there = cosines(0.99 - rng.random((2, 15)) / 1000, "AC")
    table = perturbation_stats(here, "vs_null", null=there).set_index("Ensembl_ID")
    values = [frame.loc[frame["gene"] == "C", "value"] for frame in (here, there)]
    welch = stats.ttest_ind(*values, equal_var=False)
    interval = welch.confidence_interval()
    assert table.loc["C", "Test_vs_null_pval"] == pytest.approx(stats.ranksums(*values).pvalue)
    assert table.loc["C", "effect_low"] == pytest.approx(interval.low)
    assert table.loc["C", "effect_high"] == pytest.approx(interval.high)
    assert table.loc["C", "rank_biserial"] == -1
    assert table["Sig"].loc[["A", "B", "C"]].tolist() == [0, 0, 1]
    assert np.isnan(table.loc["B", "Test_vs_null_pval"])
    donors = perturbation_stats(here, "vs_null", null=there, obs=obs(), donor_key="donor")
    assert set(donors["donors"]) == {6}


def test_several_genes_are_put_together():
    table = perturbation_stats(cosines([[0.9, 0.8], [0.7]], ("A+B", "C")), "aggregate")
    assert table["Cosine_sim"].tolist() == [0.9, 0.8, 0.7]
    assert table["Gene"].tolist() == ["A+B", "A+B", "C"]


def test_gene_shifts_of_a_file_are_summed_piece_by_piece(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    shape = pd.MultiIndex.from_product(
        [range(6), list("ABC"), list("ABCDE")], names=["cell", "gene", "state"]
    )
    effects = shape.to_frame(index=False).query("gene != state")
    effects["cell"] = "c" + effects["cell"].astype(str)
    effects["token"] = effects["gene"].map(ord)
    effects["value"] = 1 - rng.random(len(effects)) / 1e4
    effects = effects.assign(kind="delete", measure="gene_cosine")
    expected = effects.groupby(["gene", "state"])["value"].agg(["mean", "std", "size"])
    monkeypatch.setattr(effect_values, "_ROWS_A_PIECE", 7)
    monkeypatch.setattr(aggregates, "_SUMMARISED", 5)
    path = tmp_path / "effects.parquet"
    effects.to_parquet(path)
    table = perturbation_stats(path, "gene_shifts").set_index(["Ensembl_ID", "Affected_Ensembl_ID"])
    table = table.loc[expected.index]
    np.testing.assert_allclose(table["Cosine_sim_mean"], expected["mean"], rtol=1e-12)
    deviation = expected["std"] * np.sqrt(5 / 6)
    np.testing.assert_allclose(table["Cosine_sim_stdev"], deviation, rtol=1e-6)
    assert (table["N_Detections"] == 6).all()
    only = perturbation_stats(path, "gene_shifts", genes=["B"])
    assert set(only["Ensembl_ID"]) == {"B"}


def test_a_file_says_its_states(tmp_path):
    effects = made_up(cells=20)
    effects = effects[["cell", "gene", "token", "kind", "measure", "state", "value"]]
    table = pa.Table.from_pandas(effects, preserve_index=False)
    about = {"states": {"obs_key": "x", "start": "s", "goal": "goal", "alternatives": []}}
    path = tmp_path / "effects.parquet"
    metadata = {"keras_geneformer": json.dumps({**about, "shard": None})}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    pd.testing.assert_frame_equal(
        perturbation_stats(path), perturbation_stats(effects, states=GOAL), check_dtype=False
    )
    metadata = {"keras_geneformer": json.dumps({**about, "shard": [1, 3]})}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    with pytest.warns(UserWarning, match=r"is shard 1 of 3: what is said of it holds for its cell"):
        perturbation_stats(path)


TABLE = cosines([[0.9, 0.8], [0.7, 0.6]])
SHIFTS = TABLE.assign(measure="state_shift", state="goal")


@pytest.mark.parametrize(
    ("effects", "options", "message"),
    [
        (
            TABLE.drop(columns=["token", "kind"]),
            {},
            "effects: the columns token, kind are missing; the table has cell, gene, value, measure"
            ", state. Expected what perturb gives.",
        ),
        (
            TABLE,
            {},
            "effects: there is no 'state_shift', which this needs; the measures there are: "
            "cell_cosine. perturb(..., states={...}) gives it.",
        ),
        (
            TABLE,
            {"method": "gene_shifts"},
            "effects: there is no 'gene_cosine', which this needs; the measures there are: "
            "cell_cosine. perturb(..., affected_genes=True) gives it.",
        ),
        (
            SHIFTS,
            {},
            "Received no goal state; expected states={'goal': ..., 'alternatives': [...]}. The "
            "effects hold the states: goal.",
        ),
        (
            SHIFTS,
            {"states": {"goal": "goal", "alternatives": ["other"]}},
            "effects: nothing was measured towards the state 'other'; the states there are: goal.",
        ),
        (
            TABLE,
            {"method": "vs_null", "null": cosines([[0.9]], "C")},
            "null: it has none of the 2 genes of the effects (A, B, …); it has C, …: expected the "
            "same genes, perturbed in other cells.",
        ),
        (
            TABLE,
            {"method": "vs_null", "published": True},
            "Received no null; the published vs_null compares with a table of effects in other "
            "cells: expected null=... (published=False compares with matched genes).",
        ),
        (
            TABLE,
            {"method": "median"},
            "Received method='median'; the methods are: goal_state_shift, vs_null, mixture, "
            "aggregate, gene_shifts.",
        ),
        (
            TABLE,
            {"method": "vs_null", "test": "donor-means"},
            "Received test='donor-means' and donor_key=None; expected a column of obs with "
            "donor-means, donor-ranks and mixed-model, and none with rank-sum.",
        ),
        (
            TABLE,
            {"method": "vs_null", "donor_key": "donor"},
            "Received donor_key='donor' without obs; expected cells= (the CellDataset that was "
            "perturbed) or obs= (its obs).",
        ),
        (
            TABLE,
            {"method": "vs_null", "donor_key": "patient", "obs": obs()},
            "obs has no column 'patient' for donor_key; its columns are: donor, one.",
        ),
        (
            TABLE,
            {"method": "vs_null", "donor_key": "one", "obs": obs()},
            "All 2 cells of the effects are of one 'one'; a test between donors needs two or more. "
            "Use test='rank-sum' without donor_key.",
        ),
        (
            TABLE,
            {"method": "vs_null", "donor_key": "donor", "obs": obs().iloc[:1]},
            "1 of 2 cells of the effects are not in obs, 'c1' for one: expected the cells that "
            "were perturbed.",
        ),
        (
            pd.concat([TABLE, TABLE.assign(kind="overexpress")]),
            {"method": "mixture"},
            "effects: the kinds delete, overexpress are mixed, and the effect of one says nothing "
            "of the other. Give kind=...",
        ),
        (
            TABLE.assign(value=np.nan),
            {"method": "mixture"},
            "effects: 4 of 4 values are not finite; expected a number in every row. Run these cells"
            " again, or leave the rows out.",
        ),
        (
            TABLE,
            {"method": "aggregate", "genes": ["C"]},
            "effects: none of C was perturbed, alone or together; the genes there are: A, B, …",
        ),
        (
            TABLE,
            {"method": "mixture", "anchor": "A"},
            "effects: there are no affected genes of A. perturb(..., affected_genes=True) gives "
            "them.",
        ),
        (
            TABLE,
            {"method": "vs_null", "noise": cosines([[0.9]], "C")},
            "noise: no gene was measured in a cell of the effects too; expected the same genes in "
            "the same cells, towards the same states, measured again.",
        ),
        (
            TABLE.assign(token=[3, 3, 4, 4]),
            {"method": "mixture", "vocabulary": tiny_vocabulary()},
            "effects: token 3 is A, and {gene} in the vocabulary given: expected the vocabulary "
            "that the cells were tokenized with.",
        ),
    ],
)
def test_what_cannot_be_asked_is_said(effects, options, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        perturbation_stats(effects, **options)
    assert str(error.value) == message.replace("{gene}", str(tiny_vocabulary().genes_of([3])[0]))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no effects at .*effects.parquet; expected a file"
    ):
        perturbation_stats(tmp_path / "effects.parquet")
