"""The optimizer of the published runs."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_geneformer")
class PublishedAdamW(keras.optimizers.AdamW):
    """AdamW as PyTorch computes it.

    Keras adds Adam's epsilon to the root of the second moment before that moment's bias is
    corrected, PyTorch after it. In the first steps the correction is a factor of a thousand, so
    that weights with small gradients (a rare gene's embedding) move far less in Keras's.

    Args:
        As of `keras.optimizers.AdamW`.

    Attributes:
        gradients_are_global: whether the gradients it is given are already summed over all devices
            of a `tf.distribute` strategy, as `PretrainingModel` does before they are clipped.
            Otherwise they are summed here, as Keras does.
        rates: by what the learning rate of a variable is multiplied, its weight decay included, by
            the variable's path; 1 for those not named. To be set before the first step.
        began: after how many steps a variable began to learn, by its path; 0 for those not named.
            The bias of its moments is corrected for the steps since.
        paths: of the variables it was built on.

    These belong to a run, and are no part of the configuration.

    Example:
        >>> optimizer = PublishedAdamW(1e-3, weight_decay=0.001, epsilon=1e-8)
        >>> weight = keras.Variable([1.0, 1.0])
        >>> optimizer.apply([keras.ops.array([1e-9, 1.0])], [weight])
        >>> [round(float(value), 5) for value in keras.ops.convert_to_numpy(weight)]
        [0.99991, 0.999]

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization" (2019); torch.optim.
    """

    gradients_are_global = False
    rates: Mapping[str, float] = MappingProxyType({})
    began: Mapping[str, int] = MappingProxyType({})
    paths: tuple[str, ...] = ()

    def build(self, variables):
        """Make the moments of these variables."""
        if not self.built:
            self.paths = tuple(variable.path for variable in variables)
        super().build(variables)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        if self.gradients_are_global:
            return list(grads_and_vars)
        return super()._all_reduce_sum_gradients(grads_and_vars)

    def _apply_weight_decay(self, variables):
        if not self.rates:
            super()._apply_weight_decay(variables)

    def update_step(self, gradient, variable, learning_rate):
        """One weight's step, from its gradient."""
        index = self._get_variable_index(variable)
        path = self.paths[index]
        rate = ops.cast(learning_rate, variable.dtype)
        if self.rates:
            rate = rate * self.rates.get(path, 1.0)
            if self.weight_decay and self._use_weight_decay(variable):
                self.assign_sub(variable, variable * (rate * self.weight_decay))
        gradient = ops.cast(gradient, variable.dtype)
        step = ops.cast(self.iterations + 1 - self.began.get(path, 0), variable.dtype)
        first, second = self._momentums[index], self._velocities[index]
        self.assign_add(first, (gradient - first) * (1 - self.beta_1))
        self.assign_add(second, (ops.square(gradient) - second) * (1 - self.beta_2))
        first_correction = 1 - ops.power(ops.cast(self.beta_1, variable.dtype), step)
        second_correction = 1 - ops.power(ops.cast(self.beta_2, variable.dtype), step)
        spread = ops.sqrt(second) / ops.sqrt(second_correction) + self.epsilon
        self.assign_sub(variable, rate / first_correction * first / spread)


def adamw(
    learning_rate: Any,
    weight_decay: float = 0.001,
    clip_norm: float | None = 1.0,
    ema: float | None = None,
) -> Any:
    """AdamW with decoupled weight decay on everything but biases, LayerNorm and task weights.

    The published pretraining: betas .9 and .999, epsilon 1e-8, decay .001, gradients clipped to a
    global norm of 1.

    Args:
        learning_rate: a number or a schedule.
        weight_decay: share of a weight taken off a step, times the learning rate.
        clip_norm: greatest global norm of the gradients; None for no clipping.
        ema: momentum of an exponential moving average of the weights, .999 say, which
            `finalize_variable_values` puts in their place at the end; None for none.

    Returns:
        A `PublishedAdamW`, not yet built.
    """
    optimizer = PublishedAdamW(
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        global_clipnorm=clip_norm,
        use_ema=ema is not None,
        ema_momentum=0.99 if ema is None else ema,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "log_variances"])
    return optimizer
