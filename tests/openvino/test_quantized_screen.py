"""The screen in int8, against what it screens for."""

import keras
import numpy as np
import pytest

import keras_geneformer as kg
from keras_geneformer.analysis.perturbation.quantized_screen import QuantizedScreen
from keras_geneformer.testing import synthetic_dataset, tiny_backbone

SPECIAL = np.array([0, 1, 2, 3])


@pytest.mark.skipif(keras.config.backend() == "openvino", reason="of the other backends")
def test_other_backends_are_named():
    with pytest.raises(ValueError, match=r"^A screen in int8 needs the openvino backend, and this"):
        QuantizedScreen(None, None, layer=-2, pooling="mean", special=SPECIAL)


@pytest.mark.skipif(keras.config.backend() != "openvino", reason="of the openvino backend")
def test_scores_are_near_the_exact_effects(capsys):
    keras.utils.set_random_seed(2)
    backbone = tiny_backbone(cls=True, num_layers=2, initializer_range=0.2)
    cells = synthetic_dataset(5, cls=True)
    goal = np.random.default_rng(0).normal(size=(1, backbone.hidden_dim))
    read = {"layer": -2, "pooling": "mean", "special": SPECIAL}
    screen = QuantizedScreen(backbone, cells, **read)
    ids = np.asarray(cells[0])
    scores = screen.scores(ids)
    assert np.flatnonzero(np.isnan(scores)).tolist() == [0, len(ids) - 1]
    exact = 1 - kg.perturb(backbone, cells.subset([0]))["value"].to_numpy()
    found = scores[1:-1]
    assert not np.array_equal(found, exact)
    assert np.corrcoef(np.argsort(np.argsort(found)), np.argsort(np.argsort(exact)))[0, 1] > 0.98
    assert screen.noise_floor.shape == (5,)
    assert 0 < screen.noise_floor.max() < exact.mean()
    assert not capsys.readouterr().out

    towards = QuantizedScreen(backbone, cells, states=goal, **read).scores(ids)
    assert np.nanmin(towards) < 0 < np.nanmax(towards)
