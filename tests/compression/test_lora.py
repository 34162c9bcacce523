import json

import keras
import numpy as np
import pytest

from keras_geneformer.compression.adapter_files import load_adapters, save_adapters
from keras_geneformer.compression.lora import add_lora, float_kernel, merge_lora
from keras_geneformer.compression.quantized_backbone import quantize_dense

pytestmark = pytest.mark.tensors

WIDTH = 16
X = np.random.default_rng(0).normal(size=(8, WIDTH)).astype("float32")
Y = np.arange(8) % 3
MODES = ("float", "int8", "int4")


class Pair(keras.layers.Layer):
    """Two Dense layers and a LayerNorm within a layer, as attention holds its projections."""

    def __init__(self, **options):
        super().__init__(**options)
        self.query = keras.layers.Dense(WIDTH, bias_initializer="normal", name="query")
        self.key = keras.layers.Dense(WIDTH, bias_initializer="normal", name="key")
        self.normalization = keras.layers.LayerNormalization(name="normalization")

    def build(self, shape):
        for layer in (self.query, self.key, self.normalization):
            layer.build(shape)

    def call(self, x):
        return self.normalization(x + self.key(keras.ops.relu(self.query(x))))


def make_model(seed=0):
    """Three pairs, to be frozen, and these with a head on top."""
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((WIDTH,))
    for name in MODES:
        x = Pair(name=name)(x)
    return keras.Model(inputs, x), keras.Model(inputs, keras.layers.Dense(3, name="scores")(x))


def values(model):
    return {variable.path: keras.ops.convert_to_numpy(variable) for variable in model.weights}


def outputs(model):
    return keras.ops.convert_to_numpy(model(X))


def dtypes(model):
    return [(variable.path, variable.dtype) for variable in model.weights]


def test_adapters_alone_learn_beside_frozen_layers_of_any_width_and_merge_into_float_ones():
    below, model = make_model()
    ordinary = dtypes(model)
    exact = {mode: float_kernel(below.get_layer(mode).query) for mode in MODES}
    for mode, width in (("int8", 255), ("int4", 15)):
        quantize_dense(below.get_layer(mode), mode)
        query = below.get_layer(mode).query
        step = (exact[mode].max(axis=0) - exact[mode].min(axis=0)) / width
        error = np.abs(float_kernel(query) - exact[mode])
        assert (error <= 1.1 * step + 1e-6).all()
        assert error.max() > 0
        assert query.kernel.dtype == "int8" or mode == "int4"
    untouched = outputs(model)
    add_lora(below, rank=4, targets=("query",), alpha=8)
    np.testing.assert_allclose(outputs(model), untouched, atol=1e-6)

    before = values(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss, jit_compile=keras.config.backend() == "jax")
    for _ in range(2):
        model.train_on_batch(X, Y)
    after = values(model)
    adapters = {f"{mode}/query/lora_kernel_{letter}" for mode in MODES for letter in "ab"}
    moved = {path for path in before if (before[path] != after[path]).any()}
    assert moved == adapters | {"scores/kernel", "scores/bias"}

    unmerged = outputs(model)
    assert np.abs(unmerged - untouched).max() > 0.01
    merge_lora(below)
    assert dtypes(model) == ordinary
    np.testing.assert_allclose(outputs(model), unmerged, atol=1e-5)
    assert len(model.trainable_variables) == len(ordinary)


def test_adapters_go_out_alone_and_come_back_to_their_own_model_only(tmp_path):
    below, _ = make_model()
    message = "has no adapters to save: merged ones are part of its kernels. Save before merge_lora"
    with pytest.raises(ValueError, match=message):
        save_adapters(below, tmp_path / "none")
    add_lora(below, rank=2, targets=("query", "key"), alpha=3)
    below.get_layer("int8").key.lora_kernel_b.assign(np.full((2, WIDTH), 0.5))
    directory = tmp_path / "adapters"
    save_adapters(below, directory)
    save_adapters(below, directory)

    again, _ = make_model()
    load_adapters(again, directory)
    np.testing.assert_allclose(outputs(again), outputs(below), atol=1e-6)
    assert {v.name for v in again.trainable_variables} == {"lora_kernel_a", "lora_kernel_b"}
    with pytest.raises(ValueError, match=r"has an adapter already\. Merge it first"):
        load_adapters(again, directory)

    with pytest.raises(ValueError, match="belong to other weights: the biases of their layers"):
        load_adapters(make_model(1)[0], directory)
    with pytest.raises(ValueError, match="belong to another model: they want a Dense layer float"):
        load_adapters(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), directory)
    with pytest.raises(FileNotFoundError, match=r"There is no adapters\.json in"):
        load_adapters(make_model()[0], tmp_path)
    described = directory / "adapters.json"
    description = json.loads(described.read_text())
    description["layers"].popitem()
    described.write_text(json.dumps(description))
    with pytest.raises(ValueError, match=r"are not those that adapters\.json describes"):
        load_adapters(make_model()[0], directory)
    described.write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        load_adapters(make_model()[0], directory)
    (directory / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError):
        save_adapters(below, directory)


def test_what_cannot_be_adapted_or_quantized_is_refused():
    below, _ = make_model()
    message = r"Received targets=\['values'\]; the Dense layers of this model are key, query\."
    with pytest.raises(ValueError, match=message):
        add_lora(below, targets=("values",))
    with pytest.raises(ValueError, match="Received a LoRA rank of 17; expected 1 to 16"):
        add_lora(below, 17, ("query",))
    with pytest.raises(ValueError, match="Received a quantization to 'int2'; expected 'int8' or"):
        quantize_dense(below, "int2")
    with pytest.raises(ValueError, match="has no weights yet"):
        add_lora(keras.Sequential([keras.layers.Dense(2)]))
    add_lora(below, 2, ("query",))
    with pytest.raises(ValueError, match="float/query has an adapter already"):
        add_lora(below, 2, ("query",))
    with pytest.raises(ValueError, match="float/query has an adapter or is quantized already"):
        quantize_dense(below, "int8")
