import sys
from itertools import islice

import keras
import numpy as np
import pytest

from keras_geneformer.data.batch_source import BatchSource
from keras_geneformer.data.batch_stream import BatchStream
from keras_geneformer.data.grain_batches import grain_batches
from keras_geneformer.data.loader import CellBatches
from keras_geneformer.data.masking import Masking
from keras_geneformer.data.tensorflow_batches import tensorflow_batches
from keras_geneformer.tokenization.cells.dataset import CellDataset

pytestmark = pytest.mark.tensors

OPTIONS = {
    "tokens": {"batch_size": 4},
    "labels": {"batch_size": 5, "labels": np.arange(30) % 2, "shuffle": True},
    "masking": {
        "max_tokens": 300,
        "masking": Masking(122, {"<pad>": 0, "<mask>": 1}),
        "shuffle": True,
        "shard": (1, 2),
        "start_step": 1,
    },
    "packed": {
        "batch_size": 2,
        "masking": Masking(122, {"<pad>": 0, "<mask>": 1}),
        "pack": 128,
        "shuffle": True,
    },
}


@pytest.fixture(scope="module")
def cells():
    rng = np.random.default_rng(0)
    return CellDataset([rng.permutation(np.arange(2, 122))[: 5 + 3 * n] for n in range(30)])


@pytest.fixture
def classifier():
    """A model of three layers: what is tested is what reaches it."""
    names = ("token_ids", "padding_mask")
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in names}
    states = keras.layers.Embedding(122, 4)(inputs["token_ids"])
    pooled = keras.layers.GlobalAveragePooling1D()(states, mask=inputs["padding_mask"])
    model = keras.Model(inputs, keras.layers.Dense(2)(pooled))
    model.compile(
        optimizer="sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    return model


def flat(batch):
    return [np.asarray(array) for array in keras.tree.flatten(batch)]


def assert_same(batches, expected):
    batches, expected = list(batches), list(expected)
    assert len(batches) == len(expected)
    for batch, other in zip(batches, expected):
        assert isinstance(batch, tuple)
        assert batch[0].keys() == other[0].keys()
        assert len(batch) == len(other)
        for array, right in zip(flat(batch), flat(other)):
            assert array.dtype == right.dtype
            np.testing.assert_array_equal(array, right)


@pytest.mark.parametrize("kind", OPTIONS)
def test_every_face_has_the_same_batches_for_two_epochs(cells, kind):
    source = BatchSource(cells, **OPTIONS[kind])
    expected = list(islice(BatchStream(source, epochs=2), len(BatchStream(source, epochs=2))))
    pytest.importorskip("tensorflow")
    dataset = tensorflow_batches(source, epochs=2, workers=3)
    assert len(dataset) == len(expected)
    for _ in range(2):
        assert_same(dataset, expected)
    pytest.importorskip("grain")
    assert_same(grain_batches(source, epochs=2).to_iter_dataset(), expected)
    keras_batches = CellBatches(cells, workers=2, **OPTIONS[kind])
    seen = [keras_batches[index] for index in range(len(keras_batches))]
    keras_batches.on_epoch_end()
    assert_same(seen + list(keras_batches), expected)


def test_keras_refuses_to_resume_where_it_would_begin_anew(cells, classifier):
    batches = CellBatches(cells, batch_size=4, start_step=3)
    message = (
        r"Keras begins every fit with a new epoch, and these batches begin at start_step=3 of one: "
        r"give it tensorflow_batches or grain_batches of them, which go on from there\."
    )
    with pytest.raises(ValueError, match=message):
        classifier.predict(batches, verbose=0)


def test_element_specs_leave_open_what_varies(cells):
    tf = pytest.importorskip("tensorflow")
    inputs, labels, weights = tensorflow_batches(
        CellBatches(cells, **OPTIONS["masking"])
    ).element_spec
    assert all(spec == tf.TensorSpec([None, None], tf.int32) for spec in [*inputs.values(), labels])
    assert set(inputs) == {"token_ids", "padding_mask", "mask_positions"}
    assert weights == tf.TensorSpec([None, None], tf.float32)


def test_a_dataset_without_end_goes_on_to_other_epochs(cells):
    tf = pytest.importorskip("tensorflow")
    source = BatchSource(cells, **OPTIONS["labels"])
    dataset = tensorflow_batches(source, epochs=None)
    assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY
    expected = BatchStream(source, epochs=3)
    assert_same(dataset.take(17), (expected[index] for index in range(17)))


def test_keras_fits_and_predicts_on_tensorflow_batches(cells, classifier):
    pytest.importorskip("tensorflow")
    batches = BatchSource(cells, bucket_count=2, **OPTIONS["labels"])
    history = classifier.fit(
        tensorflow_batches(batches, epochs=2),
        epochs=2,
        steps_per_epoch=len(batches),
        shuffle=False,
        verbose=0,
    )
    assert np.isfinite(history.history["loss"]).all()
    # The first two batches are of one length, and later ones are not.
    ordered = BatchSource(cells, batch_size=3, in_order=True, buckets=np.array([32, 96]))
    scores = classifier.predict(tensorflow_batches(ordered), verbose=0)
    for row in (0, 7, 29):
        ids = cells[row][None]
        alone = classifier({"token_ids": ids, "padding_mask": np.ones_like(ids)})
        np.testing.assert_allclose(scores[row], keras.ops.convert_to_numpy(alone)[0], atol=1e-5)


def test_grain_resumes_at_a_step_and_shards(cells):
    pytest.importorskip("grain")
    source = BatchSource(cells, **OPTIONS["labels"])
    dataset = grain_batches(source, epochs=2)
    iterator = iter(dataset.to_iter_dataset())
    for _ in range(4):
        next(iterator)
    state = iterator.get_state()
    rest = list(iterator)
    resumed = iter(dataset.to_iter_dataset())
    resumed.set_state(state)
    assert_same(resumed, rest)
    assert len(rest) == 8
    labels = [batch[1].sum() for index in range(3) for batch in dataset[index::3]]
    assert len(labels) == 12
    assert sum(labels) == 30


@pytest.mark.parametrize(
    ("face", "module", "message"),
    [
        (
            tensorflow_batches,
            "tensorflow",
            r"tensorflow_batches needs TensorFlow, which is not installed\. Install it with "
            r'`pip install "keras_geneformer\[tensorflow\]"`\.',
        ),
        (
            grain_batches,
            "grain",
            r"grain_batches needs grain, which is not installed\. Install it with "
            r'`pip install "keras_geneformer\[grain\]"`\.',
        ),
    ],
)
def test_names_the_extra_to_install(cells, monkeypatch, face, module, message):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=message):
        face(BatchSource(cells))
