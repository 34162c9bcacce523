import numpy as np
import pytest

from keras_geneformer.analysis.perturbation.perturbing import COLUMNS, deletions, perturb
from keras_geneformer.data.inference import compile_forward
from keras_geneformer.testing import synthetic_dataset, tiny_backbone, tiny_vocabulary
from keras_geneformer.tokenization.cells.dataset import CellDataset

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


def test_deletions_close_the_gap():
    assert deletions(np.array([5, 6, 7]), [1, 0]).tolist() == [[5, 7], [6, 7]]


def test_refuses(backbone, cells):
    with pytest.raises(ValueError, match=r"kind='inhibit'; the perturbations there are: delete\."):
        perturb(backbone, cells, kind="inhibit")
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
    with pytest.raises(ValueError, match="are special tokens, which are not deleted"):
        perturb(backbone, cells, genes=[2])
    with pytest.raises(ValueError, match="There is nothing to delete: no cell has two genes or"):
        perturb(backbone, CellDataset([[5]]))
    with pytest.raises(
        ValueError, match=r"The vocabulary \(checksum .*…\) is not the one that the"
    ):
        perturb(backbone, cells, vocabulary=tiny_vocabulary())
