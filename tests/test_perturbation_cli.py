"""What the verbs `perturb` and `perturb-merge` are given, before any model is read."""

import json

import numpy as np
import pandas as pd
import pytest

from keras_geneformer import plotting
from keras_geneformer.analysis.perturbation.effect_files import EffectsWriter, read_effects
from keras_geneformer.cli import main
from keras_geneformer.cli.perturbation_summary import gene_label, say_and_draw
from keras_geneformer.testing import synthetic_dataset, tiny_vocabulary


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    path = tmp_path_factory.mktemp("cells") / "x.dataset"
    synthetic_dataset(6).save(path)
    return path


def refused(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 2
    return capsys.readouterr().err


def test_model_and_dataset_in_both_forms(cells, tmp_path, capsys):
    output = ("--output", tmp_path / "e.parquet")
    said = refused(capsys, "perturb", cells, *output)
    assert "x.dataset alone; expected a model before the dataset, or with --model" in said
    said = refused(capsys, "perturb", cells, "model", *output)
    assert "x.dataset comes first and is a dataset; expected the model first, then" in said
    said = refused(capsys, "perturb", "model", cells, "--model", "other", *output)
    assert "x.dataset and --model other; expected one model and one dataset" in said
    said = refused(capsys, "perturb", "model", cells, cells, *output)
    assert "x.dataset; expected one model and one dataset" in said
    for given in (("none", cells), (cells, "--model", "none")):
        assert "none" in refused(capsys, "perturb", *given, *output)
    assert list(tmp_path.iterdir()) == []


def test_options_are_refused_before_the_model_is_read(cells, tmp_path, capsys):
    perturb = ("perturb", "none", cells, "--output", tmp_path / "e.csv")
    assert "'3' is no shard; expected i/n" in refused(capsys, *perturb, "--shard", "3")
    said = refused(capsys, *perturb, "--states", tmp_path / "none.json")
    assert 'none.json; expected {"obs_key": a column of obs, "start"' in said
    states = tmp_path / "states.json"
    states.write_text(json.dumps({"obs_key": "cell_type", "start": "B cell", "goal": "T cell"}))
    said = refused(capsys, *perturb, "--states", states, "--start", "monocyte")
    assert "states.json says it all; received --start as well" in said
    said = refused(capsys, *perturb, "--states", states, "--where", "cell_type=monocyte")
    assert "none of its cells has cell_type=B cell, the start" in said
    (tmp_path / "e.csv").write_text("name,dose\n")
    assert "e.csv exists and holds no effects that perturb wrote" in refused(capsys, *perturb)


def test_merging_says_what_came_out(tmp_path, capsys):
    for number in (1, 2):
        effects = {
            "cell": [f"cell{number}"] * 2,
            "gene": ["ENSG1", "ENSG2"],
            "token": [7, 8],
            "kind": "delete",
            "measure": "cell_cosine",
            "state": "original",
            "value": [0.9, 0.5 + number / 10],
        }
        settings = {"shard": [number, 2]}
        with EffectsWriter(tmp_path / f"s{number}.parquet", settings) as writer:
            writer.add(number, pd.DataFrame(effects))
            writer.finish()
    shards = [str(tmp_path / f"s{number}.parquet") for number in (1, 2)]
    output = tmp_path / "all.csv"
    assert main(["perturb-merge", *shards, "--output", str(output)]) == 0
    said = capsys.readouterr().out
    assert "effects of 2 perturbations in" in said
    assert "ENSG2                0.35 in 2 cells" in said
    assert read_effects(output)["value"].tolist() == [0.9, 0.6, 0.9, 0.7]
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")
    said = refused(capsys, "perturb-merge", shards[0], "--output", tmp_path / "other.parquet")
    assert "Of 2 shards, 2 is missing; give all files of the run" in said


def test_the_picture_has_the_genes_that_are_named(tmp_path, capsys, monkeypatch):
    shifts = [*np.linspace(0.01, 0.1, 15), *np.linspace(-1.0, -0.5, 30)]
    effects = {
        "cell": "c",
        "gene": [f"ENSG{number}" for number in range(len(shifts))],
        "token": range(len(shifts)),
        "kind": "delete",
        "measure": "state_shift",
        "state": "goal",
        "value": shifts,
    }
    with EffectsWriter(tmp_path / "e.parquet", {"states": {"goal": "goal"}}) as writer:
        writer.add(0, pd.DataFrame(effects))
        path = writer.finish()
    drawn = []
    monkeypatch.setattr(plotting, "change_bars", lambda table, *_, **__: drawn.append(table))
    say_and_draw(path, path, None)
    assert "  ENSG14               0.1 in 1 cell" in capsys.readouterr().out
    genes = set(drawn[0]["gene"])
    assert {f"ENSG{number}" for number in (14, 13, 12, 11, 10, 15, 16)} < genes
    assert len(genes) == 20


def test_what_was_screened_is_told_from_what_was_computed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(plotting, "change_bars", lambda *_, **__: None)
    effects = {
        "cell": "c",
        "gene": ["ENSG1", "ENSG1", "ENSG2", "ENSG3"],
        "token": [7, 7, 8, 9],
        "kind": "delete",
        "measure": ["cell_cosine", "screen", "screen", "screen"],
        "state": ["original", "top", "rest", "rest"],
        "value": [0.9, 0.1, 0.0, 0.0],
    }
    with EffectsWriter(tmp_path / "e.parquet", {}) as writer:
        writer.add(0, pd.DataFrame(effects))
        path = writer.finish()
    say_and_draw(path, path, None)
    said = capsys.readouterr().out
    assert "effects of 1 perturbations, chosen among 3 by their scores, in" in said


def test_a_place_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("somebody's")
    with pytest.raises(OSError, match=r"e.parquet cannot be written: .*e.parquet.parts, for its p"):
        EffectsWriter(tmp_path / "file" / "e.parquet", {})


def test_genes_are_labelled_by_symbols_where_they_have_some():
    vocabulary = tiny_vocabulary()
    assert gene_label("ENSG90000000003+ENSG90000000004", vocabulary) == "GENE3+GENE4"
    assert gene_label("ENSG1", vocabulary) == "ENSG1"
    assert gene_label("ENSG1+ENSG2", None) == "ENSG1+ENSG2"
