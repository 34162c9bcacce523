"""Which weights of the real V1 shape decay, against the rule of the published run."""

import keras
import numpy as np
import pytest

from keras_geneformer.conversion.table import checkpoint_table
from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.models.sizes import v1_10m
from keras_geneformer.training.optimizers import adamw

pytestmark = pytest.mark.tensors

RATE, DECAY = 0.5, 0.02


@pytest.fixture(scope="module")
def model():
    return GeneformerMaskedLM(v1_10m())


def published_groups(model):
    """(variables that decay, variables that do not), by their names in the published checkpoint.

    The published run is by the trainer of transformers, which decays every parameter but those of
    LayerNorm modules and those named bias.
    """
    groups: tuple[list, list] = ([], [])
    for row in checkpoint_table(6, "masked_lm"):
        (variable,) = [
            v for v in model.trainable_variables if f"/{v.path}".endswith(f"/{row.path}")
        ]
        spared = "LayerNorm" in row.key or row.key.endswith("bias")
        groups[spared].append(variable)
    return groups


def test_every_weight_is_in_one_group_and_the_groups_are_the_published_ones(model):
    decayed, spared = published_groups(model)
    assert {id(v) for v in decayed + spared} == {id(v) for v in model.trainable_variables}
    assert len(decayed) == 3 + 6 * 6 + 1  # tables, six kernels a block, the head's kernel
    assert len(spared) == 2 + 6 * 10 + 4
    assert sum(int(np.prod(v.shape)) for v in decayed + spared) == 10_288_722
    optimizer = adamw(RATE, DECAY)
    optimizer.build(model.trainable_variables)
    ours = [v for v in model.trainable_variables if optimizer._use_weight_decay(v)]
    assert {v.path for v in ours} == {v.path for v in decayed}


def test_a_step_of_pure_decay_shrinks_these_and_no_others(model):
    decayed, spared = published_groups(model)
    for variable in model.trainable_variables:
        variable.assign(keras.ops.ones(variable.shape))
    optimizer = adamw(RATE, DECAY)
    optimizer.build(model.trainable_variables)
    nothing = [keras.ops.zeros(variable.shape) for variable in model.trainable_variables]
    optimizer.apply(nothing, model.trainable_variables)
    for group, left in ((decayed, 1 - RATE * DECAY), (spared, 1.0)):
        for variable in group:
            values = keras.ops.convert_to_numpy(variable)
            assert values.min() == values.max() == pytest.approx(left, rel=1e-6), variable.path
