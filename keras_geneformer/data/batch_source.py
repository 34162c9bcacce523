"""Batches of cells by number, for whatever feeds a model. Needs no Keras."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_geneformer.data.batch_parts import check_part, fill, share_of
from keras_geneformer.data.batch_plan import BatchPlan
from keras_geneformer.data.buckets import bucket_lengths, buckets_within, plan_batches
from keras_geneformer.data.collation import collate
from keras_geneformer.data.compatibility import check_tokens
from keras_geneformer.data.masking import Masking
from keras_geneformer.data.packed_plan import PackedBatch, PackedPlan
from keras_geneformer.data.packing import pack_cells, plan_rows

_PLANS_KEPT = 2


class BatchSource:
    """Length-bucketed batches of a tokenized dataset: `source[i]` is batch i of the epoch.

    Every cell comes exactly once an epoch, among cells of like length. Without labels a batch is
    `(inputs,)`; with labels `(inputs, labels)`; with `masking` it is
    `(inputs, labels, sample_weight)` for a `GeneformerMaskedLM`. `inputs` is a dict of int32 arrays
    `token_ids` and `padding_mask` (B, N), and with masking `mask_positions` (B, M). The shapes are
    few: one a bucket, and one for the last, smaller batch.

    How much is padding follows from the lengths and the buckets, and is `padded_share`. Of pbmc3k
    in batches of 12, with lengths up to 2,048: 60 % with one padded length, 17 % with four, 7 %
    with ten, 3 % with 24. `padding=0.1` chooses the fewest that keep it within 10 %. `pack=2048`
    puts several cells in a row: 4 %, in one shape. Packed inputs are `token_ids`, `cell_numbers`
    and `positions` (R, L) and `mask_positions` (R, M), as `packing.pack_cells` has them, for
    `GeneformerBackbone.packed_model`; tokens, masks and loss are those of the cells unpacked.

    A batch depends on these arguments, the epoch and its number alone, and is read from the dataset
    when it is asked for: any may be made in any order, by any thread.

    Args:
        cells: a `CellDataset`.
        batch_size: cells a batch, or rows with `pack`; 12 where `max_tokens` is not given either.
        max_tokens: in place of `batch_size`, padded tokens a batch at most.
        labels: (cells,) integer class of every cell, from 0, for a classifier.
        masking: how tokens are masked, for a masked LM.
        shuffle: shuffle cells and batches anew each epoch; otherwise the longest cells come first.
        seed: of the shuffling.
        bucket_count: how many padded lengths; more pad less, and compile more often.
        buckets: the padded lengths themselves, in place of `bucket_count` (to share the shapes of
            another source, from its `.buckets`).
        padding: in place of either, the share of an epoch's tokens that may be padding: as few
            padded lengths as keep it.
        pack: tokens of a row in which several cells stand, each attending to itself alone. May be
            more than the model's `max_sequence_length`. For masking alone.
        max_length: the model's `max_sequence_length`, above which no bucket goes.
        epoch: the first epoch's number.
        in_order: the cells come in the order of the dataset, for inference; each batch is padded to
            the bucket of its longest cell. (Keras's own `fit` and `predict` on TensorFlow take the
            lengths that vary from the first two batches, which here may be of one length: give them
            `tensorflow_batches` of this.)
        shard: (index, count): of several workers this one takes every count-th batch, from number
            index on. All shards together have every cell once an epoch. Where the batches are no
            multiple of count, the first shards have one more: workers that must step together
            stop after `steps_per_epoch` of the last shard.
        part: (index, count): of every batch this worker takes the index-th of `count` contiguous
            shares of the rows, so that `count` workers step through the same batches together.
        multiple: rows that stand for no cell (nothing but padding, all weights 0) fill every batch
            up to a multiple of this; a multiple of `count` itself. For masking alone.
        start_step: batches already taken since the start of `epoch`, in this shard; may go beyond
            one epoch. What follows is what would have followed.

    Attributes:
        epoch: number of the epoch in hand.
        start_step: batches of that epoch that are left out at its start.
        buckets: the padded lengths.

    Raises:
        ValueError: no cells, sizes, labels or buckets that do not fit them, a share of padding
            that no buckets keep, a cell longer than `pack`, a shard that does not exist or has no
            batch; when a batch is made, a token id outside the vocabulary.

    Example:
        >>> import numpy as np
        >>> from keras_geneformer.tokenization.cells.dataset import CellDataset
        >>> cells = CellDataset([np.arange(2, 2 + n) for n in (5, 30, 17)])
        >>> source = BatchSource(cells, batch_size=2)
        >>> len(source), source[0][0]["token_ids"].shape, source.rows(0).tolist()
        (2, (2, 32), [1, 2])
    """

    def __init__(
        self,
        cells: Any,
        *,
        batch_size: int | None = None,
        max_tokens: int | None = None,
        labels: np.ndarray | None = None,
        masking: Masking | None = None,
        shuffle: bool = False,
        seed: int = 0,
        bucket_count: int = 10,
        buckets: np.ndarray | None = None,
        padding: float | None = None,
        pack: int | None = None,
        max_length: int | None = None,
        epoch: int = 0,
        in_order: bool = False,
        shard: tuple[int, int] = (0, 1),
        part: tuple[int, int] = (0, 1),
        multiple: int = 1,
        start_step: int = 0,
    ) -> None:
        if len(cells) == 0:
            raise ValueError("There are no cells to make batches of.")
        if labels is not None and masking is not None:
            raise ValueError(
                "Give labels (for a classifier) or masking (for a masked LM), not both."
            )
        if labels is not None:
            labels = _classes(labels, len(cells))
        if not 0 <= shard[0] < shard[1]:
            raise ValueError(f"shard={shard}; expected (index, count) with 0 <= index < count.")
        check_part(part, multiple, masking is not None)
        if start_step < 0:
            raise ValueError(f"start_step={start_step}; expected 0 or more.")
        if in_order and shuffle:
            raise ValueError("Give shuffle (for training) or in_order (for inference), not both.")
        if pack is not None and (masking is None or in_order):
            raise ValueError(
                f"pack={pack} is for a masked LM: give masking with it, and not in_order."
            )
        if sum(option is not None for option in (buckets, padding, pack)) > 1:
            raise ValueError("Give buckets, padding or pack, one of the three at most.")
        if padding is not None and in_order:
            raise ValueError(
                f"padding={padding} with in_order: cells that keep their order pad as it falls."
            )
        self.cells = cells
        self.lengths = np.asarray(cells.lengths)
        self.labels = labels
        self.masking = masking
        self.shuffle = shuffle
        self.seed = seed
        self.batch_size = 12 if batch_size is None and max_tokens is None else batch_size
        self.max_tokens = max_tokens
        self.in_order = in_order
        self.shard = shard
        self.part = part
        self.multiple = multiple
        self.pack = pack
        if pack is not None:
            buckets = np.array([pack])
        elif padding is not None:
            buckets = buckets_within(
                self.lengths, padding, self.batch_size, max_tokens, max_length=max_length
            )
        elif buckets is None:
            buckets = bucket_lengths(self.lengths, bucket_count, max_length=max_length)
        self.buckets = buckets
        self.pad_token_id = (cells.special_tokens or {}).get("<pad>", 0)
        size = cells.vocabulary_size
        self._size = masking.vocabulary_size if size is None and masking is not None else size
        self._plans: dict[int, BatchPlan | PackedPlan] = {}
        self._planning = threading.Lock()
        self.steps_per_epoch = len(self._plan_of(epoch))
        """Batches of a whole epoch, in this shard."""
        if self.steps_per_epoch == 0:
            raise ValueError(
                f"There are only {shard[0]} batches for {shard[1]} shards, so this one has none: "
                "use fewer shards or smaller batches."
            )
        self.epoch = epoch + start_step // self.steps_per_epoch
        self.start_step = start_step % self.steps_per_epoch

    def __reduce__(self) -> Any:
        raise TypeError(
            "Batches are made where the dataset is mapped into memory; another process would get a "
            "copy of all of it. Read them with threads, or open the dataset in each process and "
            "give each its shard."
        )

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch; the same number always gives the same batches."""
        self.epoch = epoch
        self.start_step = 0

    def __len__(self) -> int:
        return self.steps_per_epoch - self.start_step

    def __getitem__(self, index: int) -> tuple:
        return self.batch(self.epoch, self._step(index))

    def __iter__(self) -> Iterator[tuple]:
        return (self[index] for index in range(len(self)))

    def rows(self, index: int) -> np.ndarray:
        """The place in the dataset of each cell of a batch, so that results can be put back."""
        return self.batch_rows(self.epoch, self._step(index))

    def batch(self, epoch: int, step: int) -> tuple:
        """A batch of any epoch.

        Args:
            epoch: its number, from 0.
            step: the batch's number in the whole epoch, from 0.
        """
        batch = self._plan_of(epoch)[step]
        if self.masking is not None and isinstance(batch, PackedBatch):
            mine, fillers = share_of(len(batch.sizes), self.part, self.multiple)
            packed = pack_cells(
                self.cells, batch.share(mine), self.masking, epoch, self.pad_token_id, self._size
            )
            return fill(packed, fillers, self.pad_token_id)
        mine, fillers = share_of(len(batch.rows), self.part, self.multiple)
        rows = batch.rows[mine]
        token_ids, padding_mask = collate(self.cells, rows, batch.length, self.pad_token_id)
        if self._size is not None and len(rows):
            check_tokens(token_ids, self._size)
        inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
        if self.labels is not None:
            return inputs, self.labels[rows]
        if self.masking is None:
            return (inputs,)
        masked = self.masking(token_ids, padding_mask, rows, epoch)
        inputs = inputs | {"token_ids": masked.token_ids, "mask_positions": masked.mask_positions}
        return fill((inputs, masked.labels, masked.weights), fillers, self.pad_token_id)

    def batch_rows(self, epoch: int, step: int) -> np.ndarray:
        """The place in the dataset of each cell of a batch of any epoch, as `batch` counts.

        All cells of it, those of the other parts included.
        """
        return self._plan_of(epoch)[step].rows

    def padded_tokens(self, epoch: int, step: int) -> int:
        """Tokens of a batch of any epoch, padding included and all parts together."""
        batch = self._plan_of(epoch)[step]
        rows = batch.sizes if isinstance(batch, PackedBatch) else batch.rows
        return len(rows) * batch.length

    @property
    def padded_share(self) -> float:
        """The share of a whole epoch's tokens that is padding, between 0 and 1."""
        return self._plan_of(self.epoch).padded_share(self.lengths)

    def _step(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        return self.start_step + index % len(self)

    def _plan_of(self, epoch: int) -> BatchPlan | PackedPlan:
        """The plan of an epoch. Two are kept: readers ahead may be in the next one already."""
        key = epoch if self.shuffle else 0
        with self._planning:
            if key not in self._plans:
                plan = self._plan(epoch)
                while len(self._plans) >= _PLANS_KEPT:
                    del self._plans[next(iter(self._plans))]
                self._plans[key] = plan
            return self._plans[key]

    def _plan(self, epoch: int) -> BatchPlan | PackedPlan:
        rng = np.random.default_rng([self.seed, epoch]) if self.shuffle else None
        size, most = self.batch_size, self.max_tokens
        if self.masking is not None and self.pack is not None:
            rows = plan_rows(self.lengths, self.pack, self.masking, size, most, rng)
            return rows.share(*self.shard)
        plan = plan_batches(self.lengths, self.buckets, size, most, rng, in_order=self.in_order)
        if self.shard == (0, 1):
            return plan
        plan = plan.share(*self.shard)
        # Each shard's first two as well, for the same reason.
        return plan if self.in_order else plan.with_unlike_first()


def _classes(labels: Any, cells: int) -> np.ndarray:
    """Labels as (cells,) int32; refuses what would train on nonsense without a word."""
    classes = np.asarray(labels)
    if classes.ndim != 1 or classes.dtype.kind not in "iu":
        raise ValueError(
            f"labels are an array of {classes.dtype} of shape {classes.shape}; expected an integer "
            f"class for each of the {cells} cells."
        )
    if len(classes) != cells:
        raise ValueError(f"There are {len(classes)} labels for {cells} cells.")
    if classes.min() < 0:
        cell = int(np.argmin(classes))
        raise ValueError(
            f"The label of cell {cell} is {classes[cell]}; expected classes from 0 (a code of -1 "
            "stands for a missing category: drop such cells)."
        )
    return classes.astype(np.int32)
