"""An optimizer that goes on where another one was, for more weights."""

from keras_geneformer.training.optimizers import PublishedAdamW


def carry_moments(before: PublishedAdamW, after: PublishedAdamW) -> None:
    """Continue a run with an optimizer of other weights.

    The steps done and the moments of the weights that both have are carried over. A weight that
    begins to learn now begins as at a first step: its moments are 0, and their bias is corrected
    for the steps of its own, as in PyTorch. With the steps of the run it would move by several
    times the learning rate at first.

    Args:
        before: as it is after some steps.
        after: built on the weights that learn from now on; it is changed in place. What was
            compiled with it is to be compiled again, unless it has not run yet.

    Example:
        >>> import keras
        >>> old, new = (keras.Variable([1.0], name=name) for name in ("old", "new"))
        >>> before, after = PublishedAdamW(0.1), PublishedAdamW(0.1)
        >>> before.apply([keras.ops.ones(1)], [old])
        >>> after.build([old, new])
        >>> carry_moments(before, after)
        >>> int(after.iterations), after.began
        (1, {'new': 1})
    """
    done = int(before.iterations)
    after.iterations.assign(before.iterations)
    known = {path: number for number, path in enumerate(before.paths)}
    after.began = {}
    for number, path in enumerate(after.paths):
        if path not in known:
            after.began[path] = done
            continue
        if path in before.began:
            after.began[path] = before.began[path]
        for name in ("_momentums", "_velocities"):
            getattr(after, name)[number].assign(getattr(before, name)[known[path]])
