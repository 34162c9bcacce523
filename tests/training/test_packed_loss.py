"""Packed and unpacked, the same cells give the same loss and the same gradients."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_geneformer.data.batch_source import BatchSource
from keras_geneformer.data.masking import Masking
from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.testing import synthetic_dataset, tiny_backbone
from keras_geneformer.tokenization.cells.dataset import CellDataset
from keras_geneformer.training.objective import masked_sums

pytestmark = pytest.mark.tensors

SPECIAL = {"<pad>": 0, "<mask>": 1}


def epoch(model, source, chunk=None):
    """Sums of `masked_sums` and of the loss's gradients over the batches of an epoch."""
    weights = model.trainable_variables
    total = {}
    for inputs, labels, counted in source:
        sums, gradients = sums_and_gradients(model, inputs, labels, counted, chunk)
        named = zip((variable.path for variable in weights), gradients, strict=True)
        for name, value in [*sums.items(), *named]:
            total[name] = total.get(name, 0) + ops.convert_to_numpy(value).astype("float64")
    return total


def sums_and_gradients(model, inputs, labels, counted, chunk):
    weights = model.trainable_variables
    arguments = (inputs, labels, counted, True, chunk)
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            sums = masked_sums(model, *arguments)
        gradients = tape.gradient(sums["loss"], [variable.value for variable in weights])
        return sums, [tf.convert_to_tensor(gradient) for gradient in gradients]
    if keras.config.backend() == "jax":
        import jax

        def loss(values, *arguments):
            with keras.StatelessScope(zip(weights, values)):
                sums = masked_sums(model, *arguments, training=True, chunk=chunk)
            return sums["loss"], sums

        values = [variable.value for variable in weights]
        step = jax.jit(jax.value_and_grad(loss, has_aux=True))
        (_, sums), gradients = step(values, inputs, labels, counted)
        return sums, gradients
    model.zero_grad()
    sums = masked_sums(model, *arguments)
    sums["loss"].backward()
    return sums, [variable.value.grad for variable in weights]


def assert_same(received, expected):
    assert received.keys() == expected.keys()
    assert expected["masked"] > 0
    for name in ("masked", "accuracy", "top5"):
        assert received[name] == expected[name]
    assert received["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    gradients = {name: value for name, value in expected.items() if value.ndim}
    assert len(gradients) == len(expected) - 4
    # The biases of keys have no gradient but rounding errors.
    noise = 1e-6 * max(np.abs(gradient).max() for gradient in gradients.values())
    for name, gradient in gradients.items():
        atol = max(noise, 1e-5 * np.abs(gradient).max())
        np.testing.assert_allclose(received[name], gradient, atol=atol, rtol=1e-5)


def test_loss_and_gradients_are_those_of_the_cells_unpacked():
    keras.utils.set_random_seed(2)
    cells = synthetic_dataset(12, cls=True)
    cells = CellDataset([cells[cell][: 4 + 9 * cell] for cell in range(12)])
    model = GeneformerMaskedLM(tiny_backbone(cls=True, num_layers=1, dropout=0.0))
    size, special = model.backbone.vocabulary_size, {**SPECIAL, "<cls>": 2, "<eos>": 3}
    masking = Masking(size, special, published=True)
    options = {"masking": masking, "epoch": 1, "batch_size": 12}
    packed = BatchSource(cells, pack=160, **options)
    unpacked = BatchSource(cells, bucket_count=1, **options)
    assert packed.padded_share < 0.2 < 0.4 < unpacked.padded_share
    assert_same(epoch(model, packed), epoch(model, unpacked))


def test_real_cells_packed_lose_what_they_lose_unpacked(reference):
    pq = pytest.importorskip("pyarrow.parquet")
    table = pq.read_table(reference / "tokenizer" / "pancreas_4tech.V1.parquet")
    cells = CellDataset([np.array(ids) for ids in table["input_ids"].to_pylist()[::20]])
    keras.utils.set_random_seed(2)
    model = GeneformerMaskedLM(
        tiny_backbone(
            vocabulary_size=25426,
            max_sequence_length=2048,
            num_layers=1,
            dropout=0.0,
            vocabulary_checksum=None,
        )
    )
    options = {"masking": Masking(25426, SPECIAL), "batch_size": 20}
    packed = BatchSource(cells, pack=1024, **options)
    unpacked = BatchSource(cells, bucket_count=1, **options)
    assert packed.padded_share < 0.15
    assert_same(epoch(model, packed, chunk=256), epoch(model, unpacked, chunk=256))
