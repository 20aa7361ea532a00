"""Work on requests together that arrive while others are worked on: one matrix product for many queries."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Generic, TypeVar

from triptych.serving.problems import busy

T = TypeVar("T")
R = TypeVar("R")
_WAITING = 512  # items beyond which it is kinder to refuse


class Batcher(Generic[T, R]):
    """Runs `work` over the waiting items, at most `most` at once, in a thread of its own. It never waits for a batch to
    fill.

    An error of one item does not affect others: the items are then worked on one by one. If nothing else is worked on,
    `at_once` works on an item in the caller's thread, which saves the way to the other thread.
    """

    def __init__(self, work: Callable[[Sequence[T]], Sequence[R]], most: int) -> None:
        self._work = work
        self._most = most
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batcher")
        self._running: asyncio.Task[None] | None = None
        self._working = Lock()

    def at_once(self, item: T) -> R | None:
        """The result for one item, computed in the calling thread; None if others are waiting or being worked on."""
        if (self._running and not self._running.done()) or not self._working.acquire(blocking=False):
            return None
        try:
            return self._work([item])[0]
        finally:
            self._working.release()

    async def __call__(self, item: T) -> R:
        """The result for one item.

        Raises:
            Problem: too many items wait. What `work` raises is raised, too.
        """
        if len(self._waiting) >= _WAITING:
            raise busy("too many requests are waiting; try again in a moment")
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            batch = [(item, future) for item, future in batch if not future.done()]  # its client may have gone
            results = await loop.run_in_executor(self._thread, self._results, [item for item, _ in batch])
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    def _results(self, items: Sequence[T]) -> Sequence[R | Exception]:
        if not items:
            return []
        try:
            with self._working:
                return self._work(items)
        except Exception as error:
            return [error] if len(items) == 1 else [self._results([item])[0] for item in items]
