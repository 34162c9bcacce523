import numpy as np
import pandas as pd
import pytest

from keras_geneformer.analysis.perturbation.effect_files import EffectsWriter
from keras_geneformer.analysis.statistics.perturbation_statistics import perturbation_stats
from keras_geneformer.tokenization.cells.dataset import CellDataset

GENES, CELLS, HITS = 60, 8, 6


def effects(scale=1e-2, kind="delete"):
    rng = np.random.default_rng(0)
    gene, cell = np.divmod(np.arange(GENES * CELLS), CELLS)
    moved = np.where(gene < HITS, rng.normal(10, 1, len(gene)), rng.normal(1, 0.3, len(gene)))
    return pd.DataFrame(
        {
            "cell": [f"c{number}" for number in cell],
            "gene": [f"ENSG{number:03d}" for number in gene],
            "token": gene + 5,
            "kind": kind,
            "measure": "cell_cosine",
            "state": "original",
            "value": 1 - scale * moved,
        }
    )


def refused(*arguments, **options):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        perturbation_stats(*arguments, **options)
    return str(error.value)


@pytest.mark.parametrize("method", ["vs_null", "mixture", "aggregate"])
def test_rows_that_are_there_twice(method):
    table = effects()
    assert refused(pd.concat([table, table.iloc[3:5]]), method).startswith(
        "effects: 2 rows measure again what another row does, ENSG000 in the cell 'c3' for one: a "
        "table was joined twice, or two cells have one name."
    )


def test_a_null_and_a_second_measurement_of_another_kind():
    other = effects(kind="overexpress")
    for name in ("null", "noise"):
        assert refused(effects(), "vs_null", **{name: other}) == (
            f"{name}: it is of the kind overexpress, and the effects of delete; expected the same "
            "perturbation."
        )


def test_a_null_of_another_layer(tmp_path):
    paths = []
    for layer in (-2, -1):
        settings = {"layer": layer, "pooling": "mean"}
        with EffectsWriter(tmp_path / f"{layer}.parquet", settings) as writer:
            writer.add(0, effects())
            paths.append(writer.finish())
    message = refused(paths[0], "vs_null", null=paths[1])
    assert (
        message
        == "null: it was measured with layer=-1, and the effects with -2; expected the same."
    )
    assert len(perturbation_stats(paths[0], "vs_null", null=paths[0])) == GENES


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (
            "vs_null",
            {"null": effects(), "noise": effects()},
            "Received noise with method vs_null with a table as null, which has no use for it; it "
            "takes null, genes, donor_key, test.",
        ),
        (
            "mixture",
            {"noise": effects(), "test": "rank-sum"},
            "Received test, noise with method mixture, which has no use for them; it takes genes.",
        ),
        (
            "gene_shifts",
            {"null": "all"},
            "Received null with method gene_shifts, which has no use for it; it takes genes.",
        ),
        (
            "mixture",
            {"genes": ["ENSG001"], "published": True},
            "Received genes with the published method mixture, which has no use for it; it takes "
            "none of these.",
        ),
    ],
)
def test_what_a_method_has_no_use_for(method, options, message):
    assert refused(effects(), method, **options) == message


def test_cells_of_the_same_names_that_are_others():
    names = pd.DataFrame(index=[f"c{number}" for number in range(CELLS)])
    cells = CellDataset([np.arange(5, 5 + GENES)] * CELLS, names)
    assert len(perturbation_stats(effects(), "vs_null", cells=cells)) == GENES
    others = CellDataset([np.arange(5, 4 + GENES)] * CELLS, names)
    assert refused(effects(), "vs_null", cells=others) == (
        "cells: the cell 'c0' does not hold ENSG059, which was perturbed in it: expected the cells "
        "that were perturbed, not others of the same names."
    )
    inserted = effects(kind="overexpress")
    assert len(perturbation_stats(inserted, "vs_null", cells=others)) == GENES


@pytest.mark.parametrize("scale", [1e-2, 1e-7])
def test_a_mixture_is_the_same_however_small_the_effects(scale):
    table = perturbation_stats(effects(scale), "mixture")
    assert sorted(table["Ensembl_ID"][table["Impact_component"] == 1]) == [
        f"ENSG{number:03d}" for number in range(HITS)
    ]
    whole = perturbation_stats(effects(), "mixture").set_index("Ensembl_ID")
    table = table.set_index("Ensembl_ID").loc[whole.index]
    for name in ("Impact_component_percent", "Impact_probability"):
        np.testing.assert_allclose(table[name], whole[name], atol=1e-3)


def test_no_mixture_of_equal_genes():
    assert refused(effects().assign(value=0.5), "mixture").startswith(
        "effects: the means of all 60 genes are the same, 0.5, so that there are no two components"
    )


def test_genes_asked_for_that_were_not_perturbed():
    with pytest.warns(UserWarning, match="1 of the 2 genes asked for were not perturbed.*: NOPE"):
        table = perturbation_stats(effects(), "vs_null", genes=["ENSG001", "NOPE"])
    assert table["Ensembl_ID"].tolist() == ["ENSG001"]
    assert refused(effects(), "vs_null", genes=[]).startswith("Received an empty list of genes;")


def test_effects_that_were_screened():
    scores = effects().assign(measure="screen", state="top")
    with pytest.warns(UserWarning, match=r"^effects: they were screened, so that a gene's values"):
        table = perturbation_stats(pd.concat([effects(), scores]), "vs_null")
    assert len(table) == GENES


def test_goals_that_are_no_states():
    table = effects().assign(measure="state_shift", state="x")
    assert refused(table, states="x") == (
        "Received states='x'; expected {'goal': ..., 'alternatives': [...]}."
    )
    assert "towards the state 'other';" in refused(
        table, states={"goal": "x", "alternatives": "other"}
    )
