"""The verb perturb-stats: tables, pictures and what it says."""

import sys

import numpy as np
import pandas as pd
import pytest

from keras_geneformer import plotting
from keras_geneformer.cli import main
from keras_geneformer.testing import synthetic_dataset, tiny_vocabulary


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Real ranks of synthetic cells with made-up shifts: the first three genes have an effect."""
    folder = tmp_path_factory.mktemp("stats")
    cells = synthetic_dataset(24)
    cells.save(folder / "cells.dataset")
    vocabulary = tiny_vocabulary()
    rng = np.random.default_rng(0)
    tables = []
    for name, ids in zip(cells.obs.index, (cells[number] for number in range(len(cells)))):
        for state in ("goal", "other"):
            value = rng.normal(size=len(ids)) + 4 * (ids < 5)
            table = {"cell": name, "gene": vocabulary.genes_of(ids), "token": ids, "state": state}
            tables.append(pd.DataFrame({**table, "value": value / 1e4}))
    effects = pd.concat(tables).assign(kind="delete", measure="state_shift")
    effects.to_parquet(folder / "shifts.parquet")
    cosine = effects[effects["state"] == "goal"].assign(measure="cell_cosine", state="original")
    cosine = cosine.assign(value=1 - cosine["value"].abs())
    cosine.to_parquet(folder / "cosines.parquet")
    affected = cosine.assign(measure="gene_cosine", state=np.roll(cosine["gene"], 7))
    pd.concat([cosine, affected]).to_parquet(folder / "affected.parquet")
    pd.DataFrame({"gene_name": vocabulary.symbols_of([2, 3, 4])}).to_csv(
        folder / "known.csv", index=False
    )
    return folder


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_goal_shifts_with_donors_and_a_gene_set(files, tmp_path, capsys):
    output = tmp_path / "stats.csv"
    arguments = ("--goal", "goal", "--alternatives", "other", "--cells", files / "cells.dataset")
    more = ("--donor-key", "donor", "--gene-set", files / "known.csv", "--null-genes", 20)
    assert (
        run("perturb-stats", files / "shifts.parquet", "--output", output, *arguments, *more) == 0
    )
    said = capsys.readouterr().out
    assert "genes in" in said
    assert "known: 3 genes, AUROC" in said
    table = pd.read_csv(output)
    assert {2, 3, 4} == set(table["Gene"][:3])
    assert table["donors"].max() == 4
    assert table["Gene_name"].str.startswith("GENE").all()
    enriched = pd.read_csv(tmp_path / "stats.gene_set.csv")
    assert enriched["auroc_low"].iloc[0] > 0.6
    pictures = {"stats.arrows.png", "stats.ranked.png", "stats.volcano.png"}
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"stats.csv", "stats.gene_set.csv", *pictures}
    for name in pictures:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("effects", "method", "pictures"),
    [
        ("cosines", "vs_null", {"ranked", "volcano"}),
        ("cosines", "mixture", {"ranked"}),
        ("cosines", "aggregate", set()),
        ("affected", "gene_shifts", {"heatmap"}),
    ],
)
def test_every_method_has_its_pictures(files, tmp_path, effects, method, pictures):
    output = tmp_path / "stats.parquet"
    arguments = ("--method", method, "--output", output)
    assert run("perturb-stats", files / f"{effects}.parquet", *arguments) == 0
    assert len(pd.read_parquet(output))
    drawn = {path.name.split(".")[1] for path in tmp_path.iterdir() if path.suffix == ".png"}
    assert drawn == pictures


def test_published_tables_keep_their_index(files, tmp_path):
    output = tmp_path / "stats.csv"
    arguments = ("--published", "--goal", "goal", "--output", output)
    assert run("perturb-stats", files / "shifts.parquet", *arguments) == 0
    table = pd.read_csv(output, index_col=0)
    assert table.columns[0] == "Gene"
    assert (table["Gene"].rank() - 1 == table.index).all()


def test_an_error_leaves_nothing(files, tmp_path, capsys):
    output = tmp_path / "stats.csv"
    assert run("perturb-stats", files / "cosines.parquet", "--output", output) == 2
    assert "error: effects: there is no 'state_shift', which this needs" in capsys.readouterr().err
    assert run("perturb-stats", "nowhere.parquet", "--alternatives", "a", "--output", output) == 2
    assert "--alternatives without --goal" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_arrows_on_a_map_of_cells(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)  # as if it were not installed
    rng = np.random.default_rng(0)
    before = pd.DataFrame(rng.normal(size=(12, 5)), [f"c{cell}" for cell in range(12)])
    after = before.iloc[:4] + 0.1
    axes = plotting.state_arrows(before, after, stretch=5.0)
    assert axes.get_xlabel() == "principal component 1"
    assert [len(drawn.get_offsets()) for drawn in axes.collections] == [12, 4]
    arrows = axes.collections[1]
    ends = arrows.get_offsets() + np.stack([arrows.U, arrows.V], axis=1)
    for column, (low, high) in enumerate((axes.get_xlim(), axes.get_ylim())):
        assert ((ends[:, column] > low) & (ends[:, column] < high)).all(), "an arrow is cut off"
    with pytest.raises(ValueError, match=r"12 x 5 before and 4 x 5 after, 4 of unknown names, and"):
        plotting.state_arrows(before, after.set_axis(list("abcd")), tmp_path / "b.png")
    with pytest.raises(ValueError, match=r"no column \['Sig'\] among \['effect', 'Goal_end_vs"):
        plotting.volcano(
            pd.DataFrame(columns=["effect", "Goal_end_vs_random_pval", "Gene_name"]),
            tmp_path / "c.png",
        )


def test_no_table_that_is_read_is_replaced(files, capsys):
    effects = files / "shifts.parquet"
    kept = effects.read_bytes()
    assert run("perturb-stats", effects, "--goal", "goal", "--output", effects) != 0
    said = capsys.readouterr().err
    assert "shifts.parquet is a table that is read; it would be lost. Choose another output" in said
    assert effects.read_bytes() == kept


def test_a_list_of_no_genes(files, tmp_path, capsys):
    output = tmp_path / "stats.csv"
    arguments = ("--goal", "goal", "--genes", ",", "--output", output)
    assert run("perturb-stats", files / "shifts.parquet", *arguments) != 0
    assert "Received an empty list of genes; expected one or more" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
