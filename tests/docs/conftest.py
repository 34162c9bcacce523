"""A folder with what the pages take as given, small enough to run everything on them."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from keras_geneformer.testing import GENES, synthetic_cells, tiny_backbone, tiny_vocabulary


@pytest.fixture(scope="session")
def given(tmp_path_factory) -> Path:
    """Made-up cells and lists of genes, and their vocabulary by the name of geneformer_mini.

    A directory of that name goes before the preset that comes with the package.
    """
    import keras_geneformer as kg

    folder = tmp_path_factory.mktemp("pages")
    adata = synthetic_cells(24)
    number = range(len(adata))
    adata.obs["tech"] = [f"tech{n % 2}" for n in number]
    adata.obs["disease"] = [("healthy", "ill")[n // 3 % 2] for n in number]
    adata.write_h5ad(folder / "cells.h5ad")
    kg.RankValueTokenizer(tiny_vocabulary())(adata).save(folder / "cells.dataset")
    shutil.copytree(folder / "cells.dataset", folder / "new.dataset")
    others = adata.copy()
    others.obs_names = [f"other_{name}" for name in adata.obs_names]
    others.write_h5ad(folder / "counts.h5ad")
    genes = pd.DataFrame({"ensembl_id": adata.var["ensembl_id"][:60]})
    genes["label"] = ["sensitive", "insensitive", "insensitive"] * 20
    genes.to_csv(folder / "dosage.csv", index=False)
    genes.head(GENES // 6)[["ensembl_id"]].to_csv(folder / "human_tfs.csv", index=False)
    tiny_vocabulary().save(folder / "geneformer_mini")
    return folder


@pytest.fixture(scope="session")
def given_model(given, tmp_path_factory) -> Path:
    """The same folder with a tiny model: where it is not asked for, no backend is loaded."""
    import keras_geneformer as kg

    folder = tmp_path_factory.mktemp("pages") / "with_model"
    shutil.copytree(given, folder, ignore=shutil.ignore_patterns("geneformer_mini"))
    model = kg.GeneformerMaskedLM(tiny_backbone(num_layers=2))
    model.save_to_preset(folder / "geneformer_mini", vocabulary=tiny_vocabulary())
    return folder


@pytest.fixture
def in_folder(given, tmp_path, monkeypatch) -> Path:
    """A copy of the folder, as the working directory."""
    return _entered(given, tmp_path, monkeypatch)


@pytest.fixture
def in_folder_with_model(given_model, tmp_path, monkeypatch) -> Path:
    """A copy of the folder with the model, as the working directory."""
    return _entered(given_model, tmp_path, monkeypatch)


@pytest.fixture
def in_folder_with_blood_cells(tmp_path, monkeypatch) -> Path:
    """Fifteen real cells of three types in `cells.h5ad`, short ones; the real geneformer_mini."""
    import numpy as np

    import keras_geneformer as kg

    pytest.importorskip("scanpy", reason="it brings the 700 blood cells")
    adata = kg.example_counts("pbmc68k")
    adata.obs["detected"] = np.asarray((adata.X > 0).sum(axis=1)).ravel()
    kinds = adata.obs["cell_type"].value_counts().index[:3]
    short = adata.obs[adata.obs["cell_type"].isin(kinds)].sort_values("detected")
    names = short.groupby("cell_type", observed=True).head(5).index
    folder = tmp_path / "blood"
    folder.mkdir()
    adata[names].copy().write_h5ad(folder / "cells.h5ad")
    return _entered(folder, tmp_path, monkeypatch)


def _entered(folder, tmp_path, monkeypatch) -> Path:
    # A process more is a second or two more, for two dozen cells.
    monkeypatch.setattr("keras_geneformer.cli.tokenization.default_workers", lambda: 1)
    here = tmp_path / "here"
    shutil.copytree(folder, here)
    monkeypatch.chdir(here)
    return here
