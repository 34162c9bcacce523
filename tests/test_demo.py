"""The demonstration: its cells, its words, and a run of it in small."""

import anndata
import numpy as np
import pandas as pd
import pytest

from keras_geneformer.demo.comparison import (
    logistic_regression,
    pretraining_verdict,
    score_table,
    verdict,
)
from keras_geneformer.examples.pbmc68k import LABEL_KEY, pbmc68k_counts


@pytest.fixture(scope="module")
def adata():
    return pbmc68k_counts()


def test_recovered_counts_are_the_published_ones(adata, counts):
    published = anndata.read_h5ad(counts / "pbmc68k_reduced.h5ad")
    np.testing.assert_array_equal(adata.X.toarray(), published.X.toarray())
    assert adata.var_names.tolist() == published.var["symbol"].tolist()
    assert adata.obs["n_counts"].tolist() == published.obs["n_counts"].tolist()
    assert adata.obs[LABEL_KEY].astype(str).tolist() == published.obs["cell_type"].tolist()


def test_another_file_is_not_taken_for_these_counts(monkeypatch, tmp_path, adata):
    other = adata.copy()
    other.raw = other  # counts where logarithms are expected
    other.write_h5ad(tmp_path / "other.h5ad")
    monkeypatch.setattr(
        "keras_geneformer.examples.pbmc68k._bundled_file", lambda: tmp_path / "other.h5ad"
    )
    with pytest.raises(ValueError, match="its values are no multiples of 10,000 / n_counts"):
        pbmc68k_counts()


def test_missing_scanpy_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "scanpy", None)
    with pytest.raises(ImportError, match=r"pip install 'keras_geneformer\[demo\]'"):
        pbmc68k_counts()


TRUE = np.array(["a"] * 60 + ["b"] * 40)
HALF = np.array(["a"] * 100)
ALL = TRUE.copy()
NEARLY = np.where(np.arange(100) == 0, "b", TRUE)


def test_the_winner_is_whoever_is_right_most_often():
    table = score_table(TRUE, {"geneformer": HALF, "regression": ALL})
    assert table["method"].tolist() == ["regression", "geneformer"]
    assert table["right"].tolist() == [100, 60]
    assert table["low"][1] < 0.6 < table["high"][1]
    assert verdict(TRUE, {"geneformer": HALF, "regression": ALL}).startswith(
        "Regression labels the most test cells rightly, 100 of 100: 40 more than geneformer. "
        "That is a clear lead"
    )
    assert verdict(TRUE, {"geneformer": ALL, "regression": HALF}).startswith("Geneformer labels")


def test_a_narrow_lead_is_called_narrow_and_a_tie_a_tie():
    assert "too small a lead to rely on" in verdict(TRUE, {"one": NEARLY, "other": ALL})
    assert "label as many of the 100 test cells rightly (60)" in (
        verdict(TRUE, {"one": HALF, "other": HALF})
    )


def test_pretraining_is_said_to_help_only_where_it_does():
    assert pretraining_verdict(TRUE, ALL, HALF).startswith("Pretraining helps, clearly")
    assert "not beyond doubt" in pretraining_verdict(TRUE, ALL, NEARLY)
    assert "no difference" in pretraining_verdict(TRUE, HALF, HALF)
    assert "does not help here: from random weights the same model labels 40 more" in (
        pretraining_verdict(TRUE, HALF, ALL)
    )


def test_logistic_regression_sees_only_training_labels(adata):
    labels = adata.obs[LABEL_KEY].astype(str).to_numpy(dtype=str)
    training, test = np.arange(0, 700, 2), np.arange(1, 700, 2)
    predicted = logistic_regression(adata, labels, training, test)
    hidden = labels.copy()
    hidden[test] = "unknown"
    np.testing.assert_array_equal(predicted, logistic_regression(adata, hidden, training, test))
    assert (predicted == labels[test]).mean() > 0.7


@pytest.mark.tensors
def test_the_whole_way_in_small(tmp_path, monkeypatch, capsys):
    import keras_geneformer as kg
    from keras_geneformer import demo, plotting

    monkeypatch.setattr(demo, "_LONGEST", 16)
    monkeypatch.setattr(demo, "_PRETRAINING", {"epochs": 1, "batch_size": 64, "mask_rate": 0.2})
    monkeypatch.setattr(demo, "_FINETUNING", {"epochs": 1, "batch_size": 64, "pooling": "mean"})
    # UMAP takes half a minute to compile, and is tested with the other pictures.
    monkeypatch.setattr(
        plotting,
        "umap_coordinates",
        lambda frame, seed: frame.iloc[:, :2].set_axis(["umap1", "umap2"], axis=1),
    )
    output = tmp_path / "report"
    result = demo.run_demo(output, progress=True)
    assert capsys.readouterr().out.count("/7] ") == 7
    assert set(result.scores["method"]) == {
        demo.PRETRAINED, demo.RANDOM, demo.REGRESSION, demo.NEIGHBOURS,
    }  # fmt: skip
    assert result.scores["accuracy"].is_monotonic_decreasing
    page = (output / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert result.scores["method"][0] in page
    assert verdict_in(page)

    predictions = pd.read_csv(output / "predictions.csv", index_col=0)
    scores = result.scores.set_index("method")["accuracy"]
    for method, accuracy in scores.items():
        assert accuracy == pytest.approx((predictions["true"] == predictions[method]).mean())
    cells = kg.CellDataset.load(output / "cells.dataset")
    test = predictions.index
    again = kg.predict(output / "classifier", cells).loc[test, "label"]
    assert (again == predictions[demo.PRETRAINED]).mean() > 0.98
    effects = pd.read_csv(output / "perturbation.csv")
    assert set(effects["cell"]) <= set(test)
    assert len(effects) == sum(
        min(16, len(cells[cells.obs.index.get_loc(name)])) for name in effects["cell"].unique()
    )
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def verdict_in(page: str) -> bool:
    return "most test cells rightly" in page or "as many of the" in page


@pytest.mark.tensors
def test_a_folder_of_something_else_is_left_alone(tmp_path):
    from keras_geneformer.demo import run_demo

    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="holds something else"):
        run_demo(tmp_path, progress=False)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
