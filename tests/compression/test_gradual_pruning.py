"""Weights become 0 step by step, and stay so."""

import re

import keras
import numpy as np
import pytest

from keras_geneformer import finetune_cells
from keras_geneformer.compression.dense_layers import dense_layers
from keras_geneformer.compression.gradual_pruning import GradualPruning, cubic_share
from keras_geneformer.testing import synthetic_dataset, tiny_backbone
from keras_geneformer.training.finetuning.settings import FinetuneSettings
from keras_geneformer.training.pruning.structured import zero_share

pytestmark = pytest.mark.tensors


def kernels(model):
    return {
        path: keras.ops.convert_to_numpy(layer.kernel)
        for path, layer in dense_layers(model).items()
    }


def test_the_share_rises_as_zhu_and_gupta_have_it():
    shares = [cubic_share(step, 100, 0.9) for step in range(0, 120, 20)]
    expected = [0.9 - 0.9 * (1 - min(step, 100) / 100) ** 3 for step in range(0, 120, 20)]
    np.testing.assert_allclose(shares, expected)


def test_what_is_zero_stays_zero_while_the_rest_moves():
    backbone = tiny_backbone(num_layers=1)
    pruning = GradualPruning(backbone, 0.75, rise=4)
    zero = {path: np.zeros(kernel.shape, bool) for path, kernel in kernels(backbone).items()}
    for step in range(1, 7):
        for layer in dense_layers(backbone).values():
            layer.kernel.assign(layer.kernel + 0.01 * step)
        share = pruning.after(step)
        for path, kernel in kernels(backbone).items():
            if step > 4:
                assert not kernel[zero[path]].any()
            assert (kernel == 0).mean() == pytest.approx(share, abs=0.002)
            zero[path] = kernel == 0
    assert pruning.finished


@pytest.mark.skipif(
    keras.config.backend() == "jax", reason="compiles for half a minute; its parts are tested above"
)
def test_fine_tuning_ends_with_the_share_that_was_asked_for():
    result = finetune_cells(
        tiny_backbone(num_layers=1, initializer_range=0.1),
        synthetic_dataset(30),
        "cell_type",
        epochs=2,
        prune=0.6,
        prune_schedule="cubic",
        calibrate=False,
        progress=False,
    )
    assert zero_share(result.model.backbone) == pytest.approx(0.6, abs=0.001)
    pruned = result.history["pruned"].tolist()
    assert pruned[0] < pruned[1] <= pruned[-1] == 0.6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"prune_schedule": "cubic"},
            "Received prune_schedule='cubic' without prune: give the share of the weights.",
        ),
        (
            {"prune": 0.5, "prune_schedule": "linear"},
            "Received prune_schedule='linear'; expected one of None, 'cubic'.",
        ),
        (
            {"prune": 0.5, "prune_end": 0.0},
            "Received prune_end=0.0; expected a share of the steps above 0, up to 1.",
        ),
        (
            {"prune": 0.5, "prune_schedule": "cubic", "freeze_layers": 1},
            "Received prune_schedule='cubic' with freeze_layers, unfreeze or distribute: what is "
            "frozen cannot learn to do without, and several devices are not pruned while they "
            "train. Leave the schedule out to prune at once.",
        ),
    ],
)
def test_settings_that_contradict_are_refused(options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        FinetuneSettings(**options)
