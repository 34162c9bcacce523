"""The masked-LM loss and ten AdamW steps of the published recipe, on a fixed batch."""

import keras
import numpy as np
import pytest

from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.training.optimizers import adamw
from keras_geneformer.training.schedules import WarmupSchedule
from keras_geneformer.training.step import compile_step

pytestmark = pytest.mark.tensors


@pytest.mark.parametrize("name", ["tiny-v1", "tiny-v2"])
def test_ten_steps(reference, name):
    stored = np.load(reference / "pretrain" / f"mlm_batch.{name}.npz")
    loaded = GeneformerMaskedLM.from_preset(reference / "checkpoints" / name)
    config = loaded.get_config()
    config["backbone"]["config"] |= {"dropout": 0.0, "attention_dropout": 0.0}
    model = GeneformerMaskedLM.from_config(config)
    model.set_weights(loaded.get_weights())

    counted = stored["labels"] != -100
    number = counted.sum(axis=1).max()
    positions = np.argsort(~counted, axis=1, kind="stable")[:, :number].astype(np.int32)
    weights = np.take_along_axis(counted, positions, axis=1).astype(np.float32)
    labels = np.where(weights > 0, np.take_along_axis(stored["labels"], positions, axis=1), 0)
    inputs = {
        "token_ids": stored["input_ids"],
        "padding_mask": stored["attention_mask"].astype(np.int32),
        "mask_positions": positions,
    }
    model.compile(
        optimizer=adamw(WarmupSchedule(1e-3, total_steps=10, warmup_steps=2)),
        loss=keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
    )
    batch = (inputs, labels.astype(np.int32), weights)
    step = compile_step(model, batch)
    losses = [step(batch)["loss"] for _ in range(10)]
    assert losses[0] == pytest.approx(float(stored["loss"]), rel=1e-5)
    np.testing.assert_allclose(losses, stored["step_losses"], rtol=2e-5)
    query = model.backbone.get_layer("encoder_block_0").attention.query.kernel
    moved = np.abs(keras.ops.convert_to_numpy(query).T - stored["query0_weight_after_10_steps"])
    # Ten steps move a weight by up to 5e-3.
    assert moved.max() < 1e-4
