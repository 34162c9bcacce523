"""The study of states, in small. On one backend: nothing here is of a backend's own."""

import json

import numpy as np
import pandas as pd
import pytest

import keras_geneformer as kg
from keras_geneformer.analysis.perturbation.states import States
from keras_geneformer.studies.differentiation import (
    DifferentiationRun,
    detected_genes,
    figures,
    towards_goal,
    verdict,
)
from keras_geneformer.study_report import check_study_directory, write_study_report
from keras_geneformer.testing import (
    synthetic_cells,
    synthetic_dataset,
    tiny_backbone,
    tiny_vocabulary,
)

STATES = {"start": "B cell", "goal": "T cell", "alternatives": ["monocyte"]}


def table(**columns):
    rows = {
        "Gene_name": ["A", "B", "C", "D"],
        "Shift_to_goal_end": [0.02, 0.05, 0.01, -0.01],
        "Shift_to_alt_end_9": [0.03, 0.01, 0.0, 0.0],
        "Goal_end_FDR": [0.01, 0.02, 0.5, 0.001],
        "Sig": [1, 1, 0, 1],
        "effect": [0.01, 0.04, 0.01, 0.03],
        "null_p": [0.01, 0.02, 0.01, 0.01],
    }
    return pd.DataFrame(rows | columns)


@pytest.fixture
def run():
    names = ["2", "5", "9"]
    cosines = pd.DataFrame(np.full((3, 3), 0.9), index=names, columns=names)
    states = States("day", "2", "5", ("9",))
    nothing = table(Sig=[0] * 4, Goal_end_FDR=[0.9, 0.8, 0.7, np.nan])
    return DifferentiationRun(states, cosines, {"delete": table(), "overexpress": nothing}, {}, 7)


def test_findings_are_sure_further_than_peers_and_towards_the_goal(run):
    assert towards_goal(table())["Gene_name"].tolist() == ["A", "B"]
    assert towards_goal(table(null_p=[0.2, 0.01, 0, 0]))["Gene_name"].tolist() == ["B"]
    assert towards_goal(table(null_p=[np.nan] * 4))["Gene_name"].tolist() == ["A", "B"]
    assert figures(run)["delete: genes towards the goal"] == 2


def test_the_verdict_is_in_words(run):
    assert verdict(run) == [
        "To this model, 2 and 5 are 0.1 apart (1 - the cosine between their mean embeddings).",
        "Of 4 genes deleted, 2 move 2 cells towards 5 further than genes at like ranks do: B, A. "
        "The largest mean shift is 0.05, 50.0% of the way.",
        "Of these, 1 moves them further towards 5 than towards 9.",
        "Of 3 genes overexpressed, none moves 2 cells towards 5 further than genes at like ranks "
        "do. The largest mean shift is 0.05, 50.0% of the way, of B: no more than chance makes of "
        "so many genes in so few cells.",
    ]


def test_genes_that_cells_have():
    cells, vocabulary = synthetic_dataset(10), tiny_vocabulary()
    genes, found = detected_genes(cells, vocabulary, 0.5, 1000)
    counts = pd.Series(np.concatenate(list(cells))).value_counts()
    assert len(genes) == found == (counts >= 5).sum()
    assert counts[vocabulary.tokens_of(genes)].is_monotonic_decreasing
    few = kg.CellDataset([[5], [6], [7]])
    with pytest.raises(ValueError, match="no gene is in 50% of the 3 cells: choose some"):
        detected_genes(few, vocabulary, 0.5, 10)


def test_from_counts_to_the_report(tmp_path):
    output = tmp_path / "study"
    result = kg.run_study(
        "differentiation",
        synthetic_cells(24),
        output=output,
        model=tiny_backbone(num_layers=1),
        vocabulary=tiny_vocabulary(),
        genes=[f"GENE{number}" for number in range(12)],
        cells=6,
        kinds=["overexpress"],
        progress=False,
        **STATES,
    )
    check_study_directory(output)
    page = write_study_report(result, output).read_text()
    assert "shows the mechanics only: it has 24 cells" in page
    assert "few of them held out" not in page
    assert "<h2>What came out, in words</h2>" in page
    assert "6 of the 8 B cell cells were perturbed." in result.notes
    effects = kg.read_effects(output / "effects" / "overexpress.parquet", measure="state_shift")
    assert set(effects["state"]) == {"B cell", "T cell", "monocyte"}
    # A gene of a list is put where it is not, and passed over only where it is in front.
    assert effects["cell"].nunique() == 6
    assert len(effects) >= 3 * 6 * 11
    statistics = pd.read_csv(output / "overexpress.csv")
    assert {"Gene_name", "Shift_to_goal_end", "Shift_to_alt_end_monocyte"} <= set(statistics)
    about = json.loads((output / "study.json").read_text())
    assert about["options"]["start"] == "B cell"
    assert about["figures"]["overexpress: genes tested"] <= 12


@pytest.mark.parametrize(
    ("study", "options", "message"),
    [
        ("differentiation", {"start": "B cell"}, "differentiation needs start and goal, two valu"),
        ("differentiation", STATES | {"epochs": 3}, "trains nothing, and has no use for epochs"),
        ("differentiation", STATES | {"goal": "NK"}, "No cell is in the state 'NK': obs"),
        ("exposure", STATES, "exposure has no states; differentiation has"),
    ],
)
def test_what_is_asked_wrongly_is_said(study, options, message, tmp_path):
    model, output = tiny_backbone(num_layers=1), tmp_path / "o"
    options = {"label_key": "cell_type"} | options
    with pytest.raises(ValueError, match=message):
        kg.run_study(study, synthetic_dataset(9), output=output, model=model, **options)
    assert not output.exists()
