"""The command line, verb by verb, with a small real data set and the tiny reference checkpoint."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest

import keras_geneformer
from keras_geneformer.cli import main

VERBS = (
    *("demo", "tokenize", "fit-vocabulary", "pretrain", "finetune-cells"),
    *(
        "predict",
        "embed",
        "embed-genes",
        "embed-states",
        "batch-effects",
        "perturb",
        "perturb-merge",
        "convert",
    ),
    *("attention", "perturb-stats"),
    *("cross-validate", "compare", "search", "study", "finetune-genes", "finetune-multitask"),
)


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def files(tmp_path_factory, counts, reference, dictionaries):
    """Paths: real pancreas cells of few genes as counts and tokens, vocabulary, checkpoint."""
    folder = tmp_path_factory.mktemp("cli")
    adata = anndata.read_h5ad(counts / "pancreas_4tech.h5ad")
    few = adata[np.asarray((adata.X > 0).sum(axis=1)).ravel() < 130]
    few = few[few.obs["cell_type"].isin(["alpha", "beta"])][:60].copy()
    few.write_h5ad(folder / "cells.h5ad")
    vocabulary = dictionaries / "V1"
    output = folder / "cells.dataset"
    assert (
        run("tokenize", "--vocabulary", vocabulary, folder / "cells.h5ad", "--output", output) == 0
    )
    return {
        "h5ad": folder / "cells.h5ad",
        "cells": output,
        "vocabulary": vocabulary,
        "model": reference / "checkpoints" / "tiny-v1",
        "obs": few.obs,
    }


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb_ends_with_an_example(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        run(verb, "--help")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert f"example:\n  keras-geneformer {verb}" in text
    assert "--backend" in text


def test_help_lists_every_verb_and_version_is_the_package_s(capsys):
    with pytest.raises(SystemExit):
        run("--help")
    text = capsys.readouterr().out
    assert [verb for verb in VERBS if f"\n    {verb} " not in text] == []
    with pytest.raises(SystemExit):
        run("--version")
    assert capsys.readouterr().out == f"keras-geneformer {keras_geneformer.__version__}\n"


def test_tokenize_says_what_it_understood(files, capsys, tmp_path):
    output = tmp_path / "x.dataset"
    code = run("tokenize", "--vocabulary", files["vocabulary"], files["h5ad"], "--output", output)
    assert code == 0
    text = capsys.readouterr().out
    assert "60 of 60 cells tokenized" in text
    assert str(output) in text
    cells = keras_geneformer.CellDataset.load(output)
    assert cells.obs.index.tolist() == files["obs"].index.tolist()


def test_an_error_is_one_line_and_leaves_nothing(files, capsys, tmp_path):
    (tmp_path / "broken.h5ad").write_bytes(files["h5ad"].read_bytes()[:5000])
    output = tmp_path / "out" / "x.dataset"
    arguments = ("tokenize", "--vocabulary", files["vocabulary"], tmp_path / "broken.h5ad")
    assert run(*arguments, "--output", output) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert "broken.h5ad" in error
    assert not output.exists()
    with pytest.raises((ValueError, OSError), match=r"broken\.h5ad"):
        run("--debug", *arguments, "--output", output)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["embed", "x.dataset", "--model", "m", "--output", "e.txt"],
            "ends in none of .parquet, .csv",
        ),
        (["embed", "x.dataset", "--output", "e.csv"], "required: --model"),
        ([], "required: VERB"),
        (["--backend", "theano", "demo"], "invalid choice: 'theano'"),
    ],
)
def test_wrong_options_are_refused_before_any_work(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_ctrl_c_ends_quietly(monkeypatch, capsys):
    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(
        "keras_geneformer.tokenization.genes.vocabulary.GeneVocabulary.load", interrupted
    )
    assert run("tokenize", "--vocabulary", "v1", "x.h5ad", "--output", "x.dataset") == 130
    assert capsys.readouterr().err == "interrupted\n"
    monkeypatch.setattr("keras_geneformer.tokenization.cells.dataset.CellDataset.load", interrupted)
    assert run("embed", "x.dataset", "--model", "m", "--output", "x.parquet") == 130
    said = capsys.readouterr().err
    assert said == "interrupted; the same command goes on where it was\n"


def test_a_backend_that_only_infers_refuses_to_train(monkeypatch, capsys):
    monkeypatch.setenv("KERAS_BACKEND", "openvino")
    assert run("finetune-cells", "x", "--model", "m", "--label-key", "k", "--output", "o") == 2
    assert "error: the backend openvino only infers, and finetune-cells trains" in (
        capsys.readouterr().err
    )


def test_a_vocabulary_is_fitted_saved_and_used(files, tmp_path, capsys):
    output = tmp_path / "vocabulary"
    assert run("fit-vocabulary", files["h5ad"], "--output", output) == 0
    vocabulary = keras_geneformer.GeneVocabulary.load(output)
    assert f"{len(vocabulary)} genes" in capsys.readouterr().out
    cells = tmp_path / "x.dataset"
    assert run("tokenize", "--vocabulary", output, files["h5ad"], "--output", cells) == 0
    loaded = keras_geneformer.CellDataset.load(cells)
    assert loaded.vocabulary_checksum == vocabulary.checksum


@pytest.mark.tensors
def test_a_backend_cannot_change_once_keras_runs(capsys):
    import keras

    other = "jax" if keras.config.backend() != "jax" else "torch"
    assert run("--backend", other, "embed", "x", "--model", "m", "--output", "e.csv") == 2
    assert f"Keras runs already on {keras.config.backend()}" in capsys.readouterr().err


@pytest.mark.tensors
def test_embed_writes_the_same_vectors_as_csv_parquet_and_h5ad(files, tmp_path):
    for name in ("e.csv", "e.parquet", "e.h5ad"):
        code = run("embed", files["cells"], "--preset", files["model"], "--output", tmp_path / name)
        assert code == 0
    table = pd.read_parquet(tmp_path / "e.parquet")
    assert table.index.tolist() == files["obs"].index.tolist()
    assert table.shape == (60, 32)
    np.testing.assert_allclose(pd.read_csv(tmp_path / "e.csv", index_col=0), table, rtol=1e-6)
    adata = anndata.read_h5ad(tmp_path / "e.h5ad")
    np.testing.assert_array_equal(adata.obsm["X_geneformer"], table)
    assert adata.obs["cell_type"].tolist() == files["obs"]["cell_type"].tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.csv", "e.h5ad", "e.parquet"]


@pytest.mark.tensors
def test_convert_keeps_every_weight_and_the_vocabulary(files, tmp_path, capsys):
    preset = tmp_path / "preset"
    vocabulary = files["vocabulary"]
    assert run("convert", files["model"], preset, "--output", preset) == 2
    assert "Received 2 destinations; expected one" in capsys.readouterr().err
    assert run("convert", files["model"], preset, "--vocabulary", vocabulary) == 0
    assert "GeneformerMaskedLM with" in capsys.readouterr().out
    for model in (files["model"], preset):
        output = tmp_path / f"{model.name}.parquet"
        assert run("embed", files["cells"], "--model", model, "--output", output) == 0
    one, other = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("tiny-v1", "preset"))
    pd.testing.assert_frame_equal(one, other)
    effects = tmp_path / "effects.csv"
    assert (
        run("perturb", files["cells"], "--model", preset, "--max-cells", 1, "--output", effects)
        == 0
    )
    assert pd.read_csv(effects)["gene"].str.startswith("ENSG").all()


@pytest.mark.tensors
def test_finetune_cells_then_predict(files, tmp_path, capsys):
    output = tmp_path / "classifier"
    arguments = ("--label-key", "cell_type", "--output", output, "--validation", 0.2)
    assert run("finetune-cells", files["cells"], "--model", files["model"], *arguments) == 0
    metrics = json.loads((output / "metrics.json").read_text())
    assert f"accuracy {metrics['accuracy']:.3f}" in capsys.readouterr().out
    predictions = pd.read_csv(output / "predictions.csv", index_col=0)
    assert metrics["accuracy"] == pytest.approx(
        (predictions["true"] == predictions["label"]).mean()
    )
    confusion = pd.read_csv(output / "confusion.csv", index_col=0)
    assert confusion.to_numpy().sum() == len(predictions) == 12
    for picture in ("learning.png", "confusion.png"):
        assert (output / picture).read_bytes().startswith(b"\x89PNG")

    labels = tmp_path / "labels.csv"
    assert run("predict", files["cells"], "--model", output, "--output", labels) == 0
    table = pd.read_csv(labels, index_col=0)
    assert table.index.tolist() == files["obs"].index.tolist()
    again = table.loc[predictions.index]
    np.testing.assert_allclose(again["prob_beta"], predictions["prob_beta"], atol=1e-5)


@pytest.mark.tensors
def test_perturb_asks_for_cells_and_genes_by_name(files, tmp_path, capsys):
    cells = keras_geneformer.CellDataset.load(files["cells"])
    vocabulary = keras_geneformer.GeneVocabulary.load(files["vocabulary"])
    beta = np.flatnonzero(cells.obs["cell_type"] == "beta")[0]
    gene = str(vocabulary.genes_of(cells[beta][:1])[0])
    common = ("perturb", files["cells"], "--model", files["model"], "--output", tmp_path / "e.csv")
    named = ("--vocabulary", files["vocabulary"], "--genes", gene)
    assert run(*common, *named, "--where", "cell_type=beta") == 0
    effects = pd.read_csv(tmp_path / "e.csv")
    assert set(effects["gene"]) == {gene}
    assert set(effects["cell"]) <= set(cells.obs.index[cells.obs["cell_type"] == "beta"])
    assert run(*common, "--where", "cell_type=neuron") == 2
    assert "no cell has it; cell_type holds alpha, beta" in capsys.readouterr().err
    assert run(*common, "--where", "cell_type") == 2
    assert "expected COLUMN=VALUE" in capsys.readouterr().err


def test_nothing_of_the_users_is_replaced_and_nothing_is_trained_in_vain(
    files, tmp_path, capsys, monkeypatch
):
    counts = tmp_path / "counts.h5ad"
    counts.write_bytes(files["h5ad"].read_bytes())
    embed = ("embed", files["cells"], "--model", files["model"], "--output")
    assert run(*embed, counts) == 2
    assert "holds no embedding written by this package" in capsys.readouterr().err
    assert counts.read_bytes() == files["h5ad"].read_bytes()
    for _ in range(2):
        assert run(*embed, tmp_path / "embedded.h5ad") == 0

    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("keep")
    monkeypatch.setattr("keras_geneformer.training.loop.train", None)
    common = ("--model", files["model"], "--output", folder)
    for verb, options in (
        ("pretrain", ("--data", files["cells"])),
        ("finetune-cells", (files["cells"], "--label-key", "cell_type")),
    ):
        assert run(verb, *common, *options) == 2
        assert f"error: {folder} exists and holds something else" in capsys.readouterr().err
    assert (folder / "notes.txt").read_text() == "keep"
