"""`compare`, `cross-validate` and `search` from the command line, on a tiny model."""

import json

import pandas as pd
import pytest

from keras_geneformer.cli import main
from keras_geneformer.cli.finetune_options import assignment, values_of_setting
from keras_geneformer.evaluation import comparison, cross_validation
from keras_geneformer.testing import (
    synthetic_cells,
    synthetic_dataset,
    tiny_backbone,
    tiny_vocabulary,
)


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    synthetic_cells(36).write_h5ad(folder / "cells.h5ad")
    synthetic_dataset(36).save(folder / "cells.dataset")
    tiny_backbone(num_layers=1).save_to_preset(folder / "model", vocabulary=tiny_vocabulary())
    return folder


def test_compare_writes_table_and_picture_and_says_who_wins(files, capsys, monkeypatch):
    def stand_in(model, chosen, label_key, fold, *, seed, progress, settings):
        assert settings["epochs"] == 1
        return pd.DataFrame({"label": ["B cell"] * len(fold[1])})

    monkeypatch.setattr(comparison, "finetuned_predictions", stand_in)
    output = files / "table.csv"
    arguments = ("compare", files / "model", files / "cells.dataset", "--label-key", "cell_type")
    arguments += ("--counts", files / "cells.h5ad", "--baselines", "logistic-regression,svm")
    arguments += ("--epochs", "1", "--folds", "2", "--output", output)
    assert run(*arguments) == 0
    table = pd.read_csv(output)
    assert table.columns[:4].tolist() == ["method", "fold", "accuracy", "macro_f1"]
    assert table["method"].unique().tolist() == ["geneformer", "logistic-regression", "svm"]
    assert output.with_suffix(".png").stat().st_size > 10_000
    said = capsys.readouterr().out
    assert "A baseline wins: " in said
    assert (files / "table.folds" / "verdict.txt").read_text().strip() in said
    before = output.read_bytes()
    assert run(*arguments) == 0
    assert output.read_bytes() == before


def test_cross_validate_holds_out_donors(files, capsys, monkeypatch):
    def stand_in(model, chosen, label_key, fold, *, seed, progress, settings):
        return pd.DataFrame({"label": chosen.labels[fold[1]]})

    monkeypatch.setattr(cross_validation, "finetuned_predictions", stand_in)
    output = files / "crossed"
    arguments = ("cross-validate", files / "model", files / "cells.dataset", "--label-key")
    arguments += ("cell_type", "--leave-out", "monocyte", "--group-key", "donor", "--folds", "2")
    assert (
        run(*arguments, "--epochs", "0.5", "--set", "label_smoothing=0.1", "--output", output) == 0
    )
    found = pd.read_csv(output / "folds.csv")
    assert found["held_out"].str.split(", ").explode().is_unique
    assert set(pd.read_csv(output / "predictions.csv")["true"]) == {"B cell", "T cell"}
    assert (output / "folds.png").exists()
    assert (output / "confusion.png").exists()
    assert json.loads((output / "run.json").read_text())["settings"] == {
        "epochs": 0.5,
        "label_smoothing": 0.1,
    }
    assert "macro_f1: " in capsys.readouterr().out


def test_search_writes_settings_that_fine_tuning_takes(files, capsys):
    pytest.importorskip("optuna", reason="the extra [search] is not installed")
    output = files / "search"
    arguments = ("search", files / "model", files / "cells.dataset", "--label-key", "cell_type")
    arguments += ("--space", "learning_rate=(1e-4, 1e-2, 'log')", "--epochs", "1")
    assert run(*arguments, "--trials", "1", "--output", output) == 0
    best = json.loads((output / "best_settings.json").read_text())
    assert sorted(best) == ["epochs", "learning_rate", "validation"]
    assert len(pd.read_csv(output / "trials.csv")) == 1
    assert (output / "history.png").exists()
    assert "1 trials, 0 given up early; best macro_f1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--folds", "leave-one-out"), "there are no groups: give --group-key"),
        (("--leave-out", "plasma"), "no cell has the label 'plasma', which --leave-out names"),
        (("--baselines", "svm"), "svm look at counts: give --counts: what the cells were"),
        (("--baselines", "forest"), "There is no baseline 'forest'"),
    ],
)
def test_errors_are_one_line_in_the_words_of_the_command(files, capsys, options, message):
    arguments = ("compare", files / "model", files / "cells.dataset", "--label-key", "cell_type")
    assert run(*arguments, "--output", files / "none.csv", *options) == 2
    assert message in capsys.readouterr().err
    assert not (files / "none.csv").exists()


def test_settings_are_read_as_python_writes_them():
    assert assignment("lora=8") == ("lora", 8)
    assert values_of_setting("loss=focal,dice") == ("loss", ["focal", "dice"])
    with pytest.raises(Exception, match="'lora' is not NAME=VALUE"):
        assignment("lora")
