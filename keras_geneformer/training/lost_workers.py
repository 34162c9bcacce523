"""What is said when a process of a distributed run is gone."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from keras_geneformer.training.checkpoints import Checkpoints
from keras_geneformer.training.distribution import Distribution

_OWN_FAULT = "RESOURCE_EXHAUSTED"
"""How JAX's error begins where this process itself has too little memory."""


@contextmanager
def workers_named(distribution: Distribution, checkpoints: Checkpoints | None) -> Iterator[None]:
    """Turn what the engine says when another process is lost into what to do about it.

    Args:
        distribution: of the run.
        checkpoints: of the run, if any.

    Raises:
        ConnectionError: another process of the run ended or could not be reached.
    """
    if distribution.part[1] == 1:
        yield
        return
    try:
        yield
    except _engine_errors() as error:
        if str(error).startswith(_OWN_FAULT):
            raise
        index, count = distribution.part
        latest = None if checkpoints is None else checkpoints.latest()
        state = "No state was kept" if latest is None else f"The last state is in {latest}"
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConnectionError(
            f"Process {index} of a run of {count} lost another one ({first}). {state}: start the "
            "same command again on the processes that are left, naming only these; the batches "
            "stay the same."
        ) from error


def _engine_errors() -> tuple[type[Exception], ...]:
    if keras.config.backend() == "tensorflow":
        from tensorflow import errors

        return (
            errors.UnavailableError,
            errors.DeadlineExceededError,
            errors.AbortedError,
            errors.CancelledError,
            errors.InternalError,
        )
    from jax.errors import JaxRuntimeError

    return (JaxRuntimeError,)
