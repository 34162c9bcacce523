import keras
import numpy as np
import pytest

from keras_geneformer.compression.lora import add_lora
from keras_geneformer.compression.pruning import keep_zeros, prune_smallest, release_zeros
from keras_geneformer.training.optimizers import adamw

pytestmark = pytest.mark.tensors

X = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")
Y = np.arange(8) % 3


def make_model():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(5, name="inner"), keras.layers.Dense(3, name="scores")]
    return keras.Sequential([keras.Input((6,)), *layers], name="model")


def kernels(model):
    convert = keras.ops.convert_to_numpy
    return {name: convert(model.get_layer(name).kernel) for name in ("inner", "scores")}


def test_zeros_stay_zeros_while_the_others_learn_until_they_are_released():
    model = make_model()
    kept = {path.split("/")[-1]: array for path, array in prune_smallest(model, 0.5).items()}
    keep_zeros(model, prune_smallest(model, 0.5))
    pruned = kernels(model)
    assert {name: int((array == 0).sum()) for name, array in pruned.items()} == {
        "inner": 15,
        "scores": 8,
    }
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(adamw(0.05), loss, jit_compile=keras.config.backend() == "jax")
    for _ in range(2):
        model.train_on_batch(X, Y)
    trained = kernels(model)
    for name, array in trained.items():
        assert (array[~kept[name]] == 0).all()
        assert (array[kept[name]] != pruned[name][kept[name]]).all()

    release_zeros(model)
    assert all(variable.constraint is None for variable in model.weights)


def test_what_cannot_be_pruned_is_refused():
    model = make_model()
    with pytest.raises(
        ValueError, match=r"Received a share of 1\.5 to prune; expected one between"
    ):
        prune_smallest(model, 1.5)
    with pytest.raises(ValueError, match="Received scope='row'; expected 'layer' or 'global'"):
        prune_smallest(model, 0.5, "row")
    add_lora(model, 2, ("inner",))
    with pytest.raises(ValueError, match="inner has an adapter or is quantized, and merging would"):
        prune_smallest(model, 0.5)
