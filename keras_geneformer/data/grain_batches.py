"""Batches of cells as a grain dataset."""

from typing import Any

from keras_geneformer.data.batch_source import BatchSource
from keras_geneformer.data.batch_stream import BatchStream


def grain_batches(batches: BatchSource, *, epochs: int | None = 1) -> Any:
    """Feed batches through grain.

    What comes is a `grain.MapDataset` of whole batches, of `epochs` epochs end to end: slice it to
    shard it (`dataset[index::count]`), and make it iterable with `to_iter_dataset()`, of whose
    iterator `get_state` and `set_state` save and resume the place. `batch`, `shuffle` and `repeat`
    are not needed; `BatchSource` has them, by lengths and with new masks each epoch. grain's
    threads read the dataset where it is mapped into memory; its processes (`mp_prefetch`) would
    each copy it, and are refused.

    Args:
        batches: a `BatchSource` (a `CellBatches` is one). It starts where that stands now, at its
            `epoch` and `start_step`, and leaves it alone.
        epochs: how many epochs; None: without end.

    Returns:
        A `grain.MapDataset` of tuples of numpy arrays, as `BatchSource` has them.

    Raises:
        ImportError: grain is not installed.
        ValueError: fewer than one epoch.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset
        >>> source = BatchSource(synthetic_dataset(24), batch_size=8)
        >>> dataset = grain_batches(source, epochs=2)
        >>> len(dataset), dataset[4][0]["token_ids"].shape[0]
        (6, 8)
    """
    try:
        import grain
    except ImportError:
        raise ImportError(
            "grain_batches needs grain, which is not installed. Install it with "
            '`pip install "keras_geneformer[grain]"`.'
        ) from None
    return grain.MapDataset.source(BatchStream(batches, epochs))
