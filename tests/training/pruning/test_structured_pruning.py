"""Heads and units that are removed: what is left gives what it gave with them held at 0."""

import re

import keras
import numpy as np
import pytest

from keras_geneformer import CellDataset, GeneformerCellClassifier, GeneformerMaskedLM, prune
from keras_geneformer.compression.gates import head_path, unit_path
from keras_geneformer.data.inference import compile_forward
from keras_geneformer.models.backbone_of import copy_backbone
from keras_geneformer.testing import synthetic_dataset, tiny_backbone
from keras_geneformer.training.pruning.importance import gate_importance

pytestmark = pytest.mark.tensors

INPUTS = {
    "token_ids": np.array([[5, 7, 2, 9, 30, 12], [6, 8, 41, 0, 0, 0]]),
    "padding_mask": np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]]),
}


def backbone(**options):
    keras.utils.set_random_seed(3)
    return tiny_backbone(**{"num_layers": 2, "initializer_range": 0.3, "dropout": 0.0, **options})


def outputs(model):
    return keras.ops.convert_to_numpy(model(INPUTS))


def held_at_zero(model, table):
    """A copy of a backbone whose heads and units that are not kept hand on nothing."""
    copy = copy_backbone(model)
    for block, rows in table[~table["kept"]].groupby("block"):
        layer = copy.get_layer(block)
        for kind, projection, size in (
            ("head", layer.attention.output_projection, model.head_dim),
            ("unit", layer.output_projection, 1),
        ):
            kernel = keras.ops.convert_to_numpy(projection.kernel).copy()
            for number in rows.loc[rows["kind"] == kind, "number"]:
                kernel[(number - 1) * size : number * size] = 0
            projection.kernel.assign(kernel)
    return copy


def test_the_new_model_gives_what_the_old_gives_with_the_removed_held_at_zero():
    model = backbone()
    result = prune(
        model,
        heads=0.4,
        units=0.5,
        scope="global",
        cells=synthetic_dataset(3),
        criterion="embedding",
    )
    assert not np.allclose(outputs(result.model), outputs(model), atol=1e-2)
    np.testing.assert_allclose(
        outputs(result.model), outputs(held_at_zero(model, result.importance)), atol=1e-5
    )
    gone = result.importance[~result.importance["kept"]]["kind"].value_counts()
    assert gone.to_dict() == {"unit": 64, "head": 3}
    assert result.parameters == result.model.count_params() < result.parameters_before


def test_heads_and_units_that_hand_on_nothing_go_first_and_nothing_changes():
    model = backbone()
    for block in (model.get_layer("encoder_block_0"), model.get_layer("encoder_block_1")):
        kernel = keras.ops.convert_to_numpy(block.attention.output_projection.kernel).copy()
        kernel[8:16] = 0
        block.attention.output_projection.kernel.assign(kernel)
        kernel = keras.ops.convert_to_numpy(block.output_projection.kernel).copy()
        kernel[::4] = 0
        block.output_projection.kernel.assign(kernel)
    result = prune(model, heads=0.25, units=0.25)
    assert result.blocks["removed"].tolist() == [[2], [2]]
    assert result.model.block_intermediate_dims == (48, 48)
    np.testing.assert_allclose(outputs(result.model), outputs(model), atol=2e-6)
    found = gate_importance(model, synthetic_dataset(2), criterion="embedding")
    for name in ("encoder_block_0", "encoder_block_1"):
        assert np.flatnonzero(found[head_path(name)] == 0).tolist() == [1]
        assert not found[unit_path(name)][::4].any()


def test_importance_follows_what_the_loss_loses():
    from scipy.stats import spearmanr

    model = GeneformerCellClassifier(backbone(), num_classes=3, pooling="mean")
    whole = synthetic_dataset(12)
    token_ids = np.stack([whole[i][:20] for i in range(12)]).astype(np.int32)
    inputs = {"token_ids": token_ids, "padding_mask": np.ones_like(token_ids)}
    labels = np.arange(12) % 3
    importance = gate_importance(model, CellDataset(list(token_ids)), labels)
    forward = compile_forward(model)

    def losses():
        scores = forward(inputs).astype(np.float64)
        return np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(12), labels]

    whole = losses()
    estimated, true = [], []
    for name in ("encoder_block_0", "encoder_block_1"):
        block = model.backbone.get_layer(name)
        for path, projection, size in (
            (head_path, block.attention.output_projection, 8),
            (unit_path, block.output_projection, 1),
        ):
            kernel = keras.ops.convert_to_numpy(projection.kernel).copy()
            scores = importance[path(name)]
            for number in range(len(scores)) if size > 1 else range(0, 64, 8):
                cut = kernel.copy()
                cut[number * size : (number + 1) * size] = 0
                projection.kernel.assign(cut)
                estimated.append(scores[number])
                true.append(np.abs(losses() - whole).mean())
            projection.kernel.assign(kernel)
    assert spearmanr(estimated, true).statistic > 0.7


def test_a_masked_lm_keeps_its_head_and_a_classifier_its_classes_and_its_blocks():
    mlm = GeneformerMaskedLM(backbone())
    pruned = prune(mlm, heads=0.5, cells=synthetic_dataset(3)).model
    assert isinstance(pruned, GeneformerMaskedLM)
    for own, there in zip(
        pruned.get_layer("masked_lm_head").weights, mlm.get_layer("masked_lm_head").weights
    ):
        np.testing.assert_array_equal(own, there)
    classifier = GeneformerCellClassifier(backbone(), classes=["B", "T"], head_layers=1)
    pruned = prune(classifier, heads=0.5, units=0.25).model
    assert pruned.classes == ["B", "T"]
    head = pruned.get_layer("head_block_0")
    assert (head.num_heads, head.intermediate_dim) == (2, 48)
    np.testing.assert_array_equal(
        pruned.get_layer("scores").kernel, classifier.get_layer("scores").kernel
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "There is nothing to prune: give a share of heads, units or weights above 0."),
        ({"heads": 1.0}, "Received heads=1.0; expected a share from 0 to below 1."),
        ({"heads": "x"}, "Received heads='x'; expected a share from 0 to below 1."),
        (
            {"heads": 0.5, "scope": "block"},
            "Received scope='block'; expected 'layer' or 'global'.",
        ),
        (
            {"heads": 0.5, "criterion": "size"},
            "Received criterion='size'; expected one of 'loss', 'embedding', 'magnitude'.",
        ),
        (
            {"heads": 0.5, "criterion": "loss"},
            "Received criterion='loss' without cells, on which it is measured: give some, or take "
            "'magnitude'.",
        ),
        (
            {"heads": 0.5, "label_key": "cell_type"},
            "Received label_key='cell_type' without cells and a loss that it is for: leave it out, "
            "or give cells.",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        prune(tiny_backbone(num_layers=1), **options)


def test_small_weights_become_zeros_in_a_copy():
    model = backbone()
    result = prune(model, weights=0.5)
    assert result.zeros == 0.5
    assert result.model is not model
    kernel = model.get_layer("encoder_block_0").intermediate.kernel
    assert np.all(keras.ops.convert_to_numpy(kernel) != 0)
    assert result.text().splitlines()[-1] == (
        "50.0% of the kernels' weights are 0; they take as much space as others until the file is "
        "compressed"
    )
