"""The masked LM and the two classifiers."""

import re

import keras
import numpy as np
import pytest

from keras_geneformer.models.cell_classifier import GeneformerCellClassifier
from keras_geneformer.models.gene_classifier import GeneformerGeneClassifier
from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.testing import tiny_backbone, tiny_vocabulary

pytestmark = pytest.mark.tensors

REAL = np.array([[1] * 12, [1] * 5 + [0] * 7], "int32")


@pytest.fixture(scope="module")
def backbone():
    keras.utils.set_random_seed(7)
    return tiny_backbone(cls=True, num_layers=1, initializer_range=0.2)


@pytest.fixture(scope="module")
def cells():
    token_ids = np.random.default_rng(1).integers(4, 124, (2, 12)).astype("int32")
    token_ids[:, 0] = 2
    return {"token_ids": token_ids, "padding_mask": REAL}


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def build(kind, backbone, **options):
    if kind == "masked_lm":
        return GeneformerMaskedLM(backbone, **options)
    if kind == "cell":
        return GeneformerCellClassifier(
            backbone, classes=["B", "T"], pooling="mean", head_layers=1, **options
        )
    return GeneformerGeneClassifier(backbone, num_classes=3, head_dropout=0.4, **options)


def inputs_of(kind, cells):
    positions = {"mask_positions": np.array([[3, 0], [4, 1]], "int32")}
    return cells | positions if kind == "masked_lm" else cells


@pytest.mark.parametrize("kind", ["masked_lm", "cell", "gene"])
def test_keras_file_round_trip(kind, backbone, cells, tmp_path):
    model = build(kind, backbone)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is type(model)
    assert again.get_config() == model.get_config()
    assert again.vocabulary_checksum == tiny_vocabulary(cls=True).checksum
    assert again.backbone.vocabulary_size == 124
    assert again.backbone.special_token_ids == (0, 1, 2, 3)
    assert [w.path for w in again.weights] == [w.path for w in model.weights]
    inputs = inputs_of(kind, cells)
    np.testing.assert_array_equal(numpy(again(inputs)), numpy(model(inputs)))


@pytest.mark.parametrize("kind", ["masked_lm", "cell", "gene"])
def test_scores_are_float32_under_mixed_precision(kind, backbone, cells):
    mixed = type(backbone).from_config(backbone.get_config() | {"dtype": "mixed_bfloat16"})
    scores = build(kind, mixed)(inputs_of(kind, cells))
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"
    assert np.isfinite(numpy(scores)).all()


def test_masked_lm_scores_are_those_of_their_positions(backbone, cells):
    model = GeneformerMaskedLM(backbone)
    asked = np.array([[3, 0, 3], [4, 1, 2]], "int32")
    every = np.array([np.arange(12)] * 2, "int32")
    full = numpy(model(cells | {"mask_positions": every}))
    assert full.shape == (2, 12, 124)
    some = numpy(model(cells | {"mask_positions": asked}))
    np.testing.assert_allclose(some, np.take_along_axis(full, asked[..., None], 1), atol=1e-5)


def test_poolings(backbone, cells):
    hidden = numpy(backbone(cells))
    gene = REAL.astype(bool) & (cells["token_ids"] > 3)
    mean = (hidden * gene[..., None]).sum(1) / gene.sum(1, keepdims=True)
    expected = {"first": hidden[:, 0], "cls": hidden[:, 0], "mean": mean}
    for pooling, pooled in expected.items():
        model = GeneformerCellClassifier(backbone, num_classes=3, pooling=pooling)
        pooler, scores = model.get_layer("pooler"), model.get_layer("scores")
        wanted = np.tanh(pooled @ numpy(pooler.kernel) + numpy(pooler.bias))
        wanted = wanted @ numpy(scores.kernel) + numpy(scores.bias)
        np.testing.assert_allclose(numpy(model(cells)), wanted, atol=1e-5)


def test_gene_scores_are_a_layer_over_every_token(backbone, cells):
    model = GeneformerGeneClassifier(backbone, num_classes=3)
    scores = model.get_layer("scores")
    wanted = numpy(backbone(cells)) @ numpy(scores.kernel) + numpy(scores.bias)
    np.testing.assert_allclose(numpy(model(cells)), wanted, atol=1e-5)


@pytest.mark.parametrize("cls", [GeneformerCellClassifier, GeneformerGeneClassifier])
def test_head_layers_stand_between_backbone_and_head(cls, backbone, cells):
    model = cls(backbone, num_classes=2, head_layers=2)
    plain = cls(backbone, num_classes=2)
    blocks = [model.get_layer(f"head_block_{index}") for index in range(2)]
    assert all(block.num_heads == 4 and block.intermediate_dim == 64 for block in blocks)
    assert len(model.weights) == len(plain.weights) + 2 * 16
    for layer in plain.layers:
        if layer.weights and layer is not backbone:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    assert np.abs(numpy(model(cells)) - numpy(plain(cells))).max() > 1e-4


def test_cls_needs_a_vocabulary_that_has_it():
    message = (
        "Received pooling='cls', but the vocabulary of this backbone has no <cls> token (special "
        "token ids: [0, 1]). Use 'first' or 'mean'."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        GeneformerCellClassifier(tiny_backbone(num_layers=1), num_classes=2, pooling="cls")


@pytest.mark.parametrize("cls", [GeneformerCellClassifier, GeneformerGeneClassifier])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {},
            "Received num_classes=None; expected the number of classes, or their names in classes.",
        ),
        (
            {"num_classes": 0},
            "Received num_classes=0; expected the number of classes, or their names in classes.",
        ),
        (
            {"classes": ["B", "T", "B"]},
            "Received classes=['B', 'T', 'B']; expected every name once.",
        ),
        (
            {"classes": ["B", "T"], "num_classes": 3},
            "Received num_classes=3 and 2 names in classes; expected as many names as classes, or "
            "classes alone.",
        ),
    ],
)
def test_classes_must_agree(cls, backbone, options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        cls(backbone, **options)


def test_class_names_are_text(backbone):
    model = GeneformerGeneClassifier(backbone, classes=np.array([1, 2]), num_classes=np.int64(2))
    assert model.classes == ["1", "2"]
    assert type(model.num_classes) is int


def test_other_poolings_are_refused(backbone):
    message = r"^Received pooling='max'; expected 'first', 'mean' or 'cls'\.$"
    with pytest.raises(ValueError, match=message):
        GeneformerCellClassifier(backbone, num_classes=2, pooling="max")
