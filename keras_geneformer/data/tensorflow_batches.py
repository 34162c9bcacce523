"""Batches of cells as a `tf.data.Dataset`."""

from typing import Any

from keras_geneformer.data.batch_source import BatchSource
from keras_geneformer.data.batch_stream import BatchStream


def tensorflow_batches(
    batches: BatchSource, *, epochs: int | None = 1, workers: int = 2, prefetch: int | None = None
) -> Any:
    """Feed batches through `tf.data`.

    Each pass over the dataset gives the same batches, of `epochs` epochs end to end. So training
    for several epochs takes one pass:

        model.fit(tensorflow_batches(batches, epochs=3), epochs=3, steps_per_epoch=len(batches))

    Args:
        batches: a `BatchSource` (a `CellBatches` is one). It starts where that stands now, at its
            `epoch` and `start_step`, and leaves it alone.
        epochs: how many epochs; None: without end, for `steps_per_epoch`.
        workers: threads that make batches. Their order stays.
        prefetch: batches made ahead. Default: as many as tf.data finds best.

    Returns:
        A `tf.data.Dataset` of `(inputs,)`, `(inputs, labels)` or `(inputs, labels, sample_weight)`
        as `BatchSource` has them, of known cardinality; numbers of cells, tokens and masked
        positions are None in its element specs, as they vary from batch to batch.

    Raises:
        ImportError: TensorFlow is not installed.
        ValueError: fewer than one epoch.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset
        >>> source = BatchSource(synthetic_dataset(24), batch_size=8)
        >>> dataset = tensorflow_batches(source, epochs=2)
        >>> len(dataset), [inputs["token_ids"].shape[0] for inputs, in dataset.take(2)]
        (6, [8, 8])
    """
    try:
        import tensorflow as tf
    except ImportError:
        raise ImportError(
            "tensorflow_batches needs TensorFlow, which is not installed. Install it with "
            '`pip install "keras_geneformer[tensorflow]"`.'
        ) from None
    stream = BatchStream(batches, epochs)
    signature = _signature(batches, tf)
    specs = tf.nest.flatten(signature)
    types = [spec.dtype for spec in specs]

    def arrays(index: Any) -> list:
        return tf.nest.flatten(stream[int(index)])

    def batch(index: Any) -> Any:
        tensors = tf.numpy_function(arrays, [index], types)
        return tf.nest.pack_sequence_as(
            signature,
            [tf.ensure_shape(tensor, spec.shape) for tensor, spec in zip(tensors, specs)],
        )

    numbers = tf.data.Dataset
    numbers = numbers.counter() if epochs is None else numbers.range(len(stream))
    dataset = numbers.map(batch, num_parallel_calls=workers, deterministic=True)
    return dataset.prefetch(tf.data.AUTOTUNE if prefetch is None else prefetch)


def _signature(batches: BatchSource, tf: Any) -> tuple:
    """The element specs of the batches."""
    matrix = tf.TensorSpec([None, None], tf.int32)
    inputs = {"token_ids": matrix, "padding_mask": matrix}
    if batches.labels is not None:
        return inputs, tf.TensorSpec([None], tf.int32)
    if batches.masking is None:
        return (inputs,)
    if batches.pack is not None:
        inputs = {"token_ids": matrix, "cell_numbers": matrix, "positions": matrix}
    return (
        inputs | {"mask_positions": matrix},
        matrix,
        tf.TensorSpec([None, None], tf.float32),
    )
