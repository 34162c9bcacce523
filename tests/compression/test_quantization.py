"""What is rounded, how well, and what is refused: on every backend."""

import re

import keras
import numpy as np
import pytest

import keras_geneformer as kg
from keras_geneformer.compression.quantization import CALIBRATED, MODES, quantize
from keras_geneformer.compression.quantized_layers import quantized_layers
from keras_geneformer.testing import synthetic_dataset, tiny_backbone

pytestmark = pytest.mark.tensors

KERAS_MODES = [mode for mode in MODES if mode != "openvino-int8"]
LEAST_CORRELATION = {
    "int8": 0.999,
    "int8-dynamic": 0.999,
    "int4": 0.95,
    "gptq": 0.98,
    "float8": 0.99,
}


@pytest.fixture(scope="module")
def cells():
    return synthetic_dataset(4)


def masked_lm():
    keras.utils.set_random_seed(3)
    return kg.GeneformerMaskedLM(tiny_backbone(num_layers=1, initializer_range=0.2))


def scores_of(model, cells):
    ids = np.array(cells[0], dtype=np.int32)[None]
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    positions = np.array([[0, 5]], dtype=np.int32)
    scores = model({**inputs, "mask_positions": positions}, training=False)
    return keras.ops.convert_to_numpy(scores)


@pytest.fixture(scope="module")
def exact(cells):
    return scores_of(masked_lm(), cells)


@pytest.mark.parametrize("mode", KERAS_MODES)
def test_scores_by_the_tied_table_stay_near_and_presets_come_back_to_the_bit(
    mode, cells, exact, tmp_path
):
    model = masked_lm()
    assert not kg.is_quantized(model)
    assert quantize(model, mode, cells if mode in CALIBRATED else None) is model
    assert kg.is_quantized(model)
    kernels, table = MODES[mode]
    schemes = quantized_layers(model)
    assert schemes.pop("embeddings/token_embedding", None) == table
    assert len(schemes) == 6
    assert set(schemes.values()) == {kernels}
    scores = scores_of(model, cells)
    assert np.corrcoef(scores.ravel(), exact.ravel())[0, 1] > LEAST_CORRELATION[mode]
    assert not np.array_equal(scores, exact)

    model.save_to_preset(tmp_path / "preset")
    again = kg.GeneformerMaskedLM.from_preset(tmp_path / "preset")
    assert quantized_layers(again) == quantized_layers(model)
    assert len(again.weights) == len(model.weights)
    for one, other in zip(again.weights, model.weights):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (one, other)))
    np.testing.assert_array_equal(scores_of(again, cells), scores)


def test_what_cannot_be_done_is_refused(cells):
    model = masked_lm()
    with pytest.raises(ValueError, match=r"^Received mode='int2'; expected one of 'int8', 'int8-"):
        quantize(model, "int2")
    with pytest.raises(
        ValueError,
        match=r"^Quantization to 'gptq' needs cells: give calibration= a CellDataset of the kind",
    ):
        quantize(model, "gptq")
    with pytest.raises(ValueError, match=r"^Received calibration cells for 'int8', which needs no"):
        quantize(model, "int8", cells)
    with pytest.raises(ValueError, match=r"^Received a list as calibration; expected a CellDatas"):
        quantize(model, "gptq", [1, 2])
    with pytest.raises(ValueError, match="were tokenized with another vocabulary"):
        quantize(model, "gptq", synthetic_dataset(2, cls=True))
    assert not kg.is_quantized(model)
    if keras.config.backend() != "openvino":
        message = (
            f"Quantization to 'openvino-int8' needs the openvino backend, and this one is "
            f"{keras.config.backend()!r}: set KERAS_BACKEND=openvino before Keras is imported (or "
            "--backend openvino); quantize(model, 'int8') is for every backend."
        )
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            quantize(model, "openvino-int8", cells)
    quantize(model, "int8")
    with pytest.raises(
        ValueError, match=r"is quantized already or has adapters\. Load it in float"
    ):
        quantize(model, "int4")
