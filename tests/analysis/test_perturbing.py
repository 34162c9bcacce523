import numpy as np
import pytest

from keras_geneformer.analysis.cell_embedding import embed_cells
from keras_geneformer.analysis.perturbation.effect_reading import read_effects
from keras_geneformer.analysis.perturbation.merging import perturb_merge
from keras_geneformer.analysis.perturbation.perturbing import COLUMNS, perturb
from keras_geneformer.analysis.state_embedding import embed_states
from keras_geneformer.compression.lora import add_lora
from keras_geneformer.data.inference import compile_forward
from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.testing import synthetic_dataset, tiny_backbone, tiny_vocabulary
from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.training.finetuning.prediction import predict

pytestmark = pytest.mark.tensors


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone(cls=True, num_layers=2)


@pytest.fixture(scope="module")
def cells():
    return synthetic_dataset(3, cls=True)


@pytest.fixture(scope="module")
def effects(backbone, cells):
    return perturb(backbone, cells, vocabulary=tiny_vocabulary(cls=True))


def cosine(one, other):
    one, other = one.astype(float), other.astype(float)
    return (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)


def test_every_gene_of_every_cell_is_deleted_once_and_no_special_token(effects, cells):
    assert effects.columns.tolist() == COLUMNS
    for number, name in enumerate(cells.obs.index):
        of_cell = effects[effects["cell"] == name]
        assert of_cell["token"].tolist() == cells[number][1:-1].tolist()
    np.testing.assert_array_equal(
        effects["gene"], tiny_vocabulary(cls=True).genes_of(effects["token"].to_numpy())
    )
    assert set(effects["kind"]) == {"delete"}
    assert effects["value"].dtype == np.float64


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_value_is_the_published_cosine(backbone, cells, pooling):
    forward = compile_forward(backbone.hidden_state_model(1))
    ids, where = cells[1], 7
    before, after = (
        forward({"token_ids": some[None], "padding_mask": np.ones_like(some)[None]})[0]
        for some in (ids, np.delete(ids, where))
    )
    cosines = cosine(after, np.delete(before, where, axis=0))
    expected = cosines[0] if pooling == "cls" else cosines[1:-1].mean()
    values = perturb(backbone, cells.subset([1]), genes=[int(ids[where])], pooling=pooling)["value"]
    np.testing.assert_allclose(values, [expected], atol=1e-6)
    assert values[0] < 1


def test_batches_change_nothing(backbone, cells, effects):
    other = perturb(backbone, cells, batch_size=5)
    assert other["token"].equals(effects["token"])
    np.testing.assert_allclose(other["value"], effects["value"], atol=1e-6)


def test_listed_genes_are_each_deleted_alone_where_they_are(backbone, cells, effects):
    token = int(cells[0][3])
    name = tiny_vocabulary(cls=True).symbols_of([token])[0]
    listed = perturb(backbone, cells, genes=[name], vocabulary=tiny_vocabulary(cls=True))
    expected = effects[effects["token"] == token].reset_index(drop=True)
    assert listed[["cell", "gene", "token"]].equals(expected[["cell", "gene", "token"]])
    np.testing.assert_allclose(listed["value"], expected["value"], atol=1e-6)


def test_without_a_vocabulary_genes_are_named_by_token(backbone):
    effects = perturb(backbone, CellDataset([[5, 6, 7], [8]]))
    assert effects["gene"].tolist() == ["5", "6", "7"]


STATES = {"obs_key": "cell_type", "start": "B cell", "goal": "T cell"}


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_shifts_towards_states_and_of_a_classifier(backbone, pooling):
    cells = synthetic_dataset(7, cls=True)
    classifier = GeneformerCellClassifier(backbone, num_classes=2, classes=["ill", "well"])
    genes = [int(token) for token in cells[3][[2, 9]]]
    effects = perturb(
        backbone,
        cells,
        genes=genes,
        kind="overexpress",
        pooling=pooling,
        states=STATES,
        classifier=classifier,
    )
    assert set(effects["cell"]) == {"cell0", "cell3", "cell6"}
    vectors = embed_states(backbone, cells, "cell_type", pooling=pooling)
    before = cells[3]
    after = np.insert(np.delete(before, 9), 1, before[9])
    pair = CellDataset([before, after])
    pair.special_tokens = cells.special_tokens
    embedding = embed_cells(backbone, pair, pooling=pooling).to_numpy()
    for state in ("B cell", "T cell"):
        shift = np.diff(cosine(embedding, vectors.loc[[state]].to_numpy()))
        found = value_of(effects, "cell3", genes[1], "state_shift", state)
        np.testing.assert_allclose(found, shift[0], atol=2e-6)
    odds = predict(classifier, pair)["prob_ill"].to_numpy(dtype=float)
    found = value_of(effects, "cell3", genes[1], "probability_shift", "ill")
    np.testing.assert_allclose(found, np.diff(odds)[0], atol=1e-5)
    found = value_of(effects, "cell3", genes[1], "log_odds_shift", "ill")
    np.testing.assert_allclose(found, np.diff(np.log(odds / (1 - odds)))[0], atol=1e-4)


def value_of(effects, cell, token, measure, state):
    chosen = effects[(effects["cell"] == cell) & (effects["token"] == token)]
    (value,) = chosen.loc[(chosen["measure"] == measure) & (chosen["state"] == state), "value"]
    return value


