"""The preset that comes with the package: found by its name, whole, small, and in the wheel."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import keras_geneformer as kg
from keras_geneformer.published_presets import published_presets
from keras_geneformer.shipped_presets import local_directory, shipped_presets

PROJECT = Path(__file__).resolve().parents[2]
NAME = "geneformer_mini"
MEGABYTE = 1_000_000


def sizes(directory: Path) -> dict[str, int]:
    found = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.stat().st_size for path in found}


@pytest.fixture
def symbols_only(counts):
    """Blood cells of a file that the preset did not see, with gene symbols alone."""
    import anndata

    adata = anndata.read_h5ad(counts / "pbmc68k_reduced.h5ad")[:6].copy()
    adata.var = adata.var.set_index("symbol")[[]]
    return adata


def test_the_preset_is_found_by_its_name_and_a_directory_of_that_name_goes_before(
    tmp_path, monkeypatch
):
    assert list(shipped_presets()) == [NAME]
    assert local_directory(NAME) == PROJECT / "weights" / NAME
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).mkdir()
    assert local_directory(NAME) == Path(NAME)
    assert local_directory("geneformer_maxi") == Path("geneformer_maxi")


def test_it_is_small_and_says_what_it_is():
    held = sizes(PROJECT / "weights" / NAME)
    assert {"README.md", "preset.json", "model.weights.h5", "vocabulary/genes.parquet"} <= set(held)
    assert sum(held.values()) <= 8 * MEGABYTE
    card = (PROJECT / "weights" / NAME / "README.md").read_text()
    description = json.loads((PROJECT / "weights" / NAME / "preset.json").read_text())
    assert description["vocabulary_checksum"] in card
    assert "make_geneformer_mini.py" in card


def test_the_vocabulary_knows_ids_and_symbols():
    vocabulary = kg.GeneVocabulary.load(NAME)
    assert vocabulary.version == NAME
    tokens = vocabulary.tokens_of(["ENSG00000156738", "MS4A1", "ms4a1"])
    assert tokens[0] > 1
    assert len(set(tokens.tolist())) == 1
    assert kg.RankValueTokenizer.from_preset(NAME).max_length == vocabulary.max_length


@pytest.mark.tensors
def test_every_class_loads_from_it():
    masked_lm = kg.GeneformerMaskedLM.from_preset(NAME)
    assert masked_lm.vocabulary_checksum == kg.GeneVocabulary.load(NAME).checksum
    backbone = kg.GeneformerBackbone.from_preset(NAME)
    classifiers = (
        kg.GeneformerCellClassifier.from_preset(NAME, num_classes=3),
        kg.GeneformerGeneClassifier.from_preset(NAME, num_classes=2),
    )
    for model in (backbone, *(classifier.backbone for classifier in classifiers)):
        for one, other in zip(masked_lm.backbone.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.tensors
def test_its_name_is_enough_to_embed_counts(symbols_only, tmp_path, monkeypatch):
    embedded = kg.embed_cells(NAME, symbols_only)
    assert embedded.shape == (6, kg.GeneformerBackbone.from_preset(NAME).hidden_dim)
    assert np.isfinite(embedded.to_numpy()).all()

    from keras_geneformer.cli import main

    monkeypatch.chdir(tmp_path)
    symbols_only.write_h5ad("cells.h5ad")
    assert main(["tokenize", "--vocabulary", NAME, "cells.h5ad", "--output", "x.dataset"]) == 0
    assert main(["embed", "x.dataset", "--model", NAME, "--output", "x.csv"]) == 0
    written = np.loadtxt("x.csv", delimiter=",", skiprows=1, usecols=range(1, 9))
    np.testing.assert_allclose(written, embedded.to_numpy()[:, :8], atol=1e-5)


@pytest.mark.tensors
def test_another_name_is_answered_with_those_there_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as caught:
        kg.GeneformerMaskedLM.from_preset("geneformer_maxi")
    assert str(caught.value) == (
        "There is no preset at geneformer_maxi. Expected a directory (of ours, with preset.json, "
        "or a published one, with config.json), a file of Keras (*.keras), "
        "'hf://organisation/repository/subfolder', or a "
        "name: geneformer_mini (comes with the package), geneformer_v1_10m, geneformer_v2_104m, "
        "geneformer_v2_104m_clcancer, geneformer_v2_316m (from the hub)."
    )


def test_vocabularies_name_it_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as caught:
        kg.GeneVocabulary.load("geneformer_maxi")
    assert str(caught.value) == (
        'geneformer_maxi is no directory; expected "v1", "v2", a directory that holds a '
        "vocabulary, 'hf://organisation/repository/subfolder', or the name of a preset: "
        "geneformer_mini (comes with the package), geneformer_v1_10m, geneformer_v2_104m, "
        "geneformer_v2_104m_clcancer, geneformer_v2_316m (from the hub)"
    )


@pytest.mark.tensors
def test_the_wheel_holds_it(tmp_path):
    from hatchling.builders.wheel import WheelBuilder

    (wheel,) = WheelBuilder(str(PROJECT)).build(directory=str(tmp_path), versions=["standard"])
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    preset = unpacked / "keras_geneformer" / "weights" / NAME
    assert sizes(preset) == sizes(PROJECT / "weights" / NAME)
    kg.GeneformerMaskedLM.from_preset(preset)  # its checksums are verified as it loads

    code = (
        "import keras_geneformer as kg\n"
        "from keras_geneformer.published_presets import published_presets\n"
        "from keras_geneformer.shipped_presets import local_directory\n"
        f"print(local_directory({NAME!r}), kg.GeneVocabulary.load({NAME!r}).checksum)\n"
        "print(*published_presets())"
    )
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stdout.splitlines()
    assert first.split() == [str(preset), kg.GeneVocabulary.load(NAME).checksum]
    assert second.split() == list(published_presets())
