"""How many perturbed copies go through the model at once: as many as memory holds."""

import logging
from collections.abc import Callable
from typing import Any

from keras_geneformer.backend import require_backend
from keras_geneformer.data.inference import TOKENS_A_BATCH

TOKENS_ON_AN_ACCELERATOR = 16 * TOKENS_A_BATCH
"""Tokens in the first batch tried on a GPU or TPU; on a CPU more than 8192 only fill memory."""

_logger = logging.getLogger(__name__)


class BatchSize:
    """A number of tokens a batch, halved whenever the device runs out of memory.

    Args:
        given: a number of copies, kept as it is; None to find one.

    Raises:
        ValueError: a number below 1.

    Example:
        >>> BatchSize(4).of(2048)
        4
        >>> BatchSize().of(2048) >= 4
        True
    """

    def __init__(self, given: int | None = None) -> None:
        if given is not None and given < 1:
            raise ValueError(f"batch_size must be at least 1, not {given}.")
        self.given = given
        self.tokens = TOKENS_ON_AN_ACCELERATOR if has_accelerator() else TOKENS_A_BATCH

    def of(self, length: int) -> int:
        """Copies of so many tokens that make a batch."""
        return self.given or max(1, self.tokens // max(1, length))

    def run(self, length: int, compute: Callable[[int], Any]) -> Any:
        """Compute with a batch size, a smaller one after each failure for want of memory.

        Args:
            length: tokens of a copy.
            compute: takes the number of copies.

        Returns:
            What `compute` returned.

        Raises:
            MemoryError: a batch of one copy, or of the size given, does not fit.
        """
        while True:
            size = self.of(length)
            try:
                return compute(size)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if self.given is not None or size == 1:
                    raise MemoryError(
                        f"The device has no memory for {size} cells of {length} tokens at once: "
                        "pass a smaller batch_size, or use a machine with more memory."
                    ) from error
            self.tokens = size // 2 * length
            _logger.warning(
                "Out of memory with %d copies of %d tokens; going on with %d at once.",
                size,
                length,
                self.of(length),
            )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of any backend says that memory ran out."""
    name = type(error).__name__
    if isinstance(error, MemoryError) or name in ("OutOfMemoryError", "ResourceExhaustedError"):
        return True
    text = str(error)
    return "RESOURCE_EXHAUSTED" in text or "out of memory" in text.lower()


def has_accelerator() -> bool:
    """Whether the backend computes on a GPU or TPU."""
    backend = require_backend()
    if backend == "torch":
        import torch

        return torch.cuda.is_available()
    if backend == "jax":
        import jax

        return jax.default_backend() != "cpu"
    if backend == "tensorflow":
        import tensorflow as tf

        return any(tf.config.list_physical_devices(kind) for kind in ("GPU", "TPU"))
    return False
