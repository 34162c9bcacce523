"""What the frozen blocks give for each cell, computed once."""

import tempfile
from typing import Any

import numpy as np

from keras_geneformer.data.inference import compile_forward, inference_batches, run_batches
from keras_geneformer.training.finetuning.batches import TargetBatches
from keras_geneformer.training.finetuning.settings import FinetuneSettings

MOST_BYTES = 4 * 2**30
"""Up to which the states are kept unasked."""


def frozen_states(
    model: Any, batches: TargetBatches, settings: FinetuneSettings
) -> "StateBatches | None":
    """Batches that begin above the frozen blocks, where that pays; None where it does not.

    Frozen blocks compute as at inference, without dropout, so that what they give for a cell is the
    same in every epoch.

    Args:
        model: a `GeneformerCellClassifier`, prepared (`prepare_learnable`).
        batches: of token ids.
        settings: `cache`, `freeze_layers`, `epochs` and what lets frozen blocks change.

    Raises:
        ValueError: `settings.cache` is true where frozen blocks do not stay as they are.
    """
    layers = settings.freeze_layers
    fixed = (
        layers > 0
        and settings.unfreeze is None
        and settings.freeze_embeddings is not False
        and settings.lora is None
        and settings.distribute is None
        and hasattr(model, "network")
    )
    if settings.cache and not fixed:
        raise ValueError(
            "Received cache=True, and there is nothing that stays the same to keep: it goes with "
            "freeze_layers of 1 or more, frozen embeddings, and a cell classifier, and without "
            "unfreeze, lora and distribute."
        )
    size = 4 * int(np.sum(batches.lengths, dtype=np.int64)) * model.backbone.hidden_dim
    wanted = settings.epochs > 1 and size <= MOST_BYTES
    if not fixed or not (wanted if settings.cache is None else settings.cache):
        return None
    return StateBatches(batches, model.backbone, layers)


class StateBatches(TargetBatches):
    """Batches whose inputs hold hidden states after a block, read from a temporary file.

    Args:
        batches: of token ids; the batches are theirs, cell for cell.
        backbone: a `GeneformerBackbone`.
        layer: number of encoder blocks gone through.

    Inputs of a batch: `hidden_states` float32 of shape (B, N, D), `token_ids` and `padding_mask`.
    """

    def __init__(self, batches: TargetBatches, backbone: Any, layer: int) -> None:
        self.__dict__.update(batches.__dict__)
        cells = batches.cells
        starts = np.concatenate([[0], np.cumsum(batches.lengths, dtype=np.int64)])
        self._starts = starts
        shape = (int(starts[-1]), backbone.hidden_dim)
        # Unlinked at once: the system frees it with the map, whatever becomes of the process.
        with tempfile.TemporaryFile(prefix="keras-geneformer-states-") as file:
            self._states = np.memmap(file, dtype=np.float32, mode="w+", shape=shape)
        forward = compile_forward(backbone.hidden_state_model(layer))
        ahead = inference_batches(cells, max_length=backbone.max_sequence_length)
        for rows, _, states in run_batches(forward, ahead):
            for row, state in zip(rows, states):
                length = starts[row + 1] - starts[row]
                self._states[starts[row] : starts[row + 1]] = state[:length]

    def batch(self, epoch: int, step: int) -> tuple:
        """A batch of any epoch, as in `TargetBatches`."""
        inputs, labels, weights = super().batch(epoch, step)
        rows = self.batch_rows(epoch, step)
        shape = (*inputs["token_ids"].shape, self._states.shape[1])
        states = np.zeros(shape, dtype=np.float32)
        for place, row in enumerate(rows):
            own = self._states[self._starts[row] : self._starts[row + 1]]
            states[place, : len(own)] = own
        return {"hidden_states": states, **inputs}, labels, weights
