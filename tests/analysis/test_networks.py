"""Networks of genes from made-up vectors and effects."""

import anndata
import numpy as np
import pandas as pd
import pytest

import keras_geneformer as kg
from keras_geneformer import plotting
from keras_geneformer.analysis import network_edges
from keras_geneformer.analysis.embedding_formats import write_embedding
from keras_geneformer.cli import main
from keras_geneformer.testing import tiny_vocabulary


@pytest.fixture
def vectors():
    """Three groups of twelve genes, near a direction of their own, and their numbers of cells."""
    rng = np.random.default_rng(0)
    middle = np.repeat(np.eye(3, 8), 12, axis=0)
    table = pd.DataFrame(middle + rng.normal(0, 0.1, middle.shape))
    table.index = pd.Index(tiny_vocabulary().genes[:36], name="gene")
    table.insert(0, "cells", np.arange(36) + 1)
    return table


def effects(rows):
    table = pd.DataFrame(rows, columns=["cell", "gene", "state", "value"])
    return table.assign(token=5, kind="delete", measure="gene_cosine")


def brute(values):
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -1)
    return cosines


def test_links_are_those_of_the_nearest_genes(vectors, monkeypatch):
    monkeypatch.setattr(network_edges, "_BLOCK", 7)
    network = kg.gene_network(vectors, neighbours=3, vocabulary=tiny_vocabulary())
    cosines = brute(vectors.drop(columns="cells").to_numpy())
    near = np.argsort(-cosines, axis=1)[:, :3]
    expected = {tuple(sorted((i, j))) for i in range(36) for j in near[i].tolist()}
    place = {gene: number for number, gene in enumerate(vectors.index)}
    ends = [(place[a], place[b]) for a, b in zip(network.edges["source"], network.edges["target"])]
    assert ends == sorted(expected)
    np.testing.assert_allclose(network.edges["weight"], [cosines[pair] for pair in ends])
    assert network.edges["cells"].tolist() == [min(pair) + 1 for pair in ends]
    assert network.genes["symbol"].tolist()[:2] == ["GENE0", "GENE1"]
    adjacency = network.adjacency()
    assert adjacency.diagonal().sum() == 0
    assert abs(adjacency - adjacency.T).max() == 0


def test_threshold_centre_and_least_cells(vectors):
    cosines = brute(vectors.drop(columns="cells").to_numpy())
    whole = kg.gene_network(vectors, neighbours=None, threshold=0.5)
    assert len(whole.edges) == (cosines >= 0.5).sum() / 2
    few = kg.gene_network(vectors, neighbours=None, threshold=0.5, min_cells=20)
    assert few.genes.index.tolist() == vectors.index[19:].tolist()
    shifted = vectors.copy()
    shifted.loc[:, shifted.columns != "cells"] += 5
    assert kg.gene_network(shifted, neighbours=None, threshold=0.9).adjacency().nnz == 36 * 35
    centred = kg.gene_network(shifted, neighbours=2, centred=True)
    assert (centred.edges["source"].str[-2:].astype(int) // 12).equals(
        centred.edges["target"].str[-2:].astype(int) // 12
    )


def test_effects_are_averaged_over_cells(tmp_path, monkeypatch):
    monkeypatch.setattr(network_edges, "_ROWS", 2)
    rows = [
        ("c1", "A", "B", 0.9),
        ("c2", "A", "B", 0.7),
        ("c1", "A", "C", 0.95),
        ("c1", "A", "A", 0.0),
        ("c1", "B", "A", 0.5),
        ("c1", "A+B", "C", 0.1),
    ]
    table = pd.concat([effects(rows), effects(rows).assign(measure="cell_cosine", value=0.0)])
    for suffix in (".csv", ".parquet"):
        path = tmp_path / f"effects{suffix}"
        table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path, index=False)
        network = kg.gene_network(path)
        assert network.directed
        assert network.edges[["source", "target", "cells"]].values.tolist() == [
            ["A", "B", 2],
            ["A", "C", 1],
            ["B", "A", 1],
        ]
        np.testing.assert_allclose(network.edges["weight"], [0.2, 0.05, 0.5])
    assert kg.gene_network(table, neighbours=1).edges["target"].tolist() == ["B", "A"]
    adata = network.to_adata()
    assert adata.shape == (0, 3)
    assert adata.varp["geneformer_effects"][0, 1] == pytest.approx(0.2)
    assert adata.varp["geneformer_effects_cells"][0, 1] == 2
    with pytest.raises(
        ValueError, match=r"^The effects are of several kinds of perturbation \(delete, overexpr"
    ):
        kg.gene_network(pd.concat([table, table.assign(kind="overexpress")]))


