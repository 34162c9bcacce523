"""The batches of several epochs end to end, by number."""

import sys

import numpy as np

from keras_geneformer.data.batch_source import BatchSource


class BatchStream:
    """The batches of a source, epoch after epoch: `stream[i]` is the i-th batch from its start.

    The number says all: which epoch, which shuffling, which masks. So a reader that knows how many
    batches it took can be resumed, and readers may look ahead across the end of an epoch.

    Args:
        batches: a `BatchSource` (a `CellBatches` is one). The stream starts where it stands now,
            at its `epoch` and `start_step`, and leaves it alone.
        epochs: how many epochs; a first one that was begun counts as one. None: without end.

    Raises:
        ValueError: fewer than one epoch.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset
        >>> source = BatchSource(synthetic_dataset(24), batch_size=8, shuffle=True)
        >>> stream = BatchStream(source, epochs=2)
        >>> len(source), len(stream), len(stream.rows(5))
        (3, 6, 8)
    """

    def __init__(self, batches: BatchSource, epochs: int | None = 1) -> None:
        if epochs is not None and epochs < 1:
            raise ValueError(f"epochs={epochs}; expected 1 or more, or None for no end.")
        self.batches = batches
        self.epochs = epochs
        self._epoch = batches.epoch
        self._start = batches.start_step

    def __len__(self) -> int:
        if self.epochs is None:
            return sys.maxsize
        return self.epochs * self.batches.steps_per_epoch - self._start

    def __getitem__(self, index: int) -> tuple:
        return self.batches.batch(*self._place(index))

    def rows(self, index: int) -> np.ndarray:
        """The place in the dataset of each cell of a batch."""
        return self.batches.batch_rows(*self._place(index))

    def _place(self, index: int) -> tuple[int, int]:
        """Epoch and step of a batch."""
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        epochs, step = divmod(int(index) + self._start, self.batches.steps_per_epoch)
        return self._epoch + epochs, step
