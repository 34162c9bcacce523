"""An optimizer takes over from another, when other weights begin to learn."""

from typing import Any


def carry_moments(before: Any, after: Any) -> None:
    """Give an optimizer the step and the moments of one that had some of its weights.

    Args:
        before: a built `PublishedAdamW`.
        after: a built one, over other weights of the same model; weights that are new to it begin
            with moments of 0.

    Example:
        >>> import keras
        >>> from keras_geneformer.training.optimizers import adamw
        >>> one, other = keras.Variable([1.0]), keras.Variable([1.0])
        >>> before, after = adamw(0.1), adamw(0.1)
        >>> before.build([one])
        >>> before.apply([keras.ops.array([0.5])])
        >>> after.build([other, one])
        >>> carry_moments(before, after)
        >>> int(after.iterations)
        1
    """
    after.iterations.assign(before.iterations)
    for name in ("_momentums", "_velocities"):
        known = {
            id(variable): moment
            for variable, moment in zip(before._trainable_variables, getattr(before, name))
        }
        for variable, moment in zip(after._trainable_variables, getattr(after, name)):
            if id(variable) in known:
                moment.assign(known[id(variable)])
