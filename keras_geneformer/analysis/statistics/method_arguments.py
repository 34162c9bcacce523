"""Which arguments of `perturbation_stats` each method has a use for."""

from collections.abc import Mapping
from typing import Any

_USED = {
    "goal_state_shift": ("null", "states", "genes", "donor_key", "test", "noise"),
    "vs_null": ("null", "genes", "donor_key", "test", "noise"),
    "vs_null with a table as null": ("null", "genes", "donor_key", "test"),
    "mixture": ("genes",),
    "mixture with an anchor": ("genes", "combination", "donor_key", "test"),
    "aggregate": ("genes",),
    "gene_shifts": ("genes",),
}

_USED_AS_PUBLISHED = {
    "goal_state_shift": ("states", "genes"),
    "vs_null with a table as null": ("null",),
    "mixture with an anchor": ("combination",),
    "aggregate": ("genes",),
    "gene_shifts": ("genes",),
}


def check_arguments(
    method: str, given: Mapping[str, Any], *, anchor: bool, table: bool, published: bool
) -> None:
    """Refuse an argument that would change nothing, as whoever gave it expects that it does.

    Args:
        method: a name of `METHODS`.
        given: arguments by name; those that are None were not given.
        anchor: whether there is one.
        table: whether the null is a table of effects.
        published: as in `perturbation_stats`.

    Raises:
        ValueError: the method has no use for one.

    Example:
        >>> check_arguments("aggregate", {"genes": ["GATA4"]}, anchor=False, table=False,
        ...     published=False)
    """
    title = method
    if method == "mixture" and anchor:
        title = "mixture with an anchor"
    elif method == "vs_null" and table:
        title = "vs_null with a table as null"
    used = (_USED_AS_PUBLISHED if published else _USED).get(title, ())
    unused = [name for name, value in given.items() if value is not None and name not in used]
    if unused:
        raise ValueError(
            f"Received {', '.join(unused)} with {'the published ' if published else ''}method "
            f"{title}, which has no use for {'it' if len(unused) == 1 else 'them'}; it takes "
            f"{', '.join(used) or 'none of these'}."
        )
