"""A folder with what the pages take as given, small enough to run everything on them."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from keras_geneformer.testing import GENES, synthetic_cells, tiny_backbone, tiny_vocabulary


@pytest.fixture(scope="session")
def given(tmp_path_factory) -> Path:
    """Made-up cells and lists of genes, and a tiny model that is called geneformer_mini.

    A directory of that name goes before the preset that comes with the package.
    """
    import keras_geneformer as kg

    folder = tmp_path_factory.mktemp("pages")
    adata = synthetic_cells(24)
    number = range(len(adata))
    adata.obs["tech"] = [f"tech{n % 2}" for n in number]
    adata.obs["disease"] = [("healthy", "ill")[n // 3 % 2] for n in number]
    adata.write_h5ad(folder / "cells.h5ad")
    shutil.copy(folder / "cells.h5ad", folder / "counts.h5ad")
    kg.RankValueTokenizer(tiny_vocabulary())(adata).save(folder / "cells.dataset")
    shutil.copytree(folder / "cells.dataset", folder / "new.dataset")
    genes = pd.DataFrame({"ensembl_id": adata.var["ensembl_id"][:60]})
    genes["label"] = ["sensitive", "insensitive", "insensitive"] * 20
    genes.to_csv(folder / "dosage.csv", index=False)
    genes.head(GENES // 6)[["ensembl_id"]].to_csv(folder / "human_tfs.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def given_model(given) -> Path:
    """The same folder, with the model: where it is not asked for, no backend is loaded."""
    import keras_geneformer as kg

    model = kg.GeneformerMaskedLM(tiny_backbone(num_layers=2))
    model.save_to_preset(given / "geneformer_mini", vocabulary=tiny_vocabulary())
    return given


@pytest.fixture
def in_folder(given, tmp_path, monkeypatch) -> Path:
    """A copy of the folder, as the working directory."""
    return _entered(given, tmp_path, monkeypatch)


@pytest.fixture
def in_folder_with_model(given_model, tmp_path, monkeypatch) -> Path:
    """A copy of the folder with the model, as the working directory."""
    return _entered(given_model, tmp_path, monkeypatch)


def _entered(folder, tmp_path, monkeypatch) -> Path:
    here = tmp_path / "here"
    shutil.copytree(folder, here)
    monkeypatch.chdir(here)
    return here
