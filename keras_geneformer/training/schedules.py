"""Learning rates that rise to a peak and fall again."""

import keras
from keras import ops

DECAYS = ("linear", "cosine", "polynomial", "constant")
_LAST = 1e-7
"""Where `"polynomial"` ends, as transformers' `get_polynomial_decay_schedule_with_warmup`."""


@keras.saving.register_keras_serializable(package="keras_geneformer")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise from 0 to the peak, then a fall to 0 (as the published pretraining has it).

    Args:
        peak: the highest learning rate, reached after `warmup_steps`.
        total_steps: at this step the rate is 0 again.
        warmup_steps: steps of the rise.
        decay: `"linear"`, `"cosine"`, `"polynomial"` (linear, to 1e-7) or `"constant"` (no fall).

    Example:
        >>> schedule = WarmupSchedule(1e-3, total_steps=10, warmup_steps=2)
        >>> [round(float(schedule(step)), 6) for step in (0, 1, 2, 6, 10)]
        [0.0, 0.0005, 0.001, 0.0005, 0.0]
    """

    def __init__(
        self, peak: float, total_steps: int, warmup_steps: int = 0, decay: str = "linear"
    ) -> None:
        super().__init__()
        if decay not in DECAYS:
            raise ValueError(f"Received decay={decay!r}; expected one of {', '.join(DECAYS)}.")
        if not 0 <= warmup_steps <= total_steps:
            raise ValueError(
                f"Received warmup_steps={warmup_steps} of total_steps={total_steps}; the rise "
                "cannot be longer than the whole."
            )
        self.peak = float(peak)
        self.total_steps = int(total_steps)
        self.warmup_steps = int(warmup_steps)
        self.decay = decay

    def __call__(self, step):
        """The rate at a step, counted from 0."""
        step = ops.cast(step, "float32")
        rise = step / max(self.warmup_steps, 1)
        left = (self.total_steps - step) / max(self.total_steps - self.warmup_steps, 1)
        left = ops.clip(left, 0.0, 1.0)
        if self.decay == "cosine":
            left = 0.5 * (1.0 - ops.cos(left * 3.141592653589793))
        elif self.decay == "polynomial":
            last = min(_LAST / self.peak, 1.0)
            left = last + (1.0 - last) * left
        elif self.decay == "constant":
            left = ops.ones_like(left)
        return self.peak * ops.where(step < self.warmup_steps, rise, left)

    def get_config(self):
        """Constructor arguments."""
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "decay": self.decay,
        }
