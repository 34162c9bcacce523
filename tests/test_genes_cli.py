"""The verbs on genes, from tables on disk to tables on disk; training is tested elsewhere."""

import keras
import pandas as pd
import pytest

import keras_geneformer as kg
from keras_geneformer.cli import main
from keras_geneformer.testing import tiny_backbone, tiny_vocabulary

VOCABULARY = tiny_vocabulary()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("genes")
    cells = kg.CellDataset([VOCABULARY.tokens[:50]] * 6, vocabulary=VOCABULARY)
    cells.save(folder / "cells.dataset")
    tiny_backbone(num_layers=1).save_to_preset(folder / "model", vocabulary=VOCABULARY)
    rows = {"gene_name": [f"GENE{n}" for n in range(8)], "label": ["marker", "other"] * 4}
    pd.DataFrame(rows).to_csv(folder / "my_genes.csv", index=False)
    return folder


@pytest.mark.tensors
@pytest.mark.skipif(
    keras.config.backend() != "torch", reason="other backends compile every fold's training anew"
)
def test_a_list_becomes_a_classifier_and_its_report(files, capsys):
    command = ["finetune-genes", str(files / "cells.dataset"), "--model", str(files / "model")]
    command += ["--genes", str(files / "my_genes.csv"), "--output", str(files / "out"), "--folds"]
    assert main([*command, "2", "--score", "GENE30,GENE31", "--published", "--epochs", "1"]) == 0
    said = capsys.readouterr().out
    assert "(mean and sd over 2 folds of genes)" in said
    assert "my_genes.csv: 8 rows; taken: 4 marker, 4 other" in said
    assert "2 genes without a class scored" in said
    written = {path.name for path in (files / "out").iterdir()}
    assert written >= {"genes.csv", "folds.csv", "summary.json", "genome.csv", "history.csv"}
    assert written >= {"report.html", "roc.png", "auc.png", "gene_scores.png", "vocabulary"}
    assert main([*command, "none"]) == 0
    assert "no genes were held out" in capsys.readouterr().out
    assert not (files / "out" / "folds.csv").exists()
    scored = files / "scored.csv"
    arguments = ["--model", str(files / "out"), "--output", str(scored), "--genes", "GENE7,gene40"]
    assert main(["predict-genes", str(files / "cells.dataset"), *arguments]) == 0
    assert pd.read_csv(scored)["symbol"].tolist() == ["GENE7", "GENE40"]
    assert "2 genes scored" in capsys.readouterr().out


@pytest.mark.tensors
def test_errors_are_one_line(files, capsys):
    command = ["finetune-genes", str(files / "cells.dataset"), "--model", str(files / "model")]
    command += ["--output", str(files / "none"), "--genes"]
    assert main([*command, str(files / "absent.csv")]) == 2
    assert capsys.readouterr().err.endswith("absent.csv: no such file\n")
    assert main([*command, str(files / "my_genes.csv"), "--folds", "5"]) == 2
    assert "error: The class 'marker' has 4 genes in the cells, and 5" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, str(files / "my_genes.csv"), "--folds", "many"])
    assert "'many' is no number, nor none" in capsys.readouterr().err
    assert not (files / "none").exists()
