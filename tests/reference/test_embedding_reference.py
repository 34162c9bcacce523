"""Embeddings of cells, genes and states against the published package's EmbExtractor."""

import numpy as np
import pandas as pd
import pytest

from keras_geneformer.analysis.cell_embedding import embed_cells
from keras_geneformer.analysis.gene_embedding import embed_genes
from keras_geneformer.analysis.state_embedding import embed_states, median
from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.models.gene_classifier import GeneformerGeneClassifier
from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary

pytestmark = pytest.mark.tensors

SPECIAL = {
    "tiny-v1": {"<pad>": 0, "<mask>": 1},
    "tiny-v2": {"<pad>": 0, "<mask>": 1, "<cls>": 2, "<eos>": 3},
}
PUBLISHED_LAYER = {-2: -1, -1: 0}
CASES = [
    (name, mode, layer)
    for name, mode in [("tiny-v1", "cell"), ("tiny-v2", "cell"), ("tiny-v2", "cls")]
    for layer in (-2, -1)
]
DIMENSIONS = [str(number) for number in range(32)]


def read_cells(path, name):
    table = pd.read_parquet(path).set_index("cell")
    cells = CellDataset(table["input_ids"].tolist(), table.drop(columns="input_ids"))
    cells.special_tokens = SPECIAL[name]
    return cells


def close(found, expected):
    np.testing.assert_allclose(found, expected, atol=2e-5, rtol=1e-4)


@pytest.fixture(scope="module")
def folder(reference):
    return reference / "emb_extractor"


@pytest.fixture(scope="module")
def models(reference):
    return {
        name: GeneformerMaskedLM.from_preset(reference / "checkpoints" / name) for name in SPECIAL
    }


@pytest.fixture(scope="module")
def vocabularies(dictionaries):
    return {
        "tiny-v1": GeneVocabulary.load(dictionaries / "V1"),
        "tiny-v2": GeneVocabulary.load(dictionaries / "V2"),
    }


@pytest.fixture(scope="module")
def embeddings(folder, models):
    """The embedding of the cells of each case, computed when a test asks for it."""
    pooling = {"cell": "mean", "cls": "cls"}

    class Embeddings(dict):
        def __missing__(self, case):
            name, mode, layer = case
            cells = read_cells(folder / f"{name}.cells.parquet", name)
            self[case] = embed_cells(models[name], cells, layer=layer, pooling=pooling[mode])
            return self[case]

    return Embeddings()


@pytest.mark.parametrize(("name", "mode", "layer"), CASES)
def test_cells_their_mean_and_their_median_are_the_published_ones(
    folder, embeddings, name, mode, layer
):
    embedding = embeddings[name, mode, layer]
    case = folder / f"{name}.{mode}.layer{PUBLISHED_LAYER[layer]}"
    expected = pd.read_parquet(f"{case}.parquet").set_index("cell")
    close(embedding, expected.loc[embedding.index, DIMENSIONS])
    summaries = {
        "exact_mean": embedding.mean(),
        "exact_median": median(embedding.to_numpy().T),
    }
    for statistic, found in summaries.items():
        close(found, pd.read_parquet(f"{case}.{statistic}.parquet").iloc[0])


@pytest.mark.parametrize(("name", "mode"), [("tiny-v1", "cell"), ("tiny-v2", "cls")])
def test_cells_are_drawn_as_published(folder, embeddings, name, mode):
    expected = pd.read_parquet(folder / f"{name}.{mode}.layer-1.max_ncells20.parquet")
    embedding = embeddings[name, mode, -2]
    drawn = np.random.default_rng(42).permutation(len(embedding))[:20]
    assert set(embedding.index[drawn]) == set(expected["cell"])
    close(embedding.loc[expected["cell"]], expected[DIMENSIONS])


@pytest.mark.parametrize(("name", "mode"), [("tiny-v1", "cell"), ("tiny-v2", "cls")])
def test_states_are_the_published_ones(folder, models, embeddings, name, mode):
    cells = read_cells(folder / f"{name}.cells.parquet", name)
    states = ["CD14+ Mono", "B", "NK"]
    with np.load(folder / f"{name}.state_embs.npz") as stored:
        expected = dict(stored)
    pooling = {"cell": "mean", "cls": "cls"}[mode]
    medians = embed_states(
        models[name],
        cells,
        "cell_type",
        states=states,
        pooling=pooling,
        statistic="median",
        published=True,
    )
    for layer, published in PUBLISHED_LAYER.items():
        embedding = embeddings[name, mode, layer]
        for state in states:
            # Of the cells embedded already, which is what embed_states takes the mean of.
            of_state = embedding[(cells.obs["cell_type"] == state).to_numpy()].to_numpy().T
            close(of_state.mean(axis=1), expected[f"{state}|layer{published}|exact_mean"])
            lower = expected[f"{state}|layer{published}|exact_median"]
            close(median(of_state, lower=True), lower)
            if layer == -2:
                close(medians.loc[state], lower)


@pytest.mark.parametrize("name", list(SPECIAL))
def test_genes_are_the_published_ones(folder, models, vocabularies, name):
    cells = read_cells(folder / f"{name}.gene_cells.parquet", name)
    options = {"vocabulary": vocabularies[name], "published": True}
    for layer, published in PUBLISHED_LAYER.items():
        expected = pd.read_parquet(folder / f"{name}.gene.layer{published}.parquet")
        genes = embed_genes(models[name], cells, layer=layer, **options).drop(columns="cells")
        assert set(genes.index) == set(expected["ensembl_id"])
        close(genes.loc[expected["ensembl_id"]], expected[DIMENSIONS])
        mean = pd.read_parquet(folder / f"{name}.gene.layer{published}.exact_mean.parquet")
        close(genes.mean(), mean.iloc[0])

    every = pd.read_parquet(folder / f"{name}.gene.layer-1.style_all.first3.parquet")
    longest_first = np.argsort(-cells.lengths[:3], kind="stable")
    found = embed_genes(models[name], cells.subset(longest_first), statistic=None, **options)
    found["Identifier"] = found.groupby("gene").cumcount()
    rows = every.set_index(["ensembl_id", "Identifier"])["0"]
    assert len(found) == len(rows)
    close(found.set_index(["gene", "Identifier"]).loc[rows.index, range(32)], np.stack(rows))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("tiny-v1-cell", GeneformerCellClassifier), ("tiny-v1-gene", GeneformerGeneClassifier)],
)
def test_a_classifier_embeds_as_published(reference, folder, name, kind):
    expected = pd.read_parquet(folder / f"{name}.cell.layer-1.parquet").set_index("cell")
    cells = read_cells(folder / "tiny-v1.cells.parquet", "tiny-v1")
    embedding = embed_cells(kind.from_preset(reference / "checkpoints" / name), cells)
    close(embedding, expected.loc[embedding.index, DIMENSIONS])
