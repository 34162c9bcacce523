"""Cells that a student does not learn from: what it says of them, beside its teacher."""

from typing import Any

import keras
import numpy as np

from keras_geneformer.data.batch_source import BatchSource
from keras_geneformer.training.finetuning.held_out import CellReader, HeldOut
from keras_geneformer.training.finetuning.labels import CellLabels
from keras_geneformer.training.finetuning.losses import cross_entropy
from keras_geneformer.training.metrics import classification_metrics
from keras_geneformer.training.optimizers import adamw
from keras_geneformer.training.pretraining_model import PretrainingModel
from keras_geneformer.training.step import compile_step


class HeldOutCells:
    """Validation cells of a classifier.

    Args:
        student, teacher: classifiers of the same classes.
        cells: the whole `CellDataset`.
        labels: classes of its cells.
        places: which of the labelled cells.
    """

    def __init__(
        self, student: Any, teacher: Any, cells: Any, labels: CellLabels, places: np.ndarray
    ) -> None:
        self._held = HeldOut(CellReader(student), cells, labels, places, cross_entropy)
        self._true = labels.values[places]
        self._names = np.asarray(labels.names, dtype=object)
        reader = CellReader(teacher)
        held = cells.subset(labels.rows[places])
        self._of_teacher = reader.scores(reader.features(held)).argmax(axis=1)

    def after_epoch(self, epoch: int) -> dict[str, float]:
        """Loss and metrics; the macro-F1 is the `score`."""
        found = self._held.after_epoch(epoch)
        return found | {"validation_agreement": self._agreement()}

    def judged(self) -> dict[str, float]:
        """Of student and teacher."""
        metrics, _ = self._held.judged()
        teacher = classification_metrics(self._names[self._true], self._names[self._of_teacher])
        return (
            metrics
            | {"agreement": self._agreement()}
            | {f"teacher_{name}": value for name, value in teacher.items()}
        )

    def _agreement(self) -> float:
        return float(np.mean(self._held.scores().argmax(axis=1) == self._of_teacher))


class HeldOutGenes:
    """Masked genes of validation cells, always masked alike.

    Args:
        student, teacher: masked LMs.
        cells: a `CellDataset` of the validation cells.
        options: of the batches, as in `BatchSource`.
    """

    def __init__(self, student: Any, teacher: Any, cells: Any, options: dict[str, Any]) -> None:
        self._batches = BatchSource(cells, **options)
        self._student = self._step(student)
        self._teacher = self._sums(self._step(teacher))

    def after_epoch(self, epoch: int) -> dict[str, float]:
        """Loss and metrics; the `score` is the less the greater the loss."""
        found = self._sums(self._student)
        noted = {f"validation_{name}": value for name, value in found.items()}
        return noted | {"score": -found["loss"]}

    def judged(self) -> dict[str, float]:
        """Of student and teacher."""
        of_teacher = {f"teacher_{name}": value for name, value in self._teacher.items()}
        return self._sums(self._student) | of_teacher

    def _step(self, masked_lm: Any) -> Any:
        model = PretrainingModel(masked_lm)
        jit = False if keras.config.backend() == "tensorflow" else "auto"
        model.compile(adamw(1e-3), jit_compile=jit)
        return compile_step(model, self._batches[0], training=False)

    def _sums(self, step: Any) -> dict[str, float]:
        """Means over all masked genes."""
        total: dict[str, float] = {}
        masked = 0.0
        for number in range(len(self._batches)):
            logs = step(self._batches[number])
            for name in ("loss", "accuracy", "top5"):
                total[name] = total.get(name, 0.0) + logs[name] * logs["masked"]
            masked += logs["masked"]
        return {name: value / masked for name, value in total.items()}
