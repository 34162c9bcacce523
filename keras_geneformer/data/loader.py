"""Batches of cells, as Keras's `fit`, `evaluate` and `predict` take them on every backend."""

from typing import Any

import numpy as np

from keras_geneformer.backend import require_backend
from keras_geneformer.data.buckets import bucket_lengths, padded_share, plan_batches
from keras_geneformer.data.collation import collate
from keras_geneformer.data.masking import Masking

require_backend()
import keras  # noqa: E402  (the line above chooses the backend, or says what to install)


class CellBatches(keras.utils.PyDataset):
    """Length-bucketed batches of a tokenized dataset.

    Every cell comes exactly once an epoch, among cells of like length. Without labels a batch is
    `(inputs,)`; with labels `(inputs, labels)`; with `masking` it is
    `(inputs, labels, sample_weight)` for a `GeneformerMaskedLM`. `inputs` is a dict of int32 arrays
    `token_ids` and `padding_mask` (B, N), and with masking `mask_positions` (B, M). The shapes are
    few: one a bucket, and one for the last, smaller batch.

    Args:
        cells: a `CellDataset`.
        batch_size: cells a batch; 12 where `max_tokens` is not given either.
        max_tokens: in place of `batch_size`, padded tokens a batch at most.
        labels: (cells,) integer class of every cell, for a classifier.
        masking: how tokens are masked, for a masked LM.
        shuffle: shuffle cells and batches anew each epoch; otherwise the longest cells come first.
        seed: of the shuffling.
        bucket_count: how many padded lengths; more pad less, and compile more often.
        buckets: the padded lengths themselves, in place of `bucket_count` (to share the shapes of
            another `CellBatches`, from its `.buckets`).
        max_length: the model's `max_sequence_length`, above which no bucket goes.
        epoch: the first epoch's number.

    Raises:
        ValueError: no cells, or sizes, labels or buckets that do not fit them.

    Example:
        >>> import numpy as np
        >>> from keras_geneformer.tokenization.dataset import CellDataset
        >>> cells = CellDataset([np.arange(2, 2 + n) for n in (5, 30, 17)])
        >>> batches = CellBatches(cells, batch_size=2)
        >>> len(batches), batches[0][0]["token_ids"].shape, batches.rows(0).tolist()
        (2, (2, 32), [1, 2])
    """

    def __init__(
        self,
        cells: Any,
        *,
        batch_size: int | None = None,
        max_tokens: int | None = None,
        labels: np.ndarray | None = None,
        masking: Masking | None = None,
        shuffle: bool = False,
        seed: int = 0,
        bucket_count: int = 10,
        buckets: np.ndarray | None = None,
        max_length: int | None = None,
        epoch: int = 0,
    ) -> None:
        super().__init__()
        if len(cells) == 0:
            raise ValueError("There are no cells to make batches of.")
        if labels is not None and masking is not None:
            raise ValueError(
                "Give labels (for a classifier) or masking (for a masked LM), not both."
            )
        if labels is not None and len(labels) != len(cells):
            raise ValueError(f"There are {len(labels)} labels for {len(cells)} cells.")
        self.cells = cells
        self.lengths = np.asarray(cells.lengths)
        self.labels = None if labels is None else np.asarray(labels, dtype=np.int32)
        self.masking = masking
        self.shuffle = shuffle
        self.seed = seed
        self.batch_size = 12 if batch_size is None and max_tokens is None else batch_size
        self.max_tokens = max_tokens
        if buckets is None:
            buckets = bucket_lengths(self.lengths, bucket_count, max_length=max_length)
        self.buckets = buckets
        self.pad_token_id = (cells.special_tokens or {}).get("<pad>", 0)
        self.set_epoch(epoch)

    def set_epoch(self, epoch: int) -> None:
        """Plan the batches of an epoch; the same number always gives the same plan."""
        self.epoch = epoch
        rng = np.random.default_rng([self.seed, epoch]) if self.shuffle else None
        self._plan = plan_batches(self.lengths, self.buckets, self.batch_size, self.max_tokens, rng)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch (Keras calls this)."""
        self.set_epoch(self.epoch + 1)

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, index: int) -> tuple:
        batch = self._plan[index]
        token_ids, padding_mask = collate(self.cells, batch.rows, batch.length, self.pad_token_id)
        inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
        if self.labels is not None:
            return inputs, self.labels[batch.rows]
        if self.masking is None:
            return (inputs,)
        masked = self.masking(token_ids, padding_mask, batch.rows, self.epoch)
        inputs = inputs | {"token_ids": masked.token_ids, "mask_positions": masked.mask_positions}
        return inputs, masked.labels, masked.weights

    def rows(self, index: int) -> np.ndarray:
        """The place in the dataset of each cell of a batch, so that results can be put back."""
        return self._plan[index].rows

    @property
    def padded_share(self) -> float:
        """The share of this epoch's tokens that is padding, between 0 and 1."""
        return padded_share(self.lengths, self._plan)
