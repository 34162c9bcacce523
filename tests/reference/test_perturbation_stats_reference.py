"""Statistics of perturbation against the published package's InSilicoPerturberStats, every table.

The raw results of the published perturber become our table of effects, and that our statistics.
"""

import json

import numpy as np
import pandas as pd
import pytest

from keras_geneformer.analysis.statistics.perturbation_statistics import perturbation_stats
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary

RUNS = (
    *("goal_state_shift.v2", "goal_state_shift.v1_noalt", "goal_state_shift.over100k"),
    *("goal_state_shift.set1", "goal_state_shift.set3", "vs_null", "mixture_model"),
    *("mixture_model.flipped_bug", "mixture_model.anchor_combos0", "mixture_model.combos1"),
    *("aggregate_data", "aggregate_gene_shifts", "aggregate_gene_shifts.set1"),
    "aggregate_gene_shifts.set2",
    *(
        f"isp.tiny-{run}"
        for version, mode in (("v1", "cell_and_gene"), ("v2", "cls_and_gene"))
        for run in (
            f"{version}.delete_all.mixture_model",
            f"{version}.delete_all.vs_null_layer0",
            f"{version}.delete_all.states.goal_state_shift",
            f"{version}.delete_all.{mode}.aggregate_gene_shifts",
            f"{version}.delete_set1.aggregate_data",
        )
    ),
)


@pytest.fixture(scope="module")
def vocabularies(dictionaries):
    return {name: GeneVocabulary.load(dictionaries / name) for name in ("V1", "V2")}


@pytest.fixture(scope="module")
def runs(reference):
    runs = json.loads((reference / "stats" / "runs.json").read_text())
    return {run["name"]: run for run in runs}


def effects_of(path, vocabulary):
    """Raw results as our table: each list of values over cells, one row a value."""
    raw = pd.read_parquet(path)
    of = dict(zip(vocabulary.tokens.tolist(), vocabulary.genes.tolist()))
    names = ["+".join(of[token] for token in perturbed) for perturbed in raw["perturbed"]]
    tokens = [one[0] if len(one) == 1 else -1 for one in raw["perturbed"]]
    of_gene = raw["affected"].to_numpy() >= 0
    affected = np.full(len(raw), "original", dtype=object)
    affected[of_gene] = vocabulary.genes_of(raw["affected"].to_numpy()[of_gene])
    rows = np.repeat(np.arange(len(raw)), raw["values"].map(len))
    states = raw["state"].to_numpy()
    by_state = states != ""
    number = pd.Series(rows).groupby(rows).cumcount().to_numpy()
    if "cell_index" in raw:
        number = number + raw["cell_index"].to_numpy()[rows]
    return pd.DataFrame(
        {
            "cell": np.char.mod("cell%d", number),
            "gene": np.array(names, dtype=object)[rows],
            "token": np.array(tokens, dtype=np.int64)[rows],
            "kind": "delete",
            "measure": np.select(
                [by_state, of_gene], ["state_shift", "gene_cosine"], "cell_cosine"
            )[rows],
            "state": np.where(by_state, states, affected)[rows],
            "value": np.concatenate(raw["values"].to_numpy()),
        }
    )


def triples_as_effects(path, vocabulary, anchor):
    """The older results of anchor and gene: consecutive values of anchor, gene and both."""
    raw = pd.read_parquet(path)
    token = int(vocabulary.tokens_of([anchor])[0])
    of = dict(zip(vocabulary.tokens.tolist(), vocabulary.genes.tolist()))
    tables = []
    for number, (perturbed, values) in enumerate(zip(raw["perturbed"], raw["values"])):
        gene = of[perturbed[0]]
        cells = [f"{number}-{triple}" for triple in range(len(values) // 3)]
        table = pd.DataFrame({"cell": np.repeat(cells, 3), "value": values})
        table["gene"] = [anchor, gene, f"{anchor}+{gene}"] * len(cells)
        table["token"] = [token, perturbed[0], -1] * len(cells)
        tables.append(table)
    table = pd.concat(tables, ignore_index=True)
    return table.assign(kind="delete", measure="cell_cosine", state="original")


def published_table(run, runs, reference, vocabularies):
    about = runs[run]
    options = about["options"]
    vocabulary = vocabularies[about["model_version"]]
    folder = reference / "stats"
    settings = {"vocabulary": vocabulary, "published": True}
    if "cell_states_to_model" in options:
        states = options["cell_states_to_model"]
        settings["states"] = {"goal": states["goal_state"], "alternatives": states["alt_states"]}
    settings["genes"] = options.get("genes_perturbed")
    settings["anchor"] = options.get("anchor_gene")
    source = about["input"]
    if run == "vs_null":
        settings["null"] = effects_of(folder / "input.vs_null_null.parquet", vocabulary)
        source = "vs_null_test"
    elif "; null: " in source:
        source, null = source.split("; null: ")
        settings["null"] = effects_of(folder / null, vocabulary)
    if run == "mixture_model.combos1":
        path = folder / "input.mixture_combos1.parquet"
        effects = triples_as_effects(path, vocabulary, options["anchor_gene"])
    elif source.startswith(".."):
        effects = effects_of(folder / source, vocabulary)
    else:
        effects = effects_of(folder / f"input.{source}.parquet", vocabulary)
    return perturbation_stats(effects, options["mode"], **settings)


@pytest.mark.parametrize("run", RUNS)
def test_every_table_is_the_published_one(run, runs, reference, vocabularies):
    result = published_table(run, runs, reference, vocabularies)
    check_equal(result, reference / "stats" / f"{run}.csv")


def check_equal(result, path):
    expected = pd.read_csv(path, index_col=0)
    assert list(result.columns) == list(expected.columns)
    assert len(result) == len(expected)
    keys = [name for name in ("Perturbed", "Affected", "Gene", "Cosine_sim") if name in expected]
    if keys[:1] == ["Gene"] and "Cosine_sim" not in expected:
        result, expected = (
            table.rename_axis("place").reset_index() for table in (result, expected)
        )
    if keys:
        # Equal keys of the published sorting may stand in any order.
        result, expected = (table.sort_values(keys, key=_key) for table in (result, expected))
    for name in expected.columns:
        if pd.api.types.is_integer_dtype(expected[name]):
            np.testing.assert_array_equal(result[name], expected[name], err_msg=name)
        elif pd.api.types.is_float_dtype(expected[name]) and expected[name].notna().any():
            rtol = 1e-5 if "pval" in name or "FDR" in name else 1e-6
            np.testing.assert_allclose(result[name], expected[name], rtol=rtol, err_msg=name)
        else:
            assert result[name].astype(str).tolist() == expected[name].astype(str).tolist(), name


def _key(column):
    return column if column.name == "Cosine_sim" else column.astype(str)
