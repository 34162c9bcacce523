"""Which cells train and which validate."""

import numpy as np


def split_by_cell(
    labels: np.ndarray, share: float = 0.1, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out a share of the cells of every class.

    Args:
        labels: (cells,) class of every cell.
        share: of the cells held out, between 0 and 1; at least one cell of a class is held out, and
            at least one is left.
        seed: of the choice.

    Returns:
        Rows to train on and rows to validate on, both ascending; together they are all rows.

    Raises:
        ValueError: a share outside 0 to 1, or a class with one cell.

    Example:
        >>> train, validation = split_by_cell(["B"] * 10 + ["T"] * 20, share=0.1)
        >>> len(train), len(validation)
        (27, 3)
    """
    labels = np.asarray(labels)
    if not 0.0 < share < 1.0:
        raise ValueError(f"The share of cells to validate on must be between 0 and 1, not {share}.")
    classes, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if counts.min() < 2:
        alone = ", ".join(str(name) for name in classes[counts < 2])
        raise ValueError(
            f"Only one cell is of class {alone}: a class needs two cells at least, one to train on "
            "and one to validate on. Drop the class or merge it with another."
        )
    rng = np.random.default_rng(seed)
    held = np.zeros(len(labels), dtype=bool)
    for number, count in enumerate(counts):
        rows = rng.permutation(np.flatnonzero(index == number))
        held[rows[: min(max(round(share * count), 1), count - 1)]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def split_by_group(
    labels: np.ndarray, groups: np.ndarray, share: float = 0.1, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out whole groups (donors, batches), until about a share of the cells is held out.

    Groups are taken in a random order. One whose loss would leave a class without a training cell
    is passed over, and a last group is always left to train on. A class may be absent from the
    validation cells.

    Args:
        labels: (cells,) class of every cell.
        groups: (cells,) group of every cell.
        share: of the cells to hold out, at least; the last group taken goes over it.
        seed: of the order of groups.

    Returns:
        Rows to train on and rows to validate on, both ascending. No group is in both.

    Raises:
        ValueError: there is one group only, or none can be held out.

    Example:
        >>> import numpy as np
        >>> train, held = split_by_group(["B", "T"] * 4, np.repeat(["d1", "d2", "d3", "d4"], 2))
        >>> len(train), len(held)
        (6, 2)
    """
    labels, groups = np.asarray(labels), np.asarray(groups)
    if not 0.0 < share < 1.0:
        raise ValueError(f"The share of cells to validate on must be between 0 and 1, not {share}.")
    names, index = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            f"All cells are of one group ({str(names[0])!r}): to hold out groups there must be two."
        )
    _, label_index = np.unique(labels, return_inverse=True)
    held = np.zeros(len(labels), dtype=bool)
    for number in np.random.default_rng(seed).permutation(len(names)):
        if held.sum() >= share * len(labels):
            break
        tried = held | (index == number)
        left = np.bincount(label_index[~tried], minlength=label_index.max() + 1)
        if left.min() > 0:
            held = tried
    if not held.any():
        raise ValueError(
            f"None of the {len(names)} groups can be held out, because each holds all cells of "
            "some class: split by cell (validation=0.1), or drop these classes."
        )
    return np.flatnonzero(~held), np.flatnonzero(held)
