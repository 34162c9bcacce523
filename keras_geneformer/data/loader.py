"""Batches of cells, as Keras's `fit`, `evaluate` and `predict` take them on every backend."""

from typing import Any

from keras_geneformer.backend import require_backend
from keras_geneformer.data.batch_source import BatchSource

require_backend()
import keras  # noqa: E402  (the line above chooses the backend, or says what to install)


class CellBatches(BatchSource, keras.utils.PyDataset):
    """Length-bucketed batches of a tokenized dataset, as a Keras `PyDataset`.

    The batches are those of `BatchSource`, which says what they hold; Keras goes on to the next
    epoch by itself.

    Args:
        cells: a `CellDataset`.
        workers: threads that make batches ahead, where Keras reads them. More than one pay with
            masking. (There is no `use_multiprocessing`: a batch takes longer to hand from one
            process to another than to make.)
        max_queue_size: batches made ahead at most, with more than one worker.
        **options: `batch_size`, `max_tokens`, `labels`, `masking`, `shuffle`, `seed`,
            `bucket_count`, `buckets`, `padding`, `pack`, `max_length`, `epoch`, `in_order`,
            `shard`, `part`, `multiple` and `start_step`, as in `BatchSource`. Keras begins every
            `fit` with a new epoch; to resume there at `start_step`, give it `tensorflow_batches` or
            `grain_batches` of this.

    Raises:
        ValueError: no cells, or options that do not fit them; or Keras is to read from
            `start_step` on.

    Example:
        >>> import numpy as np
        >>> from keras_geneformer.tokenization.cells.dataset import CellDataset
        >>> cells = CellDataset([np.arange(2, 2 + n) for n in (5, 30, 17)])
        >>> batches = CellBatches(cells, batch_size=2)
        >>> len(batches), batches[0][0]["token_ids"].shape, batches.rows(0).tolist()
        (2, (2, 32), [1, 2])
    """

    def __init__(
        self, cells: Any, *, workers: int = 1, max_queue_size: int = 10, **options: Any
    ) -> None:
        keras.utils.PyDataset.__init__(self, workers=workers, max_queue_size=max_queue_size)
        BatchSource.__init__(self, cells, **options)

    @property
    def num_batches(self) -> int:
        """Batches of an epoch, for Keras."""
        if self.start_step:
            raise ValueError(
                f"Keras begins every fit with a new epoch, and these batches begin at start_step="
                f"{self.start_step} of one: give it tensorflow_batches or grain_batches of them, "
                "which go on from there."
            )
        return len(self)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch (Keras calls this)."""
        self.set_epoch(self.epoch + 1)
