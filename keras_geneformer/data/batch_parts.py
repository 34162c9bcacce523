"""Shares of a batch's rows, for workers and devices that step through the same batches together."""

import numpy as np


def check_part(part: tuple[int, int], multiple: int, masking: bool) -> None:
    """Raise a ValueError where a batch cannot be shared so."""
    index, count = part
    if not 0 <= index < count:
        raise ValueError(f"part={part}; expected (index, count) with 0 <= index < count.")
    if multiple < 1 or multiple % count:
        raise ValueError(
            f"multiple={multiple} with {count} parts; expected a multiple of the number of parts."
        )
    if multiple > 1 and not masking:
        raise ValueError(
            f"multiple={multiple} without masking: rows that stand for no cell have weight 0, and "
            "only masked batches have weights."
        )


def share_of(rows: int, part: tuple[int, int], multiple: int) -> tuple[slice, int]:
    """Which rows of a batch one part takes, and how many empty rows fill it up.

    Args:
        rows: rows of the whole batch.
        part: (index, count).
        multiple: the whole batch is filled up to a multiple of this.

    Returns:
        The slice of the rows, and the number of empty ones to be put after them. Every part has as
        many rows as any other.

    Example:
        >>> [share_of(5, (index, 2), multiple=4) for index in (0, 1)]
        [(slice(0, 4, None), 0), (slice(4, 5, None), 3)]
    """
    index, count = part
    share = -(-rows // multiple) * multiple // count
    start, stop = min(index * share, rows), min((index + 1) * share, rows)
    return slice(start, stop), share - (stop - start)


def fill(batch: tuple, fillers: int, pad_token_id: int = 0) -> tuple:
    """Put rows that stand for no cell after those of a masked batch.

    Args:
        batch: `(inputs, labels, weights)`; `inputs` is a dict of arrays.
        fillers: how many rows.
        pad_token_id: what stands in `token_ids`.

    Returns:
        The batch. In the new rows all is 0 but `token_ids`, and the first entry of
        `padding_mask`: attention with nothing to attend to is no number on some backends.

    Example:
        >>> ones = np.ones((1, 2), dtype=np.int32)
        >>> inputs, labels, weights = fill(({"padding_mask": ones}, ones, ones), 1)
        >>> inputs["padding_mask"].tolist(), weights.tolist()
        ([[1, 1], [1, 0]], [[1, 1], [0, 0]])
    """
    if not fillers:
        return batch
    inputs, labels, weights = batch
    filled = {name: _with_rows(array, fillers) for name, array in inputs.items()}
    if pad_token_id:
        filled["token_ids"][-fillers:] = pad_token_id
    if "padding_mask" in filled:
        filled["padding_mask"][-fillers:, 0] = 1
    return filled, _with_rows(labels, fillers), _with_rows(weights, fillers)


def _with_rows(array: np.ndarray, number: int) -> np.ndarray:
    """An array with rows of zeros after its own."""
    return np.concatenate([array, np.zeros((number, *array.shape[1:]), dtype=array.dtype)])
