"""Geneformer as keras_hub's classes."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_geneformer as kg
from keras_geneformer.testing import synthetic_dataset, tiny_backbone

pytestmark = pytest.mark.tensors

keras_hub = pytest.importorskip("keras_hub", reason="of the extra [hub]")

BATCH = {
    "token_ids": np.arange(2, 34, dtype="int32").reshape(2, 16),
    "padding_mask": np.ones((2, 16), "int32"),
    "mask_positions": np.array([[1, 3], [0, 2]], "int32"),
}
CELLS = {key: BATCH[key] for key in ("token_ids", "padding_mask")}


def of(model, inputs):
    return keras.ops.convert_to_numpy(model(inputs))


def test_ours_and_keras_hubs_are_one_model(tmp_path):
    keras.utils.set_random_seed(1)
    ours = kg.GeneformerMaskedLM(tiny_backbone(num_layers=1))
    hub = kg.keras_hub.GeneformerMaskedLM.from_geneformer(ours)
    assert isinstance(hub, keras_hub.models.MaskedLM)
    np.testing.assert_array_equal(of(hub, BATCH), of(ours, BATCH))

    hub.backbone.enable_lora(2)
    hub.compile(optimizer=keras.optimizers.Adam(0.01), loss=hub.loss)
    # keras_hub leaves the biases of adapted layers to learn.
    learning = {variable.name for variable in hub.backbone.trainable_variables}
    assert learning == {"lora_kernel_a", "lora_kernel_b", "bias"}
    before = of(hub, BATCH)
    history = hub.fit(synthetic_dataset(8), batch_size=4, verbose=0)
    assert np.isfinite(history.history["loss"][0])
    assert np.abs(of(hub, BATCH) - before).max() > 1e-4
    np.testing.assert_array_equal(of(hub, BATCH), of(ours, BATCH))

    directory = tmp_path / "preset"
    hub.save_to_preset(directory)
    again = keras_hub.models.MaskedLM.from_preset(str(directory))
    assert type(again) is kg.keras_hub.GeneformerMaskedLM
    np.testing.assert_allclose(of(again, BATCH), of(hub, BATCH), atol=1e-6)
    assert again.preprocessor.get_config() == hub.preprocessor.get_config()
    backbone = keras_hub.models.Backbone.from_preset(str(directory))
    assert type(backbone) is kg.keras_hub.GeneformerBackbone
    np.testing.assert_allclose(of(backbone, CELLS), of(hub.backbone, CELLS), atol=1e-6)
    assert backbone.geneformer.vocabulary_checksum == ours.vocabulary_checksum

    # Complete or not there: an earlier one is replaced, other things are not.
    hub.backbone.save_to_preset(directory)
    assert not (directory / "task.json").exists()
    (directory / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds something else"):
        hub.save_to_preset(directory)


def test_our_presets_load_as_they_are(tmp_path):
    ours = kg.GeneformerMaskedLM(tiny_backbone(num_layers=1))
    ours.save_to_preset(tmp_path / "ours")
    hub = kg.keras_hub.GeneformerMaskedLM.from_preset(tmp_path / "ours", preprocessor=None)
    np.testing.assert_array_equal(of(hub, BATCH), of(ours, BATCH))
    assert hub.preprocessor is None
    with pytest.raises(ValueError, match=r"load_weights=False for .* expected True"):
        kg.keras_hub.GeneformerBackbone.from_preset(tmp_path / "ours", load_weights=False)


def test_masks_are_those_of_pretraining():
    make = kg.keras_hub.GeneformerMaskedLMPreprocessor
    preprocessor = make(122, {"<pad>": 0, "<mask>": 1, "<cls>": 2}, sequence_length=40, seed=1)
    cells = [[2, *range(3, 63)], list(range(3, 13))]
    inputs, labels, weights = (
        {key: np.asarray(value) for key, value in part.items()}
        if isinstance(part, dict)
        else np.asarray(part)
        for part in preprocessor(cells)
    )
    assert inputs["token_ids"].shape == (2, 40)
    # 15 % of 39 genes (<cls> is none of them), and of 10.
    assert weights.sum(axis=1).tolist() == [6, 2]
    assert 2 not in labels[0]
    for cell, where, label, weight in zip(cells, inputs["mask_positions"], labels, weights):
        counted = weight > 0
        assert np.asarray(cell)[where[counted]].tolist() == label[counted].tolist()
    again = preprocessor(cells)[0]["mask_positions"]
    assert np.asarray(again).tolist() != inputs["mask_positions"].tolist()
    assert preprocessor(inputs, labels)[0] is inputs


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="no backend is involved")
def test_keras_hub_is_loaded_at_its_first_use_and_named_where_it_is_missing():
    code = (
        "import sys, importlib.util\n"
        "import keras_geneformer as kg\n"
        "assert 'keras_hub' not in sys.modules\n"
        "importlib.util.find_spec = lambda name, package=None: None\n"
        "kg.keras_hub"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stderr.strip().splitlines()[-1] == (
        "ImportError: keras_geneformer.keras_hub needs keras_hub, which is not installed. Install "
        "it with `pip install 'keras_geneformer[hub]'`; the models of keras_geneformer itself "
        "need none of it."
    )


def test_masked_batches_of_the_package_train_it():
    from keras_geneformer.data.batch_source import BatchSource
    from keras_geneformer.data.masking import Masking
    from keras_geneformer.data.tensorflow_batches import tensorflow_batches

    keras.utils.set_random_seed(1)
    hub = kg.keras_hub.GeneformerMaskedLM.from_geneformer(tiny_backbone(num_layers=1))
    hub.compile(optimizer=keras.optimizers.Adam(0.01), loss=hub.loss)
    cells = synthetic_dataset(6)
    masking = Masking(hub.backbone.vocabulary_size, cells.special_tokens, seed=0)
    batches = BatchSource(cells, batch_size=3, masking=masking, bucket_count=1)
    before = of(hub, BATCH)
    history = hub.fit(tensorflow_batches(batches), verbose=0)
    assert np.isfinite(history.history["loss"][0])
    assert np.abs(of(hub, BATCH) - before).max() > 1e-4
