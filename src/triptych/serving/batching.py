"""Process requests in batches: those that arrive during one batch form the next, with one matrix product for all."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Generic, TypeVar

from triptych.serving.problems import busy

T = TypeVar("T")
R = TypeVar("R")
_MAX_WAITING = 512  # waiting items; more are refused at once, since they would wait for seconds. Not tuned


class Batcher(Generic[T, R]):
    """Runs `work` on the waiting items in its own thread, at most `most` at once, without waiting for a full batch.

    If a batch fails, its items are processed one by one, so that an error does not affect other items. If nothing else
    is being processed, `at_once` processes an item in the caller's thread, which is faster.
    """

    def __init__(self, work: Callable[[Sequence[T]], Sequence[R]], most: int) -> None:
        self._work = work
        self._most = most
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batcher")
        self._running: asyncio.Task[None] | None = None
        self._working = Lock()

    def at_once(self, item: T) -> R | None:
        """The result for one item, computed in the calling thread; None if other items wait or are being processed."""
        if (self._running and not self._running.done()) or not self._working.acquire(blocking=False):
            return None
        try:
            return self._work([item])[0]
        finally:
            self._working.release()

    async def __call__(self, item: T) -> R:
        """The result for one item.

        Raises:
            Problem: too many items wait. Errors of `work` are passed on.
        """
        if len(self._waiting) >= _MAX_WAITING:
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
            batch = [(item, future) for item, future in batch if not future.done()]  # done if its client has gone
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
