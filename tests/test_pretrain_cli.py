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
    assert "leave out num_layers, num_heads, hidden_dim" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    one = ("--steps", 1, "--batch-size", 10, "--validation", 0)
    assert run("--data", data, "--output", again, "--model", output, *one) == 0
    assert "no pictures: drawing needs matplotlib" in capsys.readouterr().out
    record = json.loads((again / "training.json").read_text())
    assert record["recipe"]["name"] == "continual"
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
    assert error("--epochs", 0, *SHAPE).startswith("error: Nothing to train: --epochs 0; expected")
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
    killed = subprocess.run(command, timeout=200, check=False, env=os.environ)
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
