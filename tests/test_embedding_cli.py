"""The verbs embed, embed-genes and embed-states, on made-up cells."""

import anndata
import numpy as np
import pandas as pd
import pytest

from keras_geneformer.cli import main
from keras_geneformer.testing import synthetic_dataset, tiny_backbone, tiny_vocabulary

pytestmark = pytest.mark.tensors


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    synthetic_dataset(9).save(folder / "cells.dataset")
    tiny_backbone(num_layers=1).save_to_preset(folder / "model", tiny_vocabulary())
    return (folder / "cells.dataset", "--model", folder / "model", "--layer", -1)


def test_embedded_cells_states_and_genes_agree(given, tmp_path, capsys):
    assert run("embed", *given, "--output", tmp_path / "e.zarr") == 0
    assert "9 cells embedded in" in capsys.readouterr().out
    adata = anndata.read_zarr(tmp_path / "e.zarr")
    embedding = pd.DataFrame(adata.obsm["X_geneformer"].astype(np.float64))
    centres = embedding.groupby(adata.obs["cell_type"].astype(str).to_numpy()).median()

    options = ("--obs-key", "cell_type", "--statistic", "median")
    assert run("embed-states", *given, *options, "--output", tmp_path / "s.csv") == 0
    states = pd.read_csv(tmp_path / "s.csv", index_col=0)
    assert states.pop("cells").tolist() == [3, 3, 3]
    assert states.index.tolist() == ["B cell", "T cell", "monocyte"]
    np.testing.assert_allclose(states, centres, atol=1e-6)

    options = ("--by", "cell_type", "--genes", "GENE3,GENE4", "--output", tmp_path / "g.parquet")
    assert run("embed-genes", *given, *options) == 0
    genes = pd.read_parquet(tmp_path / "g.parquet")
    assert genes.columns[:4].tolist() == ["cell_type", "gene", "cells", "0"]
    assert genes["cells"].max() <= 3
    every = ("--statistic", "none", "--output", tmp_path / "all.parquet")
    assert run("embed-genes", *given, *every) == 0
    table = pd.read_parquet(tmp_path / "all.parquet")
    np.testing.assert_allclose(
        table.groupby("cell")[["0", "1"]].mean().loc[adata.obs_names], embedding[[0, 1]], atol=1e-6
    )
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["all.parquet", "e.zarr", "g.parquet", "s.csv"]


def test_cells_described_anew_are_embedded_anew(given, tmp_path):
    model = given[1:]
    for column in ("old", "new"):
        cells = synthetic_dataset(3)
        cells.obs[column] = "a"
        cells.save(tmp_path / f"{column}.dataset")
        output = ("--output", tmp_path / "e.h5ad")
        assert run("embed", tmp_path / f"{column}.dataset", *model, *output) == 0
        assert column in anndata.read_h5ad(tmp_path / "e.h5ad").obs


def test_what_cannot_be_is_one_line(given, tmp_path, capsys):
    wrong = [
        (("embed-states", "--obs-key", "cell_type", "--states", "neuron"), "No cell has cell_type"),
        (("embed-genes", "--genes", "TP53"), "1 of 1 genes are not in the vocabulary: TP53"),
        (("embed", "--pooling", "trained_attention"), "and a model without it; expected a"),
    ]
    for (verb, *options), message in wrong:
        assert run(verb, *given, *options, "--output", tmp_path / "x.parquet") == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("error: ")
        assert message in error
    assert list(tmp_path.iterdir()) == []
