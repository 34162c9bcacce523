"""Where work on files runs: in this process, in some others, or on a cluster."""

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

# Threads of these do not survive a fork, and a child that waits for one waits for ever.
_THREADED = ("tensorflow", "jax", "torch", "openvino")


class SameProcess(Executor):
    """An executor that runs what it is given at once, in this process.

    Example:
        >>> SameProcess().submit(len, [1, 2]).result()
        2
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Run it; the future that is returned is done."""
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class _Cancelling(Executor):
    """An executor that, when it is shut down, does not begin what waits (loky's own does)."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._futures: list[Future] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        self._futures.append(self._pool.submit(fn, *args, **kwargs))
        return self._futures[-1]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        for future in self._futures:
            future.cancel()
        self._pool.shutdown(wait=wait)


@contextmanager
def worker_pool(workers: int) -> Iterator[Executor]:
    """So many processes to run functions of this package in; for 1, this process itself.

    Processes are forked where nothing forbids it, as they then start at once. Where a backend
    (TensorFlow, JAX, PyTorch) is loaded, or the system cannot fork safely, they start anew, which
    takes some seconds.

    Args:
        workers: 1 or more.

    Raises:
        ValueError: `workers` is below 1.

    Example:
        >>> with worker_pool(1) as pool:
        ...     pool.submit(max, 3, 4).result()
        4
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}; expected 1 or more")
    if workers == 1:
        yield SameProcess()
        return
    if sys.platform.startswith("linux") and not any(name in sys.modules for name in _THREADED):
        forked = ProcessPoolExecutor(workers, multiprocessing.get_context("fork"))
        try:
            yield forked
        finally:
            forked.shutdown(cancel_futures=True)
        return
    # Unlike `multiprocessing`'s own, its processes do not import the user's script again.
    from joblib.externals.loky import ProcessPoolExecutor as FreshProcesses

    fresh = _Cancelling(FreshProcesses(workers))
    try:
        yield fresh
    finally:
        fresh.shutdown()
