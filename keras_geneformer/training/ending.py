"""Being told to end: a pre-empted run saves its state and leaves with exit code 0; so does one that
Ctrl-C interrupts, which leaves as Ctrl-C does.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FILE = "end-after-step"


class Ending:
    """Whether a run is to end, as agreed among its processes.

    Args:
        directory: shared by all processes of the run, where there are several; None for one.
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None) -> None:
        self._file = None if directory is None else Path(directory) / _FILE
        self._signalled = False
        self.interrupted = False

    def ask(self, interrupted: bool = False) -> None:
        """This process was told to end.

        Args:
            interrupted: by Ctrl-C, and not by SIGTERM.
        """
        self._signalled = True
        self.interrupted |= interrupted

    def after(self, step: int) -> bool:
        """Whether to end now, after a step.

        Processes that step together are never more than one step apart. The one that is told to
        end after step s names s + 2 to all: by then each of them has seen it.
        """
        if self._file is None:
            return self._signalled
        if self._signalled and not self._file.exists():
            partial = self._file.with_name(f".{_FILE}.{os.getpid()}")
            partial.write_text(str(step + 2), encoding="utf-8")
            os.replace(partial, self._file)
        try:
            return step >= int(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False

    def clear(self) -> None:
        """Forget what an earlier run was told."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)


@contextmanager
def asked_to_end(ending: Ending | None) -> Iterator[None]:
    """Hear SIGTERM, by which clusters announce that they take a machine back, and Ctrl-C.

    The first Ctrl-C ends the run after the step in hand; a second one interrupts at once. Signals
    reach the main thread alone: in any other, and where `ending` is None, the process ends as it
    would have.
    """
    if ending is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def interrupt(_number: int, _frame: object) -> None:
        ending.ask(interrupted=True)
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    signal.signal(signal.SIGTERM, lambda _number, _frame: ending.ask())
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
