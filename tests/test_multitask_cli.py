"""The verbs of several obs columns, on made-up cells."""

import argparse
import re

import pandas as pd
import pytest

from keras_geneformer.cli import main
from keras_geneformer.cli.multitask import _task_weights
from keras_geneformer.testing import synthetic_dataset, tiny_backbone, tiny_vocabulary


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


@pytest.mark.parametrize("verb", ["finetune-multitask", "predict-tasks"])
def test_help_ends_with_an_example(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        run(verb, "--help")
    assert stop.value.code == 0
    assert f"example:\n  keras-geneformer {verb}" in capsys.readouterr().out


def test_task_weights_as_written():
    assert _task_weights("uncertainty") == "uncertainty"
    assert _task_weights("equal") is None
    assert _task_weights("a=1, b c=0.5") == {"a": 1.0, "b c": 0.5}
    message = "'much' is neither uncertainty nor equal, nor COLUMN=WEIGHT with commas between"
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{re.escape(message)}$"):
        _task_weights("much")


@pytest.mark.tensors
def test_finetune_multitask_then_predict_tasks(tmp_path, capsys):
    cells = synthetic_dataset(40)
    cells.save(tmp_path / "cells.dataset")
    backbone = tiny_backbone(num_layers=1)
    backbone.save_to_preset(tmp_path / "pretrained", vocabulary=tiny_vocabulary())
    output = tmp_path / "tasks"
    common = ("--model", tmp_path / "pretrained", "--label-keys", "cell_type,donor")
    chosen = ("--task-weights", "cell_type=1,donor=0.5", "--batch-size", 20, "--freeze-layers", 1)
    assert (
        run(
            *("finetune-multitask", tmp_path / "cells.dataset", *common, *chosen),
            *("--validation", 0.2, "--output", output),
        )
        == 0
    )
    metrics = pd.read_csv(output / "metrics.csv", index_col="task")
    assert metrics["weight"].to_dict() == {"cell_type": 1.0, "donor": 0.5}
    shown = capsys.readouterr().out
    assert f"{metrics.loc['donor', 'accuracy']:.3f}" in shown
    for picture in ("loss.png", "confusions/task_1.png", "confusions/task_2.png"):
        assert (output / picture).read_bytes().startswith(b"\x89PNG")

    labels = tmp_path / "labels.csv"
    predict = ("predict-tasks", tmp_path / "cells.dataset", "--model", output)
    assert run(*predict, "--output", labels) == 0
    table = pd.read_csv(labels, index_col=0)
    assert table.index.tolist() == cells.obs.index.tolist()
    assert set(table["donor_label"]) <= set(cells.obs["donor"])
    assert "cell_type_prob_B cell" in table
