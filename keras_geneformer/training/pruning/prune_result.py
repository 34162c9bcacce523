"""What pruning leaves behind."""

from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class PruneResult:
    """A pruned model, and what went."""

    model: Any
    """A new model of the class that was given."""
    blocks: pd.DataFrame
    """One row a block: `block`, `heads_before`, `heads`, `units_before`, `units`, and `removed`,
    the numbers of the heads that went, from 1."""
    importance: pd.DataFrame
    """One row a head and unit: `block`, `kind`, `number` (from 1), `importance` and `kept`."""
    parameters_before: int
    """Weights of the model that was given."""
    parameters: int
    """Weights of the new one."""
    zeros: float
    """Share of the weights of the kernels that are 0."""

    def text(self) -> str:
        """The outcome in words, a line each."""
        less = 1 - self.parameters / self.parameters_before
        lines = [
            f"{self.parameters_before:,} parameters before, {self.parameters:,} now "
            f"({less:.1%} less)"
        ]
        if self.parameters == self.parameters_before and not self.zeros:
            return lines[0]
        for row in self.blocks.to_dict("records"):
            lines.append(
                f"{row['block']}: {row['heads']} of {row['heads_before']} heads, {row['units']} of "
                f"{row['units_before']} units"
            )
        if self.zeros:
            lines.append(
                f"{self.zeros:.1%} of the kernels' weights are 0; they take as much space as "
                "others until the file is compressed"
            )
        return "\n".join(lines)