def test_modules_are_the_groups_and_a_file_keeps_them(vectors, tmp_path, capsys, monkeypatch):
    pytest.importorskip("igraph")
    pytest.importorskip("scanpy")
    # UMAP takes many seconds to import, and has tests of its own.
    monkeypatch.setattr(plotting, "umap_coordinates", lambda table, seed: table.iloc[:, :2])
    source, output = tmp_path / "genes.parquet", tmp_path / "network.h5ad"
    vectors.rename(columns=str).to_parquet(source)
    assert main(["network", str(source), "--output", str(output), "--neighbours", "4"]) == 0
    said = capsys.readouterr().out
    assert (
        f"36 genes, {anndata.read_h5ad(output).varp['geneformer_similarity'].nnz // 2} links"
        in said
    )
    var = anndata.read_h5ad(output).var
    groups = var["module"].astype(str).to_numpy().reshape(3, 12)
    assert [len(set(group)) for group in groups] == [1, 1, 1]
    assert set(var["module"]) == {"1", "2", "3"}
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [
        "network_map.png",
        "network_modules.png",
    ]
    network = kg.gene_network(vectors, neighbours=4).with_modules()
    hubs = network.hubs(2)
    assert hubs["module"].tolist() == ["1", "1", "2", "2", "3", "3"]
    best = network.genes[network.genes["module"] == "1"]["strength"].max()
    assert hubs["strength"].iloc[0] == best


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda v: v, {"neighbours": None}, "Received neighbours=None and threshold=None, which "),
        (lambda v: v, {"neighbours": 0}, "Received neighbours=0; expected 1 or more, or None."),
        (lambda v: v, {"threshold": 1.5}, r"No link between 36 genes is left \(threshold=1.5, min"),
        (lambda v: v, {"min_cells": 36}, "1 genes of 36 are in 36 cells or more; expected 2 at l"),
        (lambda v: v.assign(symbol="x"), {}, "The table holds symbol beside numbers; expected one"),
        (lambda v: pd.concat([v, v]), {}, "The table holds the gene 'ENSG90000000000' more than o"),
        (lambda v: v * np.nan, {}, "The embeddings hold values that are not finite."),
        (lambda v: 3, {}, "Received a int; expected a table of gene embeddings or of effects, or "),
        (lambda v: effects([]), {}, "The effects hold no rows of the measure gene_cosine: perturb"),
    ],
)
def test_networks_that_cannot_be_made(vectors, change, options, message):
    source = change(vectors)
    if isinstance(source, pd.DataFrame) and source.isna().all(axis=None):
        source["cells"] = 1
    with pytest.raises(ValueError, match=message):
        kg.gene_network(source, **options)


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError, match=r"^nowhere\.parquet: no such file$"):
        kg.gene_network("nowhere.parquet")


def test_cells_are_not_taken_for_genes(vectors, tmp_path):
    names = [f"cell{number}" for number in range(36)]
    cells = vectors.drop(columns="cells").set_axis(names, axis=0)
    with pytest.raises(
        ValueError, match=r"^The vocabulary knows none of the 36 genes, first 'cell0': is it that"
    ):
        kg.gene_network(cells, vocabulary=tiny_vocabulary())
    path = tmp_path / "cells.parquet"
    blocks = iter([(slice(0, 36), cells.to_numpy())])
    about = {"settings": {"layer": -2}}
    write_embedding(path, pd.DataFrame(index=names), blocks, 8, "X_geneformer", about)
    with pytest.raises(
        ValueError, match=r"cells\.parquet holds one row a cell \(embed wrote it\);"
    ):
        kg.gene_network(path)
