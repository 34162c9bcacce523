"""Batches with what is to be learnt from them: classes of cells, classes of genes, numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_geneformer.data.batch_parts import share_of
from keras_geneformer.data.batch_plan import BatchPlan
from keras_geneformer.data.loader import CellBatches
from keras_geneformer.training.finetuning.sampling import balanced_plan

Targets = Callable[[np.ndarray, np.ndarray], tuple[Any, Any]]
"""From rows of the dataset (B,) and token ids (B, N) to labels and weights, arrays of B rows or
dicts of such."""


class TargetBatches(CellBatches):
    """Length-bucketed batches `(inputs, labels, weights)`.

    Args:
        cells: a `CellDataset`.
        targets: gives labels and weights of a batch's cells.
        classes: (cells,) integer class of every cell; with it every batch holds as many cells of
            each class as of any other, as nearly as its size allows.
        multiple: rows of padding and weight 0 fill every batch up to a multiple of this.
        **options: as in `BatchSource`, but for `labels` and `masking`.

    Example:
        >>> from keras_geneformer.testing import synthetic_dataset
        >>> cells = synthetic_dataset(6)
        >>> codes = np.array([0, 1, 2, 0, 1, 2], dtype="int32")
        >>> targets = lambda rows, tokens: (codes[rows], np.ones(len(rows), "float32"))
        >>> inputs, labels, weights = TargetBatches(cells, targets, batch_size=4)[0]
        >>> labels.shape, weights.tolist()
        ((4,), [1.0, 1.0, 1.0, 1.0])
    """

    def __init__(
        self,
        cells: Any,
        targets: Targets,
        *,
        classes: np.ndarray | None = None,
        multiple: int = 1,
        **options: Any,
    ) -> None:
        self._targets = targets
        self._classes = classes
        self._fill_to = multiple
        super().__init__(cells, **options)

    def batch(self, epoch: int, step: int) -> tuple:
        """A batch of any epoch, as in `BatchSource`."""
        (inputs,) = super().batch(epoch, step)
        rows = self.batch_rows(epoch, step)
        labels, weights = self._targets(rows, inputs["token_ids"])
        _, fillers = share_of(len(rows), (0, 1), self._fill_to)
        if not fillers:
            return inputs, labels, weights
        return _filled((inputs, labels, weights), fillers, self.pad_token_id)

    def _plan(self, epoch: int) -> Any:
        if self._classes is None:
            return super()._plan(epoch)
        rng = np.random.default_rng([self.seed, epoch])
        # More than there are cells would only repeat them.
        size = min(12 if self.batch_size is None else self.batch_size, len(self._classes))
        plan: BatchPlan = balanced_plan(self.lengths, self.buckets, self._classes, size, rng)
        return plan


def _filled(batch: tuple, fillers: int, pad_token_id: int) -> tuple:
    """A batch with rows that stand for no cell at its end."""
    import keras

    def more(array: np.ndarray, value: int = 0) -> np.ndarray:
        rows = np.full((fillers, *array.shape[1:]), value, dtype=array.dtype)
        return np.concatenate([array, rows])

    inputs, labels, weights = batch
    filled = {name: more(array) for name, array in inputs.items()}
    filled["token_ids"] = more(inputs["token_ids"], pad_token_id)
    # One token is left in sight: attention over nothing has no value.
    filled["padding_mask"][-fillers:, 0] = 1
    return filled, keras.tree.map_structure(more, labels), keras.tree.map_structure(more, weights)
