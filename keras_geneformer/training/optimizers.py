"""The optimizer of the published runs."""

from typing import Any

import keras


def adamw(learning_rate: Any, weight_decay: float = 0.001, clip_norm: float | None = 1.0) -> Any:
    """AdamW with decoupled weight decay on everything but biases and LayerNorm.

    The published pretraining: betas .9 and .999, epsilon 1e-8, decay .001, gradients clipped to a
    global norm of 1.

    Args:
        learning_rate: a number or a schedule.
        weight_decay: share of a weight taken off a step, times the learning rate.
        clip_norm: greatest global norm of the gradients; None for no clipping.

    Returns:
        A `keras.optimizers.AdamW`, not yet built.
    """
    optimizer = keras.optimizers.AdamW(
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        global_clipnorm=clip_norm,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
