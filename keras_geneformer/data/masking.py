"""Masking for the masked-LM objective: which tokens are hidden, and what stands in their place.

Every random number is a hash of (seed, epoch, cell, position), so that a cell is masked alike
whatever batch it falls into, whatever its padding, and on however many workers.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SELECT, _REPLACE, _DRAW = 1, 2, 3
_LAST = np.uint64(2**63)
"""Above every draw: stands where a token may not be masked."""


@dataclass(frozen=True)
class MaskedBatch:
    """One batch as the masked LM sees it; M positions a cell, B cells of N tokens."""

    token_ids: np.ndarray
    """(B, N) int32, with `<mask>` and random tokens in place."""
    mask_positions: np.ndarray
    """(B, M) int32, ascending; 0 where a cell has fewer than M."""
    labels: np.ndarray
    """(B, M) int32, the token that stood at the position; 0 where the weight is 0."""
    weights: np.ndarray
    """(B, M) float32, 1 where a position counts and 0 where it fills the row."""


@dataclass(frozen=True)
class Masking:
    """How tokens are masked: 15 % of a cell's genes; of these 80 % become `<mask>`, 10 % a random
    gene, and 10 % stay (BERT; Theodoris et al. 2023).

    Special tokens are never masked and never drawn as random replacements, and a cell of g genes
    has exactly `max(1, round(rate * g))` of them masked. With `published=True` the published
    package's behaviour: each token is masked on its own with probability `rate` (so the count
    varies), `<cls>` and `<eos>` may be masked, and random replacements are drawn from all ids,
    special ones included.

    Args:
        vocabulary_size: number of token ids.
        special_tokens: name to id, with `<pad>` and `<mask>`.
        rate: share of tokens masked.
        published: the published package's behaviour, as above.
        seed: of all draws.

    Example:
        >>> import numpy as np
        >>> masking = Masking(100, {"<pad>": 0, "<mask>": 1})
        >>> ids = np.arange(2, 42, dtype=np.int32)[None]
        >>> batch = masking(ids, np.ones_like(ids), cells=np.array([7]), epoch=0)
        >>> batch.mask_positions.shape, int(batch.weights.sum())
        ((1, 6), 6)
    """

    vocabulary_size: int
    special_tokens: dict[str, int]
    rate: float = 0.15
    published: bool = False
    seed: int = 0
    _drawn: np.ndarray = field(init=False, repr=False, compare=False)
    _unmaskable: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0.0 < self.rate < 1.0:
            raise ValueError(f"rate must lie between 0 and 1, not {self.rate}.")
        missing = {"<pad>", "<mask>"} - set(self.special_tokens)
        if missing:
            raise ValueError(
                f"The vocabulary has no {' and no '.join(sorted(missing))} token (special tokens: "
                f"{self.special_tokens}): masked-LM training needs both."
            )
        special = np.array(sorted(self.special_tokens.values()), dtype=np.int32)
        every = np.arange(self.vocabulary_size, dtype=np.int32)
        drawn = every if self.published else np.setdiff1d(every, special)
        if self.published:
            special = np.array([self.special_tokens["<pad>"], self.special_tokens["<mask>"]])
        if drawn.size == 0:
            raise ValueError(f"A vocabulary of {self.vocabulary_size} ids has no gene to draw.")
        object.__setattr__(self, "_drawn", drawn)
        object.__setattr__(self, "_unmaskable", special)

    def positions_per_cell(self, length: int) -> int:
        """M, the row length of `mask_positions` in batches padded to `length` tokens."""
        if not self.published:
            return max(1, round(self.rate * length))
        # The count is binomial: six standard deviations above its mean leave nothing out.
        spread = 6.0 * np.sqrt(self.rate * (1.0 - self.rate) * length)
        return min(length, max(1, int(np.ceil(self.rate * length + spread))))

    def __call__(
        self, token_ids: np.ndarray, padding_mask: np.ndarray, cells: np.ndarray, epoch: int
    ) -> MaskedBatch:
        """Mask one batch.

        Args:
            token_ids: (B, N) int32.
            padding_mask: (B, N), 1 at real tokens.
            cells: (B,) index of each cell in its dataset.
            epoch: counts from 0; other epochs, other masks.

        Returns:
            The masked batch.
        """
        length = token_ids.shape[1]
        number = self.positions_per_cell(length)
        maskable = padding_mask != 0
        for special in self._unmaskable:
            maskable &= token_ids != special
        draw = _bits(self._of_cell(cells, epoch, _SELECT)[:, None], np.arange(length))
        if self.published:
            maskable &= _unit(draw) < self.rate
            counts = np.minimum(np.count_nonzero(maskable, axis=1), number)
        else:
            genes = np.count_nonzero(maskable, axis=1)
            # Python and numpy both round half to even; a rounded share never exceeds M, because
            # genes never exceed the length.
            counts = np.minimum(np.maximum(np.rint(self.rate * genes).astype(int), 1), genes)
        draw[~maskable] = _LAST
        picked = lowest(draw, counts)
        row, position = np.nonzero(picked)
        labels = token_ids[picked]
        action = _unit(_bits(self._of_cell(cells, epoch, _REPLACE)[row], position))
        lottery = _unit(_bits(self._of_cell(cells, epoch, _DRAW)[row], position))
        random_ids = self._drawn[(lottery * len(self._drawn)).astype(np.int64)]
        masked = token_ids.astype(np.int32, copy=True)
        masked[picked] = np.where(
            action < 0.8,
            self.special_tokens["<mask>"],
            np.where(action < 0.9, random_ids, labels),
        )
        counted = np.arange(number) < counts[:, None]
        return MaskedBatch(
            token_ids=masked,
            mask_positions=_rows(position, counted),
            labels=_rows(labels, counted),
            weights=counted.astype(np.float32),
        )

    def _of_cell(self, cells: np.ndarray, epoch: int, stream: int) -> np.ndarray:
        """(cells,) a hash of each cell, the epoch, the seed and the stream."""
        state: Any = np.uint64(0)
        with np.errstate(over="ignore"):
            for part in (self.seed, epoch, stream):
                state = _mix(state ^ np.uint64(part % 2**64))
            return _mix(state ^ np.asarray(cells).astype(np.uint64))


def lowest(numbers: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mark the lowest numbers of each row; of equal ones, those that come first.

    Args:
        numbers: (rows, columns).
        counts: (rows,) how many to mark in each row.

    Returns:
        (rows, columns) bool.

    Example:
        >>> import numpy as np
        >>> lowest(np.array([[3, 1, 2], [5, 5, 4]]), np.array([1, 2])).astype(int).tolist()
        [[0, 1, 0], [1, 0, 1]]
    """
    last = np.sort(numbers, axis=1)[np.arange(len(counts)), counts - 1]
    marked = (numbers <= last[:, None]) & (counts > 0)[:, None]
    for row in np.flatnonzero(np.count_nonzero(marked, axis=1) > counts):
        marked[row] = False
        marked[row, np.argsort(numbers[row], kind="stable")[: counts[row]]] = True
    return marked


def _rows(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Values end to end, as int32 rows that end in zeros; `counted` marks their places."""
    rows = np.zeros(counted.shape, dtype=np.int32)
    rows[counted] = values
    return rows


def _bits(of_cell: np.ndarray, position: np.ndarray) -> np.ndarray:
    """53 random bits for each cell's hash and position."""
    with np.errstate(over="ignore"):
        return _mix(of_cell + (position + 1).astype(np.uint64) * _GOLDEN) >> np.uint64(11)


def _unit(bits: np.ndarray) -> np.ndarray:
    """53 bits as a number in [0, 1)."""
    return bits * 2.0**-53


def _mix(bits: Any) -> Any:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014), one step past the given state."""
    bits = bits + _GOLDEN
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
