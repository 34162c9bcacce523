"""The verbs that make models smaller: `prune` and `distill`."""

import json

import pytest

from keras_geneformer import GeneformerCellClassifier
from keras_geneformer.cli import main
from keras_geneformer.testing import synthetic_dataset, tiny_backbone, tiny_vocabulary


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A classifier's preset with its vocabulary, and cells of known types."""
    folder = tmp_path_factory.mktemp("smaller")
    cells = synthetic_dataset(12)
    cells.save(folder / "cells.dataset")
    classifier = GeneformerCellClassifier(
        tiny_backbone(num_layers=2), classes=["B cell", "T cell", "monocyte"]
    )
    classifier.save_to_preset(folder / "large", vocabulary=tiny_vocabulary())
    return folder


def test_prune_writes_a_smaller_preset_with_its_vocabulary(folder, capsys):
    arguments = ["prune", str(folder / "large"), "--heads", ".25", "--units", ".5"]
    arguments += ["--cells", str(folder / "cells.dataset"), "--label-key", "cell_type"]
    assert main([*arguments, "--output", str(folder / "pruned")]) == 0
    said = capsys.readouterr().out
    assert "encoder_block_1: 3 of 4 heads, 32 of 64 units" in said
    config = json.loads((folder / "pruned" / "preset.json").read_text())["config"]["backbone"]
    assert (config["config"]["num_heads"], config["config"]["head_dim"]) == (3, 8)
    assert (folder / "pruned" / "vocabulary").is_dir()
    assert GeneformerCellClassifier.from_preset(folder / "pruned").classes[0] == "B cell"


def test_distill_writes_a_student(folder, capsys):
    arguments = ["distill", str(folder / "large"), str(folder / "cells.dataset")]
    arguments += ["--layers", "1", "--label-key", "cell_type", "--validation", ".3"]
    assert main([*arguments, "--set", "hidden=0", "--output", str(folder / "student")]) == 0
    assert "agreement" in capsys.readouterr().out
    run = json.loads((folder / "student" / "run.json").read_text())
    assert (run["blocks"], run["hidden"]) == ([1], 0)
    assert (folder / "student" / "vocabulary").is_dir()


def test_errors_are_one_line(folder, capsys):
    arguments = ["prune", str(folder / "large"), "--output", str(folder / "none")]
    assert main(arguments) == 2
    assert capsys.readouterr().err == (
        "error: There is nothing to prune: give a share of heads, units or weights above 0.\n"
    )
    assert not (folder / "none").exists()
