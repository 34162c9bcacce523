"""A masked LM as it is trained: one step, whatever the backend and however many devices."""

from importlib import import_module
from typing import Any

import keras

from keras_geneformer.training.objective import masked_sums


class PretrainingModel(keras.Model):
    """A `GeneformerMaskedLM` with the training step of pretraining.

    A step takes one batch. Every device adds up the losses of its own rows; gradients and sums are
    added over all devices and divided by the number of masked positions in the whole batch, so that
    the step is that of one device on the whole batch. Gradients are clipped after that.

    The step is Keras's `train_step`: `fit` drives it, or a loop of one's own
    (`keras_geneformer.training.step`).

    Args:
        masked_lm: the model; its weights are trained in place.
        accumulate: micro-batches into which each device splits its rows, one after the other, so
            that less memory is needed; the result is the same.
        chunk: positions whose scores are held in memory at a time; None for all.

    Example:
        >>> import keras, numpy as np
        >>> from keras_geneformer.testing import tiny_backbone
        >>> from keras_geneformer import GeneformerMaskedLM
        >>> model = PretrainingModel(GeneformerMaskedLM(tiny_backbone()))
        >>> ids = np.array([[5, 1, 7]], dtype="int32")
        >>> inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
        >>> inputs["mask_positions"] = np.array([[1]], dtype="int32")
        >>> weights = np.ones((1, 1), dtype="float32")
        >>> float(model((inputs, np.array([[6]], dtype="int32"), weights))["masked"])
        1.0
    """

    def __init__(self, masked_lm: Any, accumulate: int = 1, chunk: int | None = None) -> None:
        super().__init__(name="pretraining")
        if accumulate < 1:
            raise ValueError(f"Received accumulate={accumulate}; expected 1 or more micro-batches.")
        if chunk is not None and chunk < 1:
            raise ValueError(f"Received chunk={chunk}; expected 1 or more positions, or None.")
        self.masked_lm = masked_lm
        self.accumulate = accumulate
        self.chunk = chunk
        self.built = True

    def call(self, batch, training=False):
        """Sums over the masked positions of a batch: `loss`, `accuracy`, `top5` and `masked`."""
        inputs, labels, weights = batch
        return masked_sums(
            self.masked_lm, inputs, labels, weights, training=training, chunk=self.chunk
        )

    def compile(self, optimizer: Any, **options: Any) -> None:
        """Set the optimizer, which is told that the gradients it gets are those of all devices."""
        optimizer.gradients_are_global = True
        super().compile(optimizer=optimizer, **options)

    def reset_metrics(self) -> None:
        """Nothing to do: a step's sums are its own. (Keras resets its tracker of the loss before
        each batch, for which JAX makes all processes of a run wait for one another.)
        """

    def train_step(self, *data):
        """One optimizer step, as Keras calls it on the backend in use."""
        return _step().train_step(self, *data)

    def test_step(self, *data):
        """Loss and metrics of a batch, as Keras calls it on the backend in use."""
        return _step().test_step(self, *data)


def means(sums: dict[str, Any]) -> dict[str, Any]:
    """Means over masked positions, and beside them how many these were.

    Args:
        sums: `loss`, `accuracy`, `top5` and `masked`, as tensors of the backend.
    """
    masked = keras.ops.maximum(sums["masked"], 1.0)
    shown = {name: value / masked for name, value in sums.items() if name != "masked"}
    return shown | {"masked": sums["masked"]}


def _step() -> Any:
    return import_module(f"keras_geneformer.training.{keras.config.backend()}_step")
