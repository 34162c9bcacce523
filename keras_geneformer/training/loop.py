"""The loop over steps and epochs that every recipe here shares."""

import math
from collections.abc import Callable
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from keras_geneformer.data.loader import CellBatches
from keras_geneformer.training.step import compile_step


def train(
    model: Any,
    batches: CellBatches,
    steps: int,
    *,
    progress: bool = False,
    description: str = "",
    after_epoch: Callable[[int], dict[str, float]] | None = None,
) -> pd.DataFrame:
    """Train a compiled model, step by step.

    Args:
        model: a compiled Keras model with the metric `accuracy`.
        batches: with labels or masking. Its epoch goes on with each pass over the cells.
        steps: batches to train on; a pass may end early.
        progress: show a bar, counting cells, with the loss of the last step.
        description: of the bar.
        after_epoch: called with the epoch's number (from 1) after each pass, and after the last
            step; what it returns is written beside the last step of the epoch.

    Returns:
        One row a step: `step` and `epoch` (from 1), `loss`, `accuracy`, `learning_rate`, and
        whatever `after_epoch` gave.

    Raises:
        FloatingPointError: the loss is no longer finite.
    """
    rows: list[dict[str, float]] = []
    step = compile_step(model, batches[0])
    first_epoch = batches.epoch
    with tqdm(desc=description, unit="cell", disable=not progress) as bar:
        bar.total = math.ceil(len(batches.cells) * steps / len(batches))
        while len(rows) < steps:
            epoch = batches.epoch - first_epoch + 1
            for index in range(min(len(batches), steps - len(rows))):
                batch = batches[index]
                rate = float(model.optimizer.learning_rate)
                row = {"step": len(rows) + 1, "epoch": epoch} | step(batch)
                rows.append(row | {"learning_rate": rate})
                if not math.isfinite(row["loss"]):
                    raise FloatingPointError(
                        f"The loss became {row['loss']} at step {row['step']}: lower the learning "
                        f"rate (it was {rate:g})."
                    )
                bar.update(len(batch[1]))
                bar.set_postfix(loss=f"{row['loss']:.3f}", refresh=False)
            if after_epoch is not None:
                rows[-1] |= after_epoch(epoch)
            batches.on_epoch_end()
        bar.total = bar.n
        bar.refresh()
    return pd.DataFrame(rows)