def test_shards_of_a_file_are_the_whole(backbone, cells, effects, tmp_path):
    vocabulary = tiny_vocabulary(cls=True)
    paths = [
        perturb(
            backbone,
            cells,
            vocabulary=vocabulary,
            output=tmp_path / f"{number}.parquet",
            shard=(number, 2),
        )
        for number in (1, 2)
    ]
    whole = read_effects(perturb_merge(paths, tmp_path / "all.parquet"))
    assert len(read_effects(paths[1])) > 0
    assert whole.drop(columns="value").equals(effects.drop(columns="value"))
    np.testing.assert_allclose(whole["value"], effects["value"], atol=1e-6)


def test_an_affected_gene_is_compared_with_itself(backbone, cells):
    token = int(cells[1][4])
    effects = perturb(backbone, cells.subset([1]), genes=[token], affected_genes=True)
    of_genes = effects[effects["measure"] == "gene_cosine"]
    others = np.delete(cells[1][1:-1], 3)
    names = tiny_vocabulary(cls=True).genes_of(others)
    assert of_genes["state"].tolist() == names.tolist()
    of_cell = effects.loc[effects["measure"] == "cell_cosine", "value"]
    np.testing.assert_allclose(of_genes["value"].mean(), of_cell, atol=1e-9)


def test_a_backbone_that_has_changed_is_seen():
    backbone, few = tiny_backbone(num_layers=1), CellDataset([[5, 6, 7]])
    read = {"layer": -1, "pooling": "first", "genes": [6]}
    before = perturb(backbone, few, **read)["value"]
    kernel = backbone.get_layer("encoder_block_0").attention.value.kernel
    kernel.assign(5 * kernel)
    after = perturb(backbone, few, **read)["value"]
    assert not np.allclose(before, after, atol=1e-6)
    add_lora(backbone, 2)
    adapter = backbone.get_layer("encoder_block_0").attention.value.lora_kernel_b
    adapter.assign(adapter + 1)
    assert not np.allclose(perturb(backbone, few, **read)["value"], after, atol=1e-6)


def test_at_most_so_many_cells_are_drawn(backbone):
    cells = synthetic_dataset(6, cls=True)
    drawn = [
        perturb(backbone, cells, genes=[10], kind="overexpress", max_cells=2, seed=seed)
        for seed in (0, 0, 1)
    ]
    chosen = [table["cell"].tolist() for table in drawn]
    assert chosen[0] == chosen[1] != chosen[2]


def test_refuses(backbone, cells):
    with pytest.raises(ValueError, match="kind='knockdown'; the perturbations there are: delete,"):
        perturb(backbone, cells, kind="knockdown")
    with pytest.raises(ValueError, match=r"1 of 2 genes are not in the vocabulary: NOGENE\."):
        perturb(backbone, cells, genes=["GENE5", "NOGENE"], vocabulary=tiny_vocabulary(cls=True))
    few = CellDataset([[5, 6, 7]])
    with pytest.raises(ValueError, match="To find genes by name the vocabulary is needed: pass"):
        perturb(backbone, few, genes=["GENE5"])
    with pytest.raises(ValueError, match=r"None of the 1 genes is in any of the cells: 9\."):
        perturb(backbone, few, genes=[9])
    with pytest.warns(
        UserWarning, match=r"1 of 2 genes are in none of the cells, and are left out"
    ):
        assert len(perturb(backbone, few, genes=[9, 6])) == 1
    with pytest.raises(ValueError, match=r'Received genes="?\'?GENE5'):
        perturb(backbone, cells, genes="GENE5")
    with pytest.raises(ValueError, match="Received an empty list of genes; expected"):
        perturb(backbone, cells, genes=[])
    with pytest.raises(ValueError, match="are special tokens, which are no genes"):
        perturb(backbone, cells, genes=[2])
    with pytest.raises(ValueError, match="There is nothing to perturb: no cell has two genes or"):
        perturb(backbone, CellDataset([[5]]))
    with pytest.raises(ValueError, match="The gene 9 is in the list of genes twice; name each"):
        perturb(backbone, cells, genes=[9, 8, 9])
    with pytest.raises(ValueError, match='Received genes="all" with together=True or a combin'):
        perturb(backbone, cells, together=True)
    with pytest.raises(ValueError, match="together=True, combination=2 and anchor=None; expected"):
        perturb(backbone, cells, genes=[9, 8], together=True, combination=2)
    with pytest.raises(ValueError, match=r"Received combination=3 of 2 genes; expected 1 \(each"):
        perturb(backbone, cells, genes=[9, 8], combination=3)
    with pytest.raises(ValueError, match="A screen scores deletions of single genes: leave screen"):
        perturb(backbone, cells, kind="overexpress", screen=5)
    with pytest.raises(ValueError, match="Received max_cells=0; expected 1 or more"):
        perturb(backbone, cells, max_cells=0)
    with pytest.raises(ValueError, match="Received shard=3/2; expected 1/2 to 2/2"):
        perturb(backbone, cells, shard=(3, 2))
    with pytest.raises(ValueError, match="Received a GeneformerBackbone as classifier; expected a"):
        perturb(backbone, cells, classifier=backbone)
    with pytest.raises(ValueError, match="one of mean, cls, first"):
        perturb(backbone, cells, pooling="max")
    with pytest.raises(ValueError, match="batch_size must be at least 1, not 0"):
        perturb(backbone, cells, batch_size=0)
    with pytest.raises(
        ValueError, match=r"The vocabulary \(checksum .*…\) is not the one that the"
    ):
        perturb(backbone, cells, vocabulary=tiny_vocabulary())
