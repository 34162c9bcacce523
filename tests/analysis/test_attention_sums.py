"""Sums of attention against the whole weights of each cell."""

import keras
import numpy as np
import pandas as pd
import pytest

import keras_geneformer as kg
from keras_geneformer.analysis.attention.reductions import BLOCK
from keras_geneformer.testing import tiny_backbone, tiny_vocabulary

pytestmark = pytest.mark.tensors

LENGTHS = (40, BLOCK + 9, 40)


def spread_out(backbone, scale=12.0):
    """Random weights large enough that attention is far from even."""
    for index in range(backbone.num_layers):
        attention = backbone.get_layer(f"encoder_block_{index}").attention
        for layer in (attention.query, attention.key):
            layer.kernel.assign(layer.kernel * scale)
    return backbone


@pytest.fixture(scope="module")
def backbone():
    """Two layers for cells longer than a block of queries."""
    keras.utils.set_random_seed(3)
    return spread_out(
        tiny_backbone(
            cls=True,
            num_layers=2,
            vocabulary_size=164,
            max_sequence_length=160,
            vocabulary_checksum=None,
        )
    )


@pytest.fixture(scope="module")
def vocabulary():
    genes = [f"ENSG{number:011d}" for number in range(160)]
    special = {"<pad>": 0, "<mask>": 1, "<cls>": 2, "<eos>": 3}
    return kg.GeneVocabulary(genes, range(4, 164), np.ones(160), special_tokens=special)


@pytest.fixture(scope="module")
def cells(vocabulary):
    rng = np.random.default_rng(0)
    ids = [np.r_[2, 4 + rng.permutation(160)[: length - 2], 3] for length in LENGTHS]
    return kg.CellDataset(ids, pd.DataFrame({"kind": ["a", "b", "a"]}, list("xyz")), vocabulary)


@pytest.fixture(scope="module")
def weights(backbone, cells):
    """Of each cell (L, H, n, n), in float64."""
    return [kg.attention_weights(backbone, ids).astype(float) for ids in cells]


def of_genes(cells, values):
    """Mean over cells, token id by token id, of (n, ...) values of each cell."""
    found: dict = {}
    for ids, value in zip(cells, values):
        for token, one in zip(ids.tolist(), value):
            found.setdefault(token, []).append(one)
    return {token: np.mean(each, axis=0) for token, each in found.items()}


def test_attention_by_gene_is_the_mean_over_cells(backbone, cells, weights, tmp_path):
    path = kg.attention_by_gene(backbone, cells, batch_size=3, output=tmp_path / "genes.parquet")
    table = pd.read_parquet(path)
    expected = of_genes(
        cells,
        [np.moveaxis(len(w[0, 0]) * w[:, :, 1:-1].mean(axis=2), 2, 0) for w in weights],
    )
    tokens = cells.vocabulary.tokens_of(table["ensembl_id"])
    wanted = [
        expected[token][layer - 1, head - 1]
        for token, layer, head in zip(tokens.tolist(), table["layer"], table["head"])
    ]
    np.testing.assert_allclose(table["attention"], wanted, rtol=2e-5)
    assert np.ptp(wanted) > 2
    assert len(table) == 2 * 4 * (len(expected) - 2)
    ranks = of_genes(cells, [np.arange(len(ids)) - 1 for ids in cells])
    np.testing.assert_allclose(table["rank"], [ranks[token] for token in tokens.tolist()])
    held = np.bincount(np.concatenate(list(cells)))
    assert table["cells"].tolist() == held[tokens].tolist()


def test_heads_are_described_as_their_weights_are(backbone, cells, weights):
    genes = cells.vocabulary.genes.tolist()
    found = kg.attention_heads(backbone, cells, {"few": genes[:40]}, layers=-1, batch_size=3)
    described = []
    for whole in weights:
        length, asking = whole.shape[-1], slice(1, -1)
        rows = whole[-1][:, asking]
        places = np.arange(length)
        entropy = -(rows * np.log(rows)).sum(axis=-1)
        distance = (rows * np.abs(places[asking, None] - places)).sum(axis=-1) / length
        rank = rows @ ((places + 0.5) / length)
        spread = np.sqrt(rows @ ((places + 0.5) / length) ** 2 - rank**2)
        joint = rows.mean(axis=1)
        in_use = np.exp(-(joint * np.log(joint)).sum(axis=-1))
        each = [entropy, np.exp(entropy), distance, rank, spread]
        described.append([*(one.mean(axis=-1) for one in each), in_use, joint[:, [0, -1]].sum(-1)])
    names = found.diversity.columns[2:-1]
    np.testing.assert_allclose(found.diversity[names], np.mean(described, axis=0).T, rtol=2e-4)
    parts = []
    for whole in weights:
        share = whole.shape[-1] * whole[-1][:, 1:-1, 1:-1].mean(axis=1)
        number = share.shape[1]
        part = np.arange(number) * 10 // number
        parts.append([share[:, part == one].mean(axis=1) for one in range(10)])
    np.testing.assert_allclose(
        found.ranks["attention"], np.mean(parts, axis=0).T.ravel(), rtol=2e-5
    )
    assert set(found.heads["layer"]) == {2}


