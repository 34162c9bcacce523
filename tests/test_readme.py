"""What the README shows is run as it stands, on real cells and with the tiny checkpoint."""

import re
import shlex
import shutil
from pathlib import Path

import anndata
import numpy as np
import pytest

from keras_geneformer.cli import main

README = Path(__file__).resolve().parent.parent / "README.md"
CHECKPOINT = "--model geneformer_v1_10m"


def blocks(language):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


@pytest.fixture
def folder(tmp_path, counts, monkeypatch):
    """A folder with heart.h5ad, which holds short pancreas cells to be quick."""
    adata = anndata.read_h5ad(counts / "pancreas_4tech.h5ad")
    short = np.asarray((adata.X > 0).sum(axis=1)).ravel() < 130
    adata[short & adata.obs["cell_type"].isin(["alpha", "beta"])].copy().write_h5ad(
        tmp_path / "heart.h5ad"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_example_runs(folder):
    (code,) = blocks("python")
    names: dict = {}
    exec(compile(code, str(README), "exec"), names)
    assert set(names["labels"]["label"]) <= {"alpha", "beta"}
    assert names["adata"].obsm["X_geneformer"].shape == (len(names["adata"]), 128)


def test_shell_examples_run(folder, reference, dictionaries):
    (folder / "atlas").mkdir()
    shutil.copy("heart.h5ad", folder / "atlas")
    examples = [block for block in blocks("") if "keras-geneformer tokenize" in block]
    assert len(examples) == 2
    text = "".join(examples).replace("--vocabulary v1", f"--vocabulary {dictionaries / 'V1'}")
    assert CHECKPOINT in text
    text = text.replace(CHECKPOINT, f"--model {reference / 'checkpoints' / 'tiny-v1'}")
    for line in text.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "keras-geneformer"
        assert main(arguments) == 0
    assert {path.name for path in folder.iterdir()} >= {
        "heart.dataset",
        "heart_cell_types",
        "labels.csv",
        "heart_embedded.h5ad",
        "atlas.dataset",
        "atlas.png",
        "atlas_vocabulary",
    }


def test_nothing_is_left_to_fill_in_and_every_link_leads_somewhere():
    text = README.read_text()
    assert not re.findall(r"@[A-Z]+@", text)
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    assert len(targets) >= 5
    assert [target for target in targets if not (README.parent / target).is_file()] == []
