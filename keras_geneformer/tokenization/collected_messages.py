"""Log messages of work that runs elsewhere, brought back to be said where the user is."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

Message = tuple[str, int, str]
"""Name of the logger, level, and the text."""

_logger = logging.getLogger("keras_geneformer.tokenization")


class _ByThread(logging.Handler):
    """Keeps records for the thread that is collecting, and passes the others on."""

    def __init__(self) -> None:
        super().__init__()
        self.guard = threading.Lock()
        self.collected: dict[int, list[Message]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        messages = self.collected.get(threading.get_ident())
        if messages is not None:
            messages.append((record.name, record.levelno, record.getMessage()))
        elif _logger.parent is not None:
            _logger.parent.callHandlers(record)


_handler = _ByThread()


@contextmanager
def collected_messages() -> Iterator[list[Message]]:
    """Collect what this thread logs about tokenizing, instead of saying it.

    Yields:
        The list that fills; send it to `say`.

    Example:
        >>> with collected_messages() as messages:
        ...     logging.getLogger("keras_geneformer.tokenization.x").warning("%d cells", 3)
        >>> messages
        [('keras_geneformer.tokenization.x', 30, '3 cells')]
    """
    messages: list[Message] = []
    with _handler.guard:
        if not _handler.collected:
            _logger.addHandler(_handler)
            _logger.propagate = False
        _handler.collected[threading.get_ident()] = messages
    try:
        yield messages
    finally:
        with _handler.guard:
            del _handler.collected[threading.get_ident()]
            if not _handler.collected:
                _logger.removeHandler(_handler)
                _logger.propagate = True


def say(messages: list[Message]) -> None:
    """Log collected messages."""
    for name, level, text in messages:
        logging.getLogger(name).log(level, "%s", text)
