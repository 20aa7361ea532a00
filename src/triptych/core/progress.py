"""Progress with a rate and an ETA, and messages, on standard error, so that standard output stays parsable.

Messages go through Python's `logging`, as INFO of the logger `triptych`, which has a handler of its own that writes
them to standard error. A program that wants them elsewhere replaces the handler.
"""

import logging
import sys
from collections.abc import Generator, Iterable
from contextlib import suppress
from typing import TypeVar

from triptych.core.environment import is_first_process
from triptych.core.text import clean

T = TypeVar("T")


def progress(items: Iterable[T], what: str, *, total: int, unit: str, done: int = 0) -> Generator[T, None, None]:
    """Yield `items`, showing how many of `total` `unit`s are done; `done` were done by an earlier run.

    Closed, it closes a generator among `items` too: a reader of pictures that nobody asks any more ends its threads.
    """
    from tqdm import tqdm

    # A log file wants a line now and then, a terminal a living bar.
    pace = 0.2 if sys.stderr.isatty() else 15.0
    try:
        shown = {"mininterval": pace, "dynamic_ncols": True, "disable": not is_first_process()}
        yield from tqdm(items, desc=what, total=total, initial=done, unit=unit, **shown)
    finally:
        if isinstance(items, Generator):
            items.close()


def say(message: str) -> None:
    """Log one line to the person at the terminal; where it cannot be written, the work goes on.

    Of several processes that train together, the first speaks.
    """
    if is_first_process():
        _LOGGER.info(clean(message))


class _StandardError(logging.Handler):
    """Writes messages alone, one a line, to what is standard error when they are written."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError, ValueError):
            print(self.format(record), file=sys.stderr, flush=True)


def _logger() -> logging.Logger:
    logger = logging.getLogger("triptych")
    if not logger.handlers:  # a program may have put its own there before
        logger.addHandler(_StandardError())
        logger.setLevel(logging.INFO)
        logger.propagate = False  # or a program that logs, too, would write each message twice
    return logger


_LOGGER = _logger()
