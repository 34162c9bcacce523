"""`keras-geneformer pretrain`, in this process, on cells made up by `testing`."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import keras
import pandas as pd
import pytest

from keras_geneformer.cli import main
from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.testing import synthetic_dataset, tiny_vocabulary
from keras_geneformer.tokenization.cells.dataset import CellDataset

pytestmark = pytest.mark.tensors

SHAPE = (
    *("--num-layers", 1, "--num-heads", 2, "--hidden-dim", 8, "--intermediate-dim", 8),
    *("--max-length", 24),
)


def run(*arguments) -> int:
    return main(["pretrain", *(str(argument) for argument in arguments)])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Cells of one length, as JAX compiles a step for each."""
    path = tmp_path_factory.mktemp("pretrain") / "x.dataset"
    cells = [ids[:24] for ids in synthetic_dataset(20)]
    CellDataset(cells, vocabulary=tiny_vocabulary()).save(path)
    return path


def test_a_recipe_then_on_from_its_preset(data, tmp_path, capsys, monkeypatch):
    output = tmp_path / "model"
    changes = ("--batch-size", 9, "--epochs", 2, "--seed", 4)
    assert run("--recipe", "mini", "--data", data, "--output", output, *SHAPE, *changes) == 0
    text = capsys.readouterr().out
    assert "trained on 18 cells for 4 steps; loss " in text
    assert ", on held-out cells " in text
    written = {path.name for path in output.iterdir()}
    assert {"README.md", "training.json", "history.csv", "log.csv", "loss.png"} <= written
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    record = json.loads((output / "training.json").read_text())
    assert record["command"] == (
        f"keras-geneformer pretrain --recipe mini --data {data} --output {output} --seed 4 "
        "--epochs 2 --batch-size 9 --num-layers 1 --num-heads 2 --hidden-dim 8 "
        "--intermediate-dim 8 --max-length 24"
    )
    assert record["data"]["name"] == "x.dataset"

    again = tmp_path / "again"
    assert run("--data", data, "--output", again, "--model", output, *SHAPE) == 2
    assert "leave out --num-layers, --num-heads, --hidden-dim" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.chdir(data)
    one = ("--steps", 1, "--batch-size", 10, "--validation", 0)
    assert run("--data", ".", "--output", again, "--model", output, *one) == 0
    assert "no pictures: drawing needs matplotlib" in capsys.readouterr().out
    record = json.loads((again / "training.json").read_text())
    assert record["recipe"]["name"] == "continual"
    assert (record["recipe"]["steps"], record["recipe"]["epochs"]) == (1, None)
    assert record["data"]["name"] == "x.dataset"
    assert record["model"]["began_with"] == "model"
    assert "loss.png" not in (again / "README.md").read_text()


def test_a_dry_run_prints_the_plan_and_writes_nothing(data, tmp_path, capsys):
    output = tmp_path / "model"
    assert run("--recipe", "v1_10m", "--data", data, "--output", output, "--dry-run") == 0
    text = capsys.readouterr().out.splitlines()
    assert text[:5] == [
        "recipe       v1_10m",
        "cells        20 to train on, 0 held out",
        "tokens       480 an epoch; 25.0% padding beside them",
        "steps        3 (1 an epoch)",
        "parameters   3,785,594",
    ]
    assert text[5].startswith("Cost: published, about 3 days on 12 V100")
    assert text[6].startswith("Expected result: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kept", "code", "words"),
    [
        (("000000004", "000000008"), 130, "step 8 is kept in {}: the same command goes on"),
        ((), 130, "no step was kept yet: the same command begins anew"),
        (("000000002",), 0, "step 2 is kept in {}: the same command goes on"),
    ],
)
def test_a_run_that_is_ended_says_what_is_kept(
    data, tmp_path, capsys, monkeypatch, kept, code, words
):
    output = tmp_path / "model"
    state = tmp_path / "model.checkpoints"

    def ended(*arguments, **options):
        for step in kept:
            (state / f"checkpoint-{step}").mkdir(parents=True)
        raise SystemExit(0) if code == 0 else KeyboardInterrupt

    monkeypatch.setattr("keras_geneformer.training.recipes.running.pretrain", ended)
    arguments = ("--data", data, "--output", output, *SHAPE)
    if code:
        assert run(*arguments) == code
    else:
        with pytest.raises(SystemExit):
            run(*arguments)
    said = capsys.readouterr().err
    assert f"{output} is not finished; {words.format(state)}" in said


