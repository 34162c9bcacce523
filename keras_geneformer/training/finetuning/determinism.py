"""The same weights, to the bit, from the same run."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def deterministic(threads: int | None = None) -> Iterator[None]:
    """Compute in a fixed order, so that a run repeated gives the same weights to the bit.

    What is repeated: the same cells, settings and seed, the same versions of the packages, the same
    kind of processor and the same number of threads. On TensorFlow and PyTorch, operations without
    a deterministic implementation raise instead of running; on JAX, CPUs compute in a fixed order
    as it is, and nothing is changed. What was set before is restored at the end.

    Args:
        threads: of PyTorch's operations, so that machines of different sizes agree. TensorFlow and
            JAX take theirs when they start (`TF_NUM_INTRAOP_THREADS`, `XLA_FLAGS`), and here this
            must be None. Default: as many as there are.

    Raises:
        ValueError: `threads` is below 1, or given on another backend than PyTorch.

    Example:
        >>> with deterministic():
        ...     total = float(keras.ops.sum(keras.ops.ones(3)))
        >>> total
        3.0
    """
    backend = keras.config.backend()
    if threads is not None and (threads < 1 or backend != "torch"):
        raise ValueError(
            f"Received threads={threads} on {backend}; expected 1 or more on torch, and None on "
            "the others, which take their number of threads when they start "
            "(TF_NUM_INTRAOP_THREADS for TensorFlow)."
        )
    if backend == "torch":
        import torch

        before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
        torch.use_deterministic_algorithms(True)
        if threads is not None:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0])
            torch.set_num_threads(before[1])
    elif backend == "tensorflow":
        from tensorflow.python.framework import config

        enabled = config.is_op_determinism_enabled()
        config.enable_op_determinism()
        try:
            yield
        finally:
            if not enabled:
                config.disable_op_determinism()
    else:
        yield
