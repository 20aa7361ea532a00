"""Progress bars with rate and ETA, and messages, on standard error, so that standard output stays parsable.

Messages go through Python's `logging`, at level INFO of the logger `triptych`. Its handler writes them to standard
error. A program that wants them elsewhere replaces the handler.
"""

import json
import logging
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from triptych.core.environment import is_first_process
from triptych.core.text import clean

T = TypeVar("T")
_LOGGED = 1.0  # seconds between two lines of a log on the same work


def progress(items: Iterable[T], what: str, *, total: int, unit: str, done: int = 0) -> Generator[T, None, None]:
    """Yield `items` and show progress on standard error, with rate and ETA.

    If this generator is closed, it closes a generator among `items`, too. So the threads of a reader of pictures end
    with it.

    Args:
        items: what to yield.
        what: the label of the bar.
        total: how many items there are.
        unit: what an item is.
        done: items that an earlier run has finished.
    """
    from tqdm import tqdm

    # A log file wants a line now and then, a terminal a living bar.
    pace = 0.2 if sys.stderr.isatty() else 15.0
    try:
        shown = {"mininterval": pace, "dynamic_ncols": True, "disable": not is_first_process()}
        shown_items = tqdm(items, desc=what, total=total, initial=done, unit=unit, **shown)
        yield from _logged(shown_items, what, total=total, unit=unit, done=done) if _LOG.file else shown_items
    finally:
        if isinstance(items, Generator):
            items.close()


class _ProgressLog(logging.Handler):
    """Writes progress and messages to a file while one is open."""

    def __init__(self) -> None:
        super().__init__()
        self.file: Path | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.write({"message": record.getMessage()})

    def write(self, facts: dict[str, Any]) -> None:
        if self.file:
            with suppress(OSError), self.file.open("a", encoding="utf-8") as log:
                log.write(json.dumps(facts, ensure_ascii=False) + "\n")


_LOG = _ProgressLog()


@contextmanager
def progress_log(file: Path | str | None) -> Iterator[None]:
    """Write the progress and messages of the block also to a file, one JSON object a line. None writes nothing.

    A progress line has `work`, `unit`, `done`, `total`, `rate` (units per second) and `eta` (seconds; null if unknown).
    There is at most one a second, and one at the end of each piece of work. A message line has `message`. Lines are
    appended to the file. Blocks cannot be nested.

    Raises:
        OSError: the file cannot be written.
    """
    if file is None or not is_first_process():
        yield
        return
    Path(file).open("a", encoding="utf-8").close()
    _LOG.file = Path(file)
    _LOGGER.addHandler(_LOG)
    try:
        yield
    finally:
        _LOGGER.removeHandler(_LOG)
        _LOG.file = None


def _logged(items: Iterable[T], what: str, *, total: int, unit: str, done: int) -> Iterator[T]:
    """The items, with log lines in between."""
    began = last = perf_counter()
    count = 0

    def write(now: float) -> None:
        rate = count / max(1e-9, now - began)
        eta = round((total - done - count) / rate, 1) if rate else None
        facts = {"work": what, "unit": unit, "done": done + count, "total": total}
        _LOG.write(facts | {"rate": round(rate, 3), "eta": eta})

    try:
        for item in items:
            yield item
            count += 1
            now = perf_counter()
            if now - last >= _LOGGED:
                last = now
                write(now)
    finally:
        write(perf_counter())


def say(message: str) -> None:
    """Log one line for the person at the terminal. If it cannot be written, the work goes on.

    Of several processes that train together, only the first logs.
    """
    if is_first_process():
        _LOGGER.info(clean(message))


class _StandardError(logging.Handler):
    """Writes only messages, one a line, to the current standard error."""

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