def test_refusals(data, tmp_path, capsys):
    def error(*options, path=data, output=tmp_path / "model"):
        assert run("--data", path, "--output", output, *options) == 2
        return capsys.readouterr().err.splitlines()[-1]

    assert error("--recipe", "tiny") == (
        "error: Received --recipe tiny; expected one of mini, v1_10m, v2_104m, v2_316m, "
        "continual, cell_sentences."
    )
    assert error("--recipe", "continual") == (
        "error: The recipe continual goes on from a pretrained model: give a preset with --model"
    )
    counts = tmp_path / "x.h5ad"
    counts.write_bytes(b"counts")
    assert error(path=counts) == (
        f"error: {counts} is a file; --data takes a directory of tokenized cells, which "
        "`keras-geneformer tokenize` makes of counts"
    )
    bare = tmp_path / "bare.dataset"
    CellDataset([[2, 3, 4], [5, 6]]).save(bare)
    assert error(path=bare) == (
        f"error: {bare} carries no vocabulary, without which the preset could not be used: say "
        "which its cells were tokenized with, with --vocabulary (v1, v2 or a directory)"
    )
    if keras.config.backend() == "torch":
        assert error("--distribute", "mirrored").startswith(
            "error: Received --distribute mirrored on the backend 'torch', on which Keras "
        )
    for option, value in [("--epochs", 0), ("--accumulate", 0), ("--num-layers", -1)]:
        assert error(option, value) == f"error: Received {option} {value}; expected 1 or more."
    assert error("--steps", 0, "--dry-run") == "error: Received --steps 0; expected 1 or more."
    assert error("--learning-rate", -1) == (
        "error: Received --learning-rate -1.0; expected more than 0."
    )
    assert error("--steps", 3, "--epochs", 1) == (
        "error: --steps says how long the run is, in place of --epochs: give one of them"
    )
    assert error("--packed", 9, *SHAPE).startswith(
        "error: --packed 9: a cell of 24 tokens is longer than the row. Give --packed 24 or more"
    )
    with pytest.raises(SystemExit):  # Without loss scaling float16 would not learn.
        run("--data", data, "--output", tmp_path / "model", "--dtype", "mixed_float16")
    assert "argument --dtype: invalid choice" in capsys.readouterr().err
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("keep")
    assert error(output=mine).startswith(f"error: {mine} exists and holds something else")
    (tmp_path / "preset").mkdir()
    (tmp_path / "preset" / "preset.json").write_text("{}")
    assert error(path=tmp_path / "preset").endswith(
        "is a preset; --data takes a directory of tokenized cells"
    )
    assert {path.name for path in tmp_path.iterdir()} == {
        *("x.h5ad", "bare.dataset", "mine", "preset")
    }


_KILLED = """
    import os, signal, sys
    from keras_geneformer.training.run_log import RunLog

    add = RunLog.add
    def and_die(log, row):
        add(log, row)
        if row["step"] == 5:
            os.kill(os.getpid(), signal.SIGKILL)
    RunLog.add = and_die

    from keras_geneformer.cli import main
    main(sys.argv[1:])
"""


def test_killed_and_typed_again_it_goes_on_and_finishes(data, tmp_path):
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    output = tmp_path / "model"
    arguments = ["--recipe", "mini", "--data", data, "--output", output, *SHAPE]
    arguments += ["--batch-size", 10, "--epochs", 4, "--validation", 0]
    arguments += ["--checkpoint-every", 2, "--tensorboard"]
    command = [sys.executable, "-c", textwrap.dedent(_KILLED), "pretrain", *map(str, arguments)]
    killed = subprocess.run(command, timeout=600, check=False, env=os.environ)
    assert killed.returncode == -signal.SIGKILL
    assert not output.exists()
    state = tmp_path / "model.checkpoints"
    assert pd.read_csv(state / "log.csv")["step"].tolist() == [1, 2, 3, 4, 5]
    assert (state / "checkpoint-000000004").is_dir()

    assert run(*arguments) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    log = pd.read_csv(output / "log.csv")
    assert log["step"].tolist() == list(range(1, 9))
    assert pd.read_csv(output / "history.csv")["step"].tolist() == list(range(1, 9))
    assert GeneformerMaskedLM.from_preset(output).backbone.num_layers == 1
    (events,) = (output / "tensorboard").iterdir()
    reader = event_accumulator.EventAccumulator(str(events))
    reader.Reload()
    assert [point.step for point in reader.Scalars("train/loss")] == list(range(1, 9))
