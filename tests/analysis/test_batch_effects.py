import sys

import anndata
import numpy as np
import pandas as pd
import pytest

from keras_geneformer.analysis.batch_effects import (
    BATCH_MEASURES,
    LABEL_MEASURES,
    batch_effects,
    principal_components,
)
from keras_geneformer.plotting import measure_table
from keras_geneformer.testing import synthetic_cells


@pytest.fixture(scope="module")
def adata():
    return synthetic_cells(120)


def test_types_apart_and_batches_mixed_score_high_and_the_reverse_low(adata, tmp_path):
    pytest.importorskip("scib_metrics", reason="scib-metrics is not installed (extra scib)")
    rng = np.random.default_rng(0)
    types = pd.factorize(adata.obs["cell_type"])[0]
    donors = pd.factorize(adata.obs["donor"])[0]
    tables = {}
    for name, codes in (("types", types), ("donors", donors)):
        values = 8.0 * np.eye(4)[codes] + rng.normal(size=(120, 4))
        values[0] = np.nan
        embedding = pd.DataFrame(values, adata.obs_names)
        tables[name] = batch_effects(embedding, "donor", "cell_type", obs=adata.obs)
    good, bad = (tables[name].loc["geneformer"] for name in ("types", "donors"))
    assert tables["types"].attrs == {"cells": 119, "left_out": 1}
    assert (good["label_score"] > 0.9, good["batch_score"] > 0.7) == (True, True)
    assert (bad["label_score"] < 0.6, bad["batch_score"] < 0.3) == (True, True)
    assert good[["nmi", "ari", "graph_connectivity"]].tolist() == pytest.approx([1, 1, 1])
    assert good["label_score"] == pytest.approx(good[list(LABEL_MEASURES)].mean())
    total = 0.6 * good["label_score"] + 0.4 * good[list(BATCH_MEASURES)].mean()
    assert good["total"] == pytest.approx(total)
    table = pd.concat(tables.values())
    picture = measure_table(table)
    said = [text.get_text() for text in picture.texts]
    assert said == [f"{value:.3f}" for value in table.T.to_numpy().ravel()]


def test_components_are_those_of_log_normalised_counts(adata):
    found = principal_components(adata.X)
    counts = adata.X.toarray().astype(np.float64)
    logarithms = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    logarithms -= logarithms.mean(axis=0)
    left, scales, _ = np.linalg.svd(logarithms, full_matrices=False)
    assert found.shape == (120, 50)
    np.testing.assert_allclose(np.abs(found), np.abs(left * scales)[:, :50], atol=1e-3)


def test_refuses(adata, monkeypatch):
    with pytest.raises(
        ValueError, match=r"The AnnData has no obsm\['X_geneformer'\]; it has none\."
    ):
        batch_effects(adata, "donor", "cell_type")
    embedding = pd.DataFrame(np.ones((120, 2)), adata.obs_names)
    with pytest.raises(ValueError, match="With an embedding as a DataFrame, obs or counts is need"):
        batch_effects(embedding, "donor", "cell_type")
    with pytest.raises(
        ValueError, match=r"The cells have no column 'tech' in obs; it has cell_type"
    ):
        batch_effects(embedding, "tech", "cell_type", obs=adata.obs)
    one = adata.obs.assign(tech="a")
    with pytest.raises(
        ValueError, match=r"All 120 cells are of one batch \(tech\); expected two or"
    ):
        batch_effects(embedding, "tech", "cell_type", obs=one)
    with pytest.raises(
        ValueError, match=r"There are 60 cells with an embedding, a batch and a type"
    ):
        batch_effects(embedding.iloc[:60], "donor", "cell_type", obs=adata.obs)
    with pytest.raises(
        ValueError, match=r"120 of 120 cells of the embedding are not in counts, fir"
    ):
        batch_effects(embedding, "donor", "cell_type", counts=anndata.AnnData(np.ones((2, 3))))
    with pytest.raises(ValueError, match="1 cells have no counts: leave them out"):
        principal_components(adata.X - adata.X.multiply(np.eye(120, 1)).tocsr())
    monkeypatch.setitem(sys.modules, "scib_metrics", None)
    with pytest.raises(
        ImportError, match=r"needs scib-metrics: pip install 'keras_geneformer\[scib"
    ):
        batch_effects(embedding, "donor", "cell_type", obs=adata.obs)
    with pytest.raises(ValueError, match="needs values between 0 and 1, but this one of 1 x 1 has"):
        measure_table(pd.DataFrame([[7.0]]), "x.png")
