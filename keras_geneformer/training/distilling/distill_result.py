"""What distillation leaves behind."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class DistillResult:
    """A student, and how it does beside its teacher on cells that it did not learn from."""

    model: Any
    """The student, of the teacher's class, with the weights of the best epoch."""
    history: pd.DataFrame
    """One row a step: `step`, `epoch`, `loss`, `learning_rate`, and at the last step of each epoch
    what the validation cells gave."""
    metrics: dict[str, float]
    """On the validation cells. Of a classifier `accuracy` and `macro_f1` (against the labels, or
    without them the teacher's), `agreement`, the share of cells that student and teacher give the
    same class, and `teacher_accuracy` and `teacher_macro_f1`; of a masked LM `loss`, `accuracy` and
    `top5` at masked genes, and the same with `teacher_` before."""
    parameters: int
    """Weights of the student."""
    teacher_parameters: int
    """Weights of the teacher."""
    run: dict[str, Any] = field(default_factory=dict)
    """What was asked for."""

    def text(self) -> str:
        """The outcome in words, a line each."""
        less = 1 - self.parameters / self.teacher_parameters
        lines = [
            f"teacher {self.teacher_parameters:,} parameters, student {self.parameters:,} "
            f"({less:.1%} less)"
        ]
        if self.metrics:
            said = ", ".join(f"{name} {value:.3f}" for name, value in self.metrics.items())
            lines.append(f"on cells it did not learn from: {said}")
        return "\n".join(lines)
