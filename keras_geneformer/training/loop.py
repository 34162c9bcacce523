"""The two drivers of a training: a loop of our own over steps, and Keras's `fit`."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import pandas as pd

from keras_geneformer.data.batch_source import BatchSource
from keras_geneformer.training.ending import asked_to_end
from keras_geneformer.training.run_record import RunRecord
from keras_geneformer.training.step import Step, compile_step

DRIVERS = ("loop", "fit")


def train(
    model: Any, batches: BatchSource, steps: int, *, step: Step | None = None, **options: Any
) -> pd.DataFrame:
    """Train a compiled model, step by step.

    Args:
        model: a compiled Keras model.
        batches: with labels or masking; the first pass is its epoch in hand.
        steps: batches to train on; a pass may end early.
        step: a compiled step. Default: the model's own, compiled here.
        **options: `progress`, `description`, `after_epoch`, `checkpoints`, `checkpoint_every`,
            `ending` and `log`, as in `RunRecord`.

    Returns:
        One row a step: `step` and `epoch` (from 1), `loss`, `accuracy`, `learning_rate`, `tokens`
        (real ones), `seconds` since the start, and whatever `after_epoch` gave.

    Raises:
        FloatingPointError: the loss is no longer finite.
        SystemExit: with code 0, after SIGTERM, when the state is saved.
    """
    step = compile_step(model, batches[0]) if step is None else step
    model.optimizer.build(model.trainable_variables)
    record = RunRecord(model, batches, steps, **options)
    try:
        with asked_to_end(record.ending):
            for batch in _read_ahead(record):
                rate = float(model.optimizer.learning_rate)
                record.after(step(batch), rate)
                if record.stopped:
                    break
    finally:
        record.close()
    return record.history()


def fit(
    model: Any,
    batches: BatchSource,
    steps: int,
    *,
    rate: Callable[[int], float],
    callbacks: list | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Train a compiled model by Keras's own `fit`.

    All steps that are left are one epoch to Keras; validation, logs and checkpoints come from the
    same `RunRecord` as in `train`.

    Args:
        model: a compiled Keras model with the metric `accuracy`, made in the scope in which this is
            called.
        batches: with masking.
        steps: batches to train on.
        rate: learning rate of a step, from 0.
        callbacks: Keras callbacks to be called besides.
        **options: as in `RunRecord`.

    Returns:
        As `train`.
    """
    model.optimizer.build(model.trainable_variables)
    record = RunRecord(model, batches, steps, **options)
    try:
        with asked_to_end(record.ending):
            if record.done < steps:
                model.fit(
                    _steps(record),
                    epochs=1,
                    shuffle=False,
                    verbose=0,
                    callbacks=[_Recording(record, rate), *(callbacks or [])],
                )
    finally:
        record.close()
    return record.history()


def _read_ahead(record: RunRecord) -> Iterator[tuple]:
    """The batches that are left; the next one is made while the device works on one."""
    if record.done == record.steps:
        return
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(record.batches.batch, *record.place(record.done))
        for number in range(record.done + 1, record.steps + 1):
            batch = coming.result()
            if number < record.steps:
                coming = reader.submit(record.batches.batch, *record.place(number))
            yield batch


def _steps(record: RunRecord) -> Any:
    """The batches that are left of a run, as Keras's `fit` reads them."""
    steps = _Steps(record)
    if keras.config.backend() != "tensorflow":
        return steps
    # Keras would take the lengths that vary from the first two batches, which may be of one length
    # where a run goes on.
    import tensorflow as tf

    specs = tf.nest.map_structure(
        lambda array: tf.TensorSpec([None] * array.ndim, array.dtype), steps[0]
    )
    batches = tf.data.Dataset.from_generator(
        lambda: (steps[index] for index in range(len(steps))), output_signature=specs
    )
    number = tf.data.experimental.assert_cardinality(len(steps))
    return batches.apply(number).prefetch(tf.data.AUTOTUNE)


class _Steps(keras.utils.PyDataset):
    """The batches that are left of a run, by number."""

    def __init__(self, record: RunRecord) -> None:
        super().__init__()
        self._record = record
        self._start = record.done

    def __len__(self) -> int:
        return self._record.steps - self._start

    def __getitem__(self, index: int) -> tuple:
        return self._record.batches.batch(*self._record.place(self._start + index))


class _Recording(keras.callbacks.Callback):
    def __init__(self, record: RunRecord, rate: Callable[[int], float]) -> None:
        super().__init__()
        self._record = record
        self._rate = rate
        self._random: Any = None
        if keras.config.backend() == "torch":
            import torch

            self._random = torch.get_rng_state()

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if batch == 0 and self._random is not None:
            # PyTorch's reader draws from the generator that dropout goes on with.
            import torch

            torch.set_rng_state(self._random)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if hasattr(self.model, "jax_state_sync"):
            # Within `fit` on JAX the variables are empty: checkpoints, validation and the callbacks
            # that follow read them.
            self.model.jax_state_sync()
        rate = self._rate(self._record.done)
        self._record.after({name: float(value) for name, value in (logs or {}).items()}, rate)