@pytest.mark.parametrize("row", ["mean", "cls"])
def test_rollout_is_a_row_of_the_product_of_matrices(backbone, cells, weights, row, tmp_path):
    path = tmp_path / "cells.parquet"
    table = kg.attention_rollout(backbone, cells, row=row, by="kind", batch_size=3, output=path)
    flows = []
    for whole in weights:
        steps = 0.5 * whole.mean(axis=1) + 0.5 * np.eye(whole.shape[-1])
        product = steps[1] @ steps[0]
        taken = product[1:-1].mean(axis=0) if row == "mean" else product[0]
        flows.append(taken * len(taken))
    each = pd.read_parquet(path).set_index("cell")
    for name, ids, flow in zip(cells.obs.index, cells, flows):
        here = each.loc[name]
        assert here["token"].tolist() == ids[1:-1].tolist()
        np.testing.assert_allclose(here["importance"], flow[1:-1], rtol=2e-5)
    expected = of_genes([cells[0], cells[2]], [flows[0], flows[2]])
    of_a = table[table["kind"] == "a"]
    tokens = cells.vocabulary.tokens_of(of_a["ensembl_id"])
    np.testing.assert_allclose(
        of_a["importance"], [expected[token] for token in tokens.tolist()], rtol=2e-5
    )


def test_what_cannot_be_asked(backbone, cells):
    with pytest.raises(
        ValueError,
        match=r"^Received layer 3; attention is in the model's 2 encoder blocks: expected 1 to 2, "
        r"or -2 to -1\.$",
    ):
        kg.attention_by_gene(backbone, cells, layers=[1, 3])
    with pytest.raises(
        ValueError, match=r"^Received by='type'; the cells' obs has the columns kind\.$"
    ):
        kg.attention_by_gene(backbone, cells, by="type")
    with pytest.raises(ValueError, match=r"^1 of 1 genes are not in the vocabulary: TP54\.$"):
        kg.attention_by_gene(backbone, cells, genes=["TP54"])
    absent = cells.vocabulary.genes[~np.isin(cells.vocabulary.tokens, np.concatenate(list(cells)))]
    with pytest.raises(ValueError, match=rf"^None of the 1 genes is in any of the c.*{absent[0]}"):
        kg.attention_by_gene(backbone, cells, genes=absent[:1])
    with pytest.raises(ValueError, match=r"^None of the 1 genes of the class 'x' is in any of the"):
        kg.attention_heads(backbone, cells, {"x": absent[:1]})
    with pytest.raises(
        ValueError, match=r"^Received against='y'; the classes are other genes, x\.$"
    ):
        kg.attention_heads(backbone, cells, {"x": cells.vocabulary.genes[:5]}, against="y")
    with pytest.raises(ValueError, match=r"^Received row='last'; expected one of mean, cls, first"):
        kg.attention_rollout(backbone, cells, row="last")
    with pytest.raises(ValueError, match=r"^Received token_ids of type float64 and shape \(2,\); "):
        kg.attention_weights(backbone, [5.0, 6.0])
    with pytest.raises(ValueError, match=r"^The vocabulary \(checksum .* is not the one that the "):
        kg.attention_by_gene(backbone, cells, vocabulary=tiny_vocabulary())


def test_groups_are_not_called_as_columns_of_the_table(backbone, cells):
    named = kg.CellDataset(list(cells), cells.obs.assign(layer=cells.obs["kind"]), cells.vocabulary)
    for asked in (kg.attention_by_gene, kg.attention_rollout):
        with pytest.raises(
            ValueError, match=r"^Received by='layer', which is what a column of the result is cal"
        ):
            asked(backbone, named, by="layer")


def test_a_group_without_genes_of_a_class_is_left_out(backbone, cells):
    kind = cells.obs["kind"].to_numpy()
    has = {
        one: set(np.concatenate([cells[i] for i in np.flatnonzero(kind == one)]).tolist())
        for one in ("a", "b")
    }
    only = cells.vocabulary.genes_of(np.array(sorted(has["a"] - has["b"]))).tolist()
    with pytest.warns(UserWarning, match=r"^1 of 2 groups of kind are left out, .* cells: b\.$"):
        found = kg.attention_heads(backbone, cells, {"few": only}, layers=-1, by="kind")
    assert set(found.heads["kind"]) == {"a"}
    with pytest.raises(ValueError, match=r"^No group of cells holds genes of every class\. None"):
        kg.attention_heads(backbone, cells, {"few": only}, by="kind", min_cells=9)
