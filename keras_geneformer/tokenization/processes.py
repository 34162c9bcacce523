"""Where work on files runs: in this process, in some others, or on a cluster."""

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
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


def _begin(scratch: str) -> None:
    """Begin a worker: Ctrl-C, which reaches all processes of a terminal, is the parent's.

    Args:
        scratch: where its temporary files go; the parent removes it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tempfile.tempdir = scratch


def _follow(alive: int, held: int, scratch: str) -> None:
    """Begin a forked worker, which ends when its parent closes a pipe, or dies, which closes it.

    Else workers of a parent that was killed would wait for ever, with the files that it held open
    and locked.

    Args:
        alive: the end of the pipe to read, which ends with the parent.
        held: the other end, which the parent alone should hold.
        scratch: see `_begin`.
    """
    os.close(held)
    _begin(scratch)

    def wait() -> None:
        os.read(alive, 1)
        shutil.rmtree(scratch, ignore_errors=True)  # of a parent that was killed
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def worker_pool(workers: int) -> Iterator[Executor]:
    """So many processes to run functions of this package in; for 1, this process itself.

    Processes are forked where nothing forbids it, as they then start at once. Where a backend
    (TensorFlow, JAX, PyTorch) is loaded, or the system cannot fork safely, they start anew, which
    takes some seconds. Where the block fails, what waits is not begun; where it is interrupted
    or this process is killed, forked ones are ended at once, whatever they are doing.

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
    with tempfile.TemporaryDirectory(prefix="keras_geneformer-") as scratch:
        if sys.platform.startswith("linux") and not any(name in sys.modules for name in _THREADED):
            with _forked(workers, scratch) as pool:
                yield pool
        else:
            with _fresh(workers, scratch) as pool:
                yield pool


@contextmanager
def _forked(workers: int, scratch: str) -> Iterator[Executor]:
    alive, held = os.pipe()
    ends = [held]
    context = multiprocessing.get_context("fork")
    arguments = (alive, held, scratch)
    pool = ProcessPoolExecutor(workers, context, initializer=_follow, initargs=arguments)
    try:
        yield pool
    except KeyboardInterrupt:
        # Not after errors: a worker ended while it sends a large result would keep us waiting.
        os.close(ends.pop())
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        for end in (alive, *ends):
            os.close(end)


@contextmanager
def _fresh(workers: int, scratch: str) -> Iterator[Executor]:
    # Unlike `multiprocessing`'s own, its processes do not import the user's script again.
    from joblib.externals.loky import ProcessPoolExecutor as FreshProcesses

    fresh = FreshProcesses(workers, initializer=_begin, initargs=(scratch,))
    pool = _Cancelling(fresh)
    try:
        yield pool
    except KeyboardInterrupt:
        fresh.shutdown(kill_workers=True)
        raise
    finally:
        pool.shutdown()


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
