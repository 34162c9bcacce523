"""What is done after each step of a training, whoever drives it."""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from keras_geneformer.data.batch_source import BatchSource
from keras_geneformer.training.checkpoints import Checkpoints
from keras_geneformer.training.ending import Ending
from keras_geneformer.training.run_log import RunLog

_FIRST = ("loss", "accuracy", "top5")
_NOT_SHOWN = {"masked"}


class RunRecord:
    """The history of a run as it grows: bar, log, validation, checkpoints.

    Args:
        model: compiled, with a built optimizer.
        batches: what it is trained on; nothing is read from it but its plan.
        steps: of the whole run.
        progress: show a bar, counting cells, with loss and accuracy of the last step, tokens a
            second (real ones, not padded ones) and the share of padding.
        description: of the bar.
        after_epoch: called with the epoch's number (from 1) after each pass, and after the last
            step; what it returns is written beside the last step of the epoch. A true `stop` among
            it ends the run.
        checkpoints: where the state is kept, and from where it is taken up again.
        checkpoint_every: steps from one checkpoint to the next. One is also made after the last
            step, and when the process is told to end.
        ending: whether the process was told to end.
        log: makes the log of the run, given the rows done before.

    Attributes:
        done: steps done.
        rows: one dict a step.
        stopped: whether `after_epoch` ended the run before its last step.
    """

    def __init__(
        self,
        model: Any,
        batches: BatchSource,
        steps: int,
        *,
        progress: bool = False,
        description: str = "",
        after_epoch: Callable[[int], dict[str, float]] | None = None,
        checkpoints: Checkpoints | None = None,
        checkpoint_every: int = 1000,
        ending: Ending | None = None,
        log: Callable[[list], RunLog] | None = None,
    ) -> None:
        self.model = model
        self.batches = batches
        self.steps = steps
        self.after_epoch = after_epoch
        self.checkpoints = checkpoints
        self.checkpoint_every = checkpoint_every
        self.ending = ending
        self.stopped = False
        self.rows: list[dict[str, Any]]
        self.done, self.rows = (0, []) if checkpoints is None else checkpoints.restore(model)
        self._log = None if log is None else log(self.rows)
        self._epoch_length = batches.steps_per_epoch
        self._first_epoch = batches.epoch
        self._seconds = self.rows[-1].get("seconds", 0.0) if self.rows else 0.0
        self._real = self._padded = 0
        self._began = time.perf_counter()
        self._bar = tqdm(desc=description, unit="cell", disable=not progress)
        self._bar.total = math.ceil(len(batches.cells) * steps / self._epoch_length)
        self._bar.update(math.ceil(len(batches.cells) * self.done / self._epoch_length))

    def place(self, step: int) -> tuple[int, int]:
        """Epoch and number in it, from 0, of a step of the run."""
        epoch, index = divmod(step, self._epoch_length)
        return self._first_epoch + epoch, index

    def after(self, logs: dict[str, float], rate: float) -> None:
        """Take note of a step.

        Args:
            logs: its loss and metrics.
            rate: its learning rate.

        Raises:
            FloatingPointError: the loss is no longer finite.
            SystemExit: with code 0, after SIGTERM, when the state is saved.
            KeyboardInterrupt: after Ctrl-C, when the state is saved.
        """
        epoch, index = self.place(self.done)
        cells = self.batches.batch_rows(epoch, index)
        tokens = int(np.sum(self.batches.lengths[cells], dtype=np.int64))
        seconds = round(self._seconds + time.perf_counter() - self._began, 3)
        row: dict[str, Any] = {"step": self.done + 1, "epoch": epoch - self._first_epoch + 1}
        row |= {name: logs[name] for name in _FIRST if name in logs}
        row |= {name: value for name, value in logs.items() if name not in row.keys() | _NOT_SHOWN}
        row |= {"learning_rate": rate, "tokens": tokens, "seconds": seconds}
        self.rows.append(row)
        if not math.isfinite(row["loss"]):
            names = self.batches.cells.obs.index[cells]
            raise FloatingPointError(_not_finite(row, rate, names, self.checkpoints))
        self.done += 1
        if (index + 1 == self._epoch_length or self.done == self.steps) and self.after_epoch:
            found = dict(self.after_epoch(row["epoch"]))
            self.stopped = bool(found.pop("stop", False))
            row |= found
        if self._log is not None:
            self._log.add(row)
        self._show(row, len(cells), tokens, self.batches.padded_tokens(epoch, index))
        ending = self.ending if self.ending and self.ending.after(self.done) else None
        if self.checkpoints is not None and (
            ending or self.done == self.steps or self.done % self.checkpoint_every == 0
        ):
            self.checkpoints.save(self.model, self.done, self.rows)
        if ending and self.done < self.steps:
            raise KeyboardInterrupt if ending.interrupted else SystemExit(0)

    def close(self) -> None:
        """End the bar and the log."""
        if self.done == self.steps or self.stopped:
            self._bar.total = self._bar.n
            self._bar.refresh()
        self._bar.close()
        if self._log is not None:
            self._log.close()

    def history(self) -> pd.DataFrame:
        """One row a step."""
        return pd.DataFrame(self.rows)

    def _show(self, row: dict[str, Any], cells: int, real: int, padded: int) -> None:
        self._real += real
        self._padded += padded
        pace = self._real / (time.perf_counter() - self._began)
        self._bar.set_postfix(
            {"loss": f"{row['loss']:.3f}"}
            | ({"accuracy": f"{row['accuracy']:.1%}"} if "accuracy" in row else {})
            | {
                "tokens/s": f"{pace:,.0f}",
                "padding": f"{1 - self._real / self._padded:.0%}",
            },
            refresh=False,
        )
        self._bar.update(cells)


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
