"""Which columns of a table of `perturbation_stats` are drawn: each method has its own."""

from typing import Any, NamedTuple


class DrawnColumns(NamedTuple):
    """Columns of an effect, of its p and of its false discovery rate; and the effect in words."""

    effect: str
    p: str
    fdr: str
    words: str


DRAWN = (
    DrawnColumns(
        "effect",
        "Goal_end_vs_random_pval",
        "Goal_end_FDR",
        "shift to the goal beyond the null",
    ),
    DrawnColumns(
        "Shift_to_goal_end", "Goal_end_vs_random_pval", "Goal_end_FDR", "shift to the goal"
    ),
    DrawnColumns("effect", "Test_vs_null_pval", "Test_vs_null_FDR", "cosine less that of the null"),
    DrawnColumns(
        "Test_vs_null_avg_shift",
        "Test_vs_null_pval",
        "Test_vs_null_FDR",
        "cosine less that of the null",
    ),
    DrawnColumns(
        "effect",
        "Combo_minus_sum_pval",
        "Combo_minus_sum_FDR",
        "cosine of the pair less the sum of both",
    ),
)
"""The first of which a table has the effect and the false discovery rate is drawn."""


def drawn_columns(columns: Any) -> DrawnColumns:
    """The columns that a table of statistics is drawn by; the first of all where it has none.

    Example:
        >>> drawn_columns(["Gene_name", "effect", "Test_vs_null_FDR"]).p
        'Test_vs_null_pval'
    """
    names = set(map(str, columns))
    return next((one for one in DRAWN if {one.effect, one.fdr} <= names), DRAWN[0])
