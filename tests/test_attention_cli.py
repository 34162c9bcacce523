"""The verb `attention`, with a tiny model."""

import pandas as pd
import pytest

from keras_geneformer.cli import main
from keras_geneformer.testing import synthetic_dataset, tiny_backbone, tiny_vocabulary


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attention")
    synthetic_dataset(4).save(folder / "cells.dataset")
    tiny_backbone(num_layers=1).save_to_preset(folder / "model", tiny_vocabulary())
    genes = [f"GENE{number}" for number in range(20)]
    pd.DataFrame({"gene_name": genes}).to_csv(folder / "markers.csv", index=False)
    return folder


def run(files, *options):
    model = ("--model", str(files / "model"))
    return main(["attention", str(files / "cells.dataset"), *model, *map(str, options)])


def test_a_directory_of_tables_and_pictures(files, capsys, tmp_path):
    output = tmp_path / "out"
    options = ("--gene-classes", files / "markers.csv", "--output", output, "--min-cells", 2)
    assert run(files, *options) == 0
    assert {path.name for path in output.iterdir()} >= {
        *("attention.txt", "heads.csv", "ranks.csv", "diversity.csv", "genes.csv", "rollout.csv"),
        *("heads.png", "like_rank.png", "ranks.png", "entropy.png", "rollout.png"),
    }
    assert (output / "attention.txt").read_text() in capsys.readouterr().out
    assert set(pd.read_csv(output / "heads.csv")["gene_class"]) == {"markers"}


def test_one_table(files, tmp_path):
    output = tmp_path / "genes.csv"
    assert run(files, "--output", output, "--genes", "GENE1,GENE2", "--layers", "-1") == 0
    table = pd.read_csv(output)
    assert len(table) == 4 * 2
    assert set(table["symbol"]) == {"GENE1", "GENE2"}


def test_options_that_do_not_go_together(files, capsys, tmp_path):
    assert run(files, "--output", tmp_path / "out") == 2
    assert capsys.readouterr().err.endswith(
        "is a directory, which takes --gene-classes; without them expected a file that ends in "
        ".parquet or .csv\n"
    )
    genes = ("--gene-classes", files / "markers.csv")
    assert run(files, *genes, "--output", tmp_path / "x.csv") == 2
    assert "--gene-classes gives several tables and pictures; expected" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("kept")
    assert run(files, *genes, "--output", tmp_path / "mine") == 2
    assert "holds something else than what would replace it" in capsys.readouterr().err
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine", tmp_path / "mine" / "notes"]
