"""The code on the pages of docs/ is run as it stands; what cannot run says why."""

import re
from pathlib import Path

import keras
import pytest
from page_code import DOCS, LANGUAGES, blocks_of, pages, run_page

import keras_geneformer as kg

BACKEND = keras.config.backend()
ON_TORCH = pytest.mark.skipif(BACKEND != "torch", reason="others compile each length anew")

NOT_RUN = {
    "analysis.md": 1,
    "backends.md": 3,
    "compression.md": 2,
    "exporting.md": 3,
    "preset-format.md": 2,
    "pretraining.md": 2,
    "tutorial.md": 2,
}
"""How many blocks of a page are not run: one more is a decision, and changes this line."""


def test_every_fence_says_what_it_holds():
    fences = [block for page in pages() for block in blocks_of(page)]
    assert len(fences) > 30
    assert [str(block) for block in fences if block.language not in LANGUAGES] == []
    hidden = re.compile(r"^(keras-geneformer|pip|python|import|from) ", re.MULTILINE)
    plain = [block for block in fences if block.language == "text"]
    assert [str(block) for block in plain if hidden.search(block.code)] == []


def test_no_fence_is_overlooked():
    for page in pages():
        lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
        assert sum(line.lstrip().startswith("```") for line in lines) == 2 * len(blocks_of(page))


def test_blocks_that_are_not_run_are_these():
    not_run = {page: sum(b.not_run is not None for b in blocks_of(page)) for page in pages()}
    assert {page: number for page, number in not_run.items() if number} == NOT_RUN


def test_what_is_not_run_is_python_that_compiles():
    for page in pages():
        for block in blocks_of(page):
            if block.language == "python":
                compile(block.code, str(block), "exec")


@pytest.mark.tensors
@ON_TORCH
class TestPagesWithModels:
    def test_index(self, in_folder_with_model):
        assert 0 <= run_page("index.md")["result"].metrics["accuracy"] <= 1

    def test_tutorial(self, in_folder_with_blood_cells):
        names = run_page("tutorial.md")
        cells, labels = names["cells"], names["labels"]
        assert cells.vocabulary.version == "geneformer_mini"
        assert names["adata"].obsm["X_geneformer"].shape == (len(cells), 128)
        assert set(labels["label"]) <= {*cells.obs["cell_type"], "unassigned"}
        assert set(names["effects"]["cell"]) == set(cells.obs.index[:2])
        assert {"cell_types", "labels.csv", "mine_embedded.h5ad"} <= _files()

    def test_model(self, in_folder):
        assert run_page("model.md")["mlm"].count_params() == 10_288_722

    def test_backends(self, in_folder, capsys):
        run_page("backends.md")
        assert capsys.readouterr().out == f"{BACKEND}\n"

    def test_analysis(self, in_folder_with_model):
        names = run_page("analysis.md")
        assert len(names["embedding"]) == len(names["cells"]) == 24
        assert set(names["effects"]["measure"]) == {"cell_cosine"}
        assert set(names["moved"]["state"]) == {"original", "T cell", "B cell", "monocyte"}
        assert set(names["pairs"]["gene"].str.count(r"\+")) == {1}
        assert "screen" in set(names["screened"]["measure"])
        assert {"effect", "Sig"} <= set(names["ranked"])
        assert "Shift_to_goal_end" in names["goal"]
        assert names["causes"].directed
        assert not names["alike"].directed
        moved = kg.read_effects("moved.parquet")
        assert set(moved["state"]) == {"original", "T cell", "B cell", "monocyte"}

    def test_effects_format(self, in_folder):
        names = run_page("effects-format.md")
        written = (DOCS / "effects-format.md").read_text(encoding="utf-8")
        columns = {*names["ranked"], *names["effects"], *names["about"]}
        as_written = {name.replace("monocyte", "<state>") for name in columns}
        assert [name for name in as_written if f"`{name}`" not in written] == []

    def test_large_data(self, in_folder_with_model):
        run_page("large-data.md")
        effects = kg.read_effects("effects.parquet")
        assert effects["cell"].nunique() == 10
        assert {"atlas.dataset", "atlas_embedded.h5ad", "t_cells.parquet"} <= _files()

    def test_own_vocabulary(self, in_folder_with_model):
        names = run_page("own-vocabulary.md")
        assert names["fitted"].version == "mine"

    def test_compression(self, in_folder):
        names = run_page("compression.md")
        assert len(names["labels"]) == len(names["cells"])
        assert names["smaller"].count_params() < names["model"].count_params()
        assert names["student"].backbone.num_layers == 1

    def test_finetuning(self, in_folder_with_model):
        names = run_page("finetuning.md")
        kinds = {"B cell", "T cell", "monocyte", "unassigned"}
        assert set(names["labels"]["label"]) <= kinds
        assert {"cell_types", "dosage", "labels.csv", "table.csv"} <= _files()

    def test_pretraining(self, in_folder_with_model):
        names = run_page("pretraining.md")
        assert names["result"].model.backbone.num_layers == 3


def test_reading_counts(in_folder):
    names = run_page("reading-counts.md")
    assert len(names["cells"]) == len(names["labelled"]) == 24


def test_tokens_of_others(tmp_path, monkeypatch, shared, dictionaries):
    """On published cells; what the page has from the hub comes from the folder of data."""
    import pickle

    cells = kg.CellDataset.from_parquet(
        shared / "data" / "tokenized" / "genecorpus30m_400.parquet", tmp_path / "ours.dataset"
    )
    published = tmp_path / "genecorpus_30M_2048.dataset"
    cells.save(published)
    (published / "keras_geneformer.json").unlink()
    with (tmp_path / "genecorpus_30M_2048_lengths.pkl").open("wb") as file:
        pickle.dump([int(length) for length in cells.lengths], file)
    load = kg.GeneVocabulary.load
    monkeypatch.setattr(kg.GeneVocabulary, "load", lambda name: load(dictionaries / name.upper()))
    monkeypatch.chdir(tmp_path)
    names = run_page("tokens-of-others.md", kg=kg)
    assert len(names["cells"]) == 400


@pytest.mark.tensors
@pytest.mark.skipif(BACKEND != "tensorflow", reason="it writes a SavedModel")
def test_exporting(tmp_path, monkeypatch):
    import numpy as np

    monkeypatch.chdir(tmp_path)
    names = run_page("exporting.md")
    model, cell = names["model"], names["cell"]
    expected = model.hidden_state_model(1)({"token_ids": cell, "padding_mask": (cell != 0) * 1})
    np.testing.assert_allclose(names["states"][0, :3], np.asarray(expected)[0, :3], atol=1e-5)
    assert kg.exporting.runtimes.read_export(names["directory"])["layer"] == 1


def _files():
    return {path.name for path in Path().iterdir()}
