"""The loop over steps and epochs that every recipe here shares."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from keras_geneformer.data.loader import CellBatches
from keras_geneformer.training.checkpoints import Checkpoints
from keras_geneformer.training.step import compile_step


def train(
    model: Any,
    batches: CellBatches,
    steps: int,
    *,
    progress: bool = False,
    description: str = "",
    after_epoch: Callable[[int], dict[str, float]] | None = None,
    checkpoints: Checkpoints | None = None,
    checkpoint_every: int = 1000,
) -> pd.DataFrame:
    """Train a compiled model, step by step.

    Args:
        model: a compiled Keras model with the metric `accuracy`.
        batches: with labels or masking. Its epoch goes on with each pass over the cells.
        steps: batches to train on; a pass may end early.
        progress: show a bar, counting cells, with loss and accuracy of the last step, tokens a
            second (real ones, not padded ones) and the share of padding.
        description: of the bar.
        after_epoch: called with the epoch's number (from 1) after each pass, and after the last
            step; what it returns is written beside the last step of the epoch.
        checkpoints: where the state is kept, and from where it is taken up again.
        checkpoint_every: steps from one checkpoint to the next. One is also made after the last
            step, and when the process is told to end (SIGTERM).

    Returns:
        One row a step: `step` and `epoch` (from 1), `loss`, `accuracy`, `learning_rate`, and
        whatever `after_epoch` gave.

    Raises:
        FloatingPointError: the loss is no longer finite.
        SystemExit: with code 0, after SIGTERM, when the state is saved.
    """
    step = compile_step(model, batches[0])
    model.optimizer.build(model.trainable_variables)
    done, rows = (0, []) if checkpoints is None else checkpoints.restore(model)
    first_epoch = batches.epoch
    batches.set_epoch(first_epoch + done // len(batches))
    bar = tqdm(desc=description, unit="cell", disable=not progress)
    with bar, asked_to_end(checkpoints is not None) as ending:
        shown = _Shown()
        bar.total = math.ceil(len(batches.cells) * steps / len(batches))
        bar.update(math.ceil(len(batches.cells) * done / len(batches)))
        while done < steps:
            epoch = batches.epoch - first_epoch + 1
            batch = batches[done % len(batches)]
            rate = float(model.optimizer.learning_rate)
            row = {"step": done + 1, "epoch": epoch} | step(batch)
            rows.append(row | {"learning_rate": rate})
            if not math.isfinite(row["loss"]):
                names = batches.cells.obs.index[batches.rows(done % len(batches))]
                raise FloatingPointError(_not_finite(row, rate, names, checkpoints))
            done += 1
            bar.update(len(batch[1]))
            shown.add(batch[0]["padding_mask"], row)
            bar.set_postfix(shown.postfix(), refresh=False)
            if done % len(batches) == 0 or done == steps:
                if after_epoch is not None:
                    rows[-1] |= after_epoch(epoch)
                batches.on_epoch_end()
            if checkpoints is None:
                continue
            if done % checkpoint_every == 0 or done == steps or ending:
                checkpoints.save(model, done, rows)
            if ending and done < steps:
                raise SystemExit(0)
        bar.total = bar.n
        bar.refresh()
    return pd.DataFrame(rows)


class _Shown:
    """What stands beside the bar: real tokens a second, as padding is no work done."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._real = self._all = 0
        self._row: dict[str, float] = {}

    def add(self, padding_mask: np.ndarray, row: dict[str, float]) -> None:
        self._real += int(padding_mask.sum())
        self._all += padding_mask.size
        self._row = row

    def postfix(self) -> dict[str, str]:
        pace = self._real / (time.perf_counter() - self._began)
        shown = {"loss": f"{self._row['loss']:.3f}", "accuracy": f"{self._row['accuracy']:.1%}"}
        return shown | {"tokens/s": f"{pace:,.0f}", "padding": f"{1 - self._real / self._all:.0%}"}


def _not_finite(
    row: dict[str, float], rate: float, names: pd.Index, checkpoints: Checkpoints | None
) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    message = (
        f"The loss became {row['loss']} at step {row['step']}: lower the learning rate (it was "
        f"{rate:g}). The batch held the cells {', '.join(map(repr, names[:3]))}{more}."
    )
    latest = None if checkpoints is None else checkpoints.latest()
    return message if latest is None else f"{message} The last good state is in {latest}."


@contextmanager
def asked_to_end(listen: bool) -> Iterator[list[int]]:
    """A list that is no longer empty once the process is told to end (SIGTERM).

    Clusters announce so that they take a machine back. Signals reach the main thread alone: in
    any other, and where `listen` is false, the list stays empty.
    """
    received: list[int] = []
    if not listen or threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = signal.signal(signal.SIGTERM, lambda number, _frame: received.append(number))
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)
