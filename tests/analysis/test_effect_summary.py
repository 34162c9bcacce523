import numpy as np
import pandas as pd
import pytest

from keras_geneformer.analysis.perturbation import effect_parts
from keras_geneformer.analysis.perturbation.effect_files import EffectsWriter
from keras_geneformer.analysis.perturbation.effect_summary import effect_summary, strongest_genes


@pytest.fixture
def effects():
    rng = np.random.default_rng(3)
    rows = [
        (f"cell{cell}", gene, 7, "delete", measure, state, around + scale * rng.normal())
        for cell in range(5)
        for gene, scale in (("ENSG1", 1e-6), ("ENSG2", 1e-5), ("ENSG3", 1e-3))
        for measure, state, around in (
            ("cell_cosine", "original", 1 - scale),
            ("state_shift", "5", -scale),
            ("gene_cosine", "ENSG9", 1.0),
        )
        if cell == 0 or gene != "ENSG3"
    ]
    return pd.DataFrame(rows, columns=list(effect_parts.COLUMNS))


def test_means_and_errors_are_those_of_the_values(effects):
    summary = effect_summary(effects).set_index(["measure", "gene"])
    assert "gene_cosine" not in summary.index
    for (measure, gene), values in effects.groupby(["measure", "gene"])["value"]:
        if measure != "gene_cosine":
            row = summary.loc[(measure, gene)]
            assert row["cells"] == len(values)
            np.testing.assert_allclose(row["mean"], values.mean(), rtol=1e-12)
            np.testing.assert_allclose(row["error"], values.sem(), rtol=1e-6)


def test_a_file_is_summed_up_row_group_by_row_group(tmp_path, monkeypatch, effects):
    monkeypatch.setattr(effect_parts, "ROW_GROUP", 4)
    with EffectsWriter(tmp_path / "effects.parquet", {}) as writer:
        writer.add(0, effects)
        path = writer.finish()
    pd.testing.assert_frame_equal(effect_summary(path), effect_summary(effects))


def test_strongest_genes(effects):
    summary = effect_summary(effects)
    genes, words = strongest_genes(summary)
    assert words == "1 - cosine to the original cell"
    # ENSG3 moves its only cell furthest: one cell is no finding where others have more.
    assert genes["gene"].tolist() == ["ENSG2", "ENSG1"]
    genes, words = strongest_genes(summary, "5")
    assert words == "shift of the cosine towards 5"
    assert set(genes["gene"]) == {"ENSG1", "ENSG2"}
    assert genes["effect"].is_monotonic_decreasing
    alone = effect_summary(effects[effects["gene"] == "ENSG3"])
    assert strongest_genes(alone)[0]["gene"].tolist() == ["ENSG3"]
    with pytest.raises(ValueError, match="The effects hold no shift of the cosine towards 9: "):
        strongest_genes(summary, "9")
