"""How much a cell counts by its class, so that rare classes are not drowned by common ones."""

from collections.abc import Mapping, Sequence

import numpy as np


def class_weights(
    targets: np.ndarray,
    num_classes: int,
    kind: str | Mapping[str, float],
    *,
    classes: Sequence[str] | None = None,
    beta: float = 0.9999,
) -> np.ndarray:
    """A weight for each class, from how often it occurs among the training cells.

    Args:
        targets: (entries,) integer class of every cell, those below 0 having none; or, with several
            labels, (entries, classes) of 0 and 1, others (NaN) being missing.
        num_classes: number of classes.
        kind: `"balanced"`: inversely to the number of cells (scikit-learn's), so that every class
            counts alike in all; `"effective_number"`: inversely to the effective number of cells,
            `(1 - beta^n) / (1 - beta)`, scaled so that the weights of the classes that occur are 1
            on average (Cui et al., 2019, arXiv:1901.05555); or a weight for each class by name.
        classes: the names of the classes, for a mapping.
        beta: of the effective number, from 0 (all alike) to below 1 (near it: as balanced).

    Returns:
        (num_classes,) float32; 0 for a class that does not occur (but for a mapping).

    Raises:
        ValueError: another kind, no labelled cell, beta out of range, a mapping that lacks a class
            or names one there is not, or that holds a weight that is no number of 0 or more.

    Example:
        >>> import numpy as np
        >>> class_weights(np.array([0, 0, 0, 1]), 2, "balanced").round(3).tolist()
        [0.6669999957084656, 2.0]
        >>> class_weights(np.array([0, 0, 0, 1]), 2, "effective_number").round(3).tolist()
        [0.5, 1.5]
    """
    if isinstance(kind, Mapping):
        return _by_name(kind, classes, num_classes)
    if kind not in ("balanced", "effective_number"):
        raise ValueError(
            f"Received class_weights={kind!r}; expected 'balanced', 'effective_number', or a "
            "weight for each class by name."
        )
    if not 0.0 <= beta < 1.0:
        raise ValueError(f"Received beta={beta}; expected 0 or more, and below 1.")
    targets = np.asarray(targets)
    if targets.ndim == 2:
        counts = (targets == 1).sum(axis=0)
    else:
        counts = np.bincount(targets[targets >= 0], minlength=num_classes)
    occurs = counts > 0
    if not occurs.any():
        raise ValueError("No cell has a class, so there is nothing to weigh classes by.")
    weights = np.zeros(num_classes)
    if kind == "balanced":
        weights[occurs] = counts.sum() / (occurs.sum() * counts[occurs])
    else:
        weights[occurs] = (1.0 - beta) / (1.0 - beta ** counts[occurs].astype(np.float64))
        weights *= occurs.sum() / weights.sum()
    return weights.astype(np.float32)


def _by_name(
    given: Mapping[str, float], classes: Sequence[str] | None, num_classes: int
) -> np.ndarray:
    names = [str(number) for number in range(num_classes)] if classes is None else list(classes)
    weight_of = {str(name): float(weight) for name, weight in given.items()}
    if weight_of.keys() != set(names):
        lacking = ", ".join(sorted(set(names) - weight_of.keys())) or "none"
        unknown = ", ".join(sorted(weight_of.keys() - set(names))) or "none"
        raise ValueError(
            f"class_weights lacks classes ({lacking}) or names some that do not occur ({unknown}); "
            f"expected a weight for each of {', '.join(names)}."
        )
    weights = np.array([weight_of[name] for name in names], dtype=np.float32)
    if not np.isfinite(weights).all() or weights.min() < 0 or weights.max() == 0:
        raise ValueError(
            f"Received class_weights {weight_of}; expected finite numbers, 0 or more, and not all "
            "0."
        )
    return weights
