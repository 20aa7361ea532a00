"""Progress with a rate and an ETA, on standard error, so that standard output stays parsable."""

import sys
from collections.abc import Generator, Iterable
from contextlib import suppress
from typing import TypeVar

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
        yield from tqdm(items, desc=what, total=total, initial=done, unit=unit, mininterval=pace, dynamic_ncols=True)
    finally:
        if isinstance(items, Generator):
            items.close()


def say(message: str) -> None:
    """One line to the person at the terminal, or in the log; where that cannot be written, the work goes on."""
    with suppress(OSError):
        print(clean(message), file=sys.stderr, flush=True)
