"""Which heads and units go, and what is left of an array where they are gone."""

import re
from collections.abc import Mapping

import numpy as np

SCOPES = ("layer", "global")
_OUT_OF_HEADS = ("query", "key", "value")


def most_important(
    scores: Mapping[str, np.ndarray], share: float, scope: str = "layer"
) -> dict[str, np.ndarray]:
    """All but the least important share of each block's gates; each keeps one at least.

    Args:
        scores: (gates,) importance, by block.
        share: that goes, rounded to whole gates.
        scope: of each block (`"layer"`) or of all together (`"global"`).

    Returns:
        Numbers of the gates that stay, ascending, by block.

    Example:
        >>> scores = {"a": np.array([3.0, 1.0]), "b": np.array([9.0, 8.0])}
        >>> {name: kept.tolist() for name, kept in most_important(scores, 0.5).items()}
        {'a': [0], 'b': [0]}
        >>> {name: kept.tolist() for name, kept in most_important(scores, 0.5, "global").items()}
        {'a': [0], 'b': [0]}
        >>> {name: kept.tolist() for name, kept in most_important(scores, 0.25, "global").items()}
        {'a': [0], 'b': [0, 1]}
    """
    if scope == "layer":
        return {
            name: np.sort(
                np.argsort(-one, kind="stable")[: max(len(one) - round(share * len(one)), 1)]
            )
            for name, one in scores.items()
        }
    names = list(scores)
    sizes = [len(scores[name]) for name in names]
    block = np.repeat(np.arange(len(names)), sizes)
    gate = np.concatenate([np.arange(size) for size in sizes])
    values = np.concatenate([scores[name] for name in names])
    # A block's most important gate is no candidate.
    free = np.ones(len(values), dtype=bool)
    starts = np.cumsum([0, *sizes[:-1]])
    free[[start + int(np.argmax(scores[name])) for start, name in zip(starts, names)]] = False
    order = np.argsort(values, kind="stable")
    order = order[free[order]][: round(share * len(values))]
    kept = np.ones(len(values), dtype=bool)
    kept[order] = False
    return {name: gate[kept & (block == number)] for number, name in enumerate(names)}


def without_removed(
    path: str,
    array: np.ndarray,
    heads: Mapping[str, np.ndarray],
    units: Mapping[str, np.ndarray],
    head_dim: int,
) -> np.ndarray:
    """One of a model's arrays, less the rows and columns of heads and units that go.

    Args:
        path: of the variable.
        array: its value.
        heads, units: numbers of those that stay, by block.
        head_dim: width of a head.

    Returns:
        The array itself where the variable has to do with neither.

    Example:
        >>> kernel = np.arange(12).reshape(2, 6)
        >>> path = "encoder_block_0/attention/query/kernel"
        >>> without_removed(path, kernel, {"encoder_block_0": np.array([2])}, {}, 2).tolist()
        [[4, 5], [10, 11]]
    """
    found = re.search(r"((?:encoder|head)_block_\d+)/(attention/)?(\w+)/(kernel|bias)$", path)
    if found is None:
        return array
    block, attention, layer, kind = found.groups()
    gates = heads.get(block) if attention else units.get(block)
    if gates is None:
        return array
    if attention:
        gates = (gates[:, None] * head_dim + np.arange(head_dim)).ravel()
    enters = layer in _OUT_OF_HEADS if attention else layer == "intermediate"
    if enters:
        return array[..., gates]
    # The bias of a projection stands behind the gates.
    return array[gates] if layer == "output_projection" and kind == "kernel" else array
