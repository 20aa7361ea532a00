"""Decode the pictures of requests in processes that can be ended, expensive ones apart from the others."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image

from triptych.core.decoders import DecoderError, Decoders
from triptych.core.limits import Limits
from triptych.core.picture_cost import expected_work
from triptych.serving.problems import busy

T = TypeVar("T")
_LIGHT_WORK = 4_000_000  # pixels, times the passes over them
_LIGHT_BYTES = 2 * 1024 * 1024  # of an upload that is light
_WAITING = 16  # costly pictures, beyond which it is kinder to refuse
_NICENESS = 10  # of the process for expensive uploads


@dataclass
class _Lane:
    """Processes, and as many threads that wait for them."""

    decoders: Decoders
    threads: ThreadPoolExecutor
    waiting: int = 0


class PictureDecoding:
    """Decodes pictures in separate lanes, so that large or strange uploads only delay those who sent them.

    An upload is light if its headers promise little work, which is never assumed of an AVIF. Others go through one
    process of low priority. The catalog's own pictures have a lane of their own, however large they are.

    Args:
        at_once: light pictures, and own ones, that are decoded at once.
        patience: seconds after which a picture is given up.
    """

    def __init__(self, at_once: int, patience: float) -> None:
        self._light, self._own = (
            _Lane(Decoders(at_once, patience=patience), ThreadPoolExecutor(at_once, thread_name_prefix=name))
            for name in ("light", "own")
        )
        heavy = Decoders(1, patience=patience, niceness=_NICENESS)
        self._heavy = _Lane(heavy, ThreadPoolExecutor(1, thread_name_prefix="heavy"))

    async def with_upload(self, data: bytes, work: Callable[[Decoders], T]) -> T:
        """The result of `work` on an upload with its decoders, computed in a thread.

        Raises:
            Problem: too many expensive uploads wait.
        """
        loop = asyncio.get_running_loop()

        def begin() -> tuple[bool, T | None]:
            return (True, work(self._light.decoders)) if _is_light(data) else (False, None)

        done, result = await loop.run_in_executor(self._light.threads, begin)
        if done:
            return result  # type: ignore[return-value]
        if self._heavy.waiting >= _WAITING:
            raise busy("too many large pictures are waiting; try again in a moment, or send a smaller one")
        self._heavy.waiting += 1
        try:
            return await loop.run_in_executor(self._heavy.threads, work, self._heavy.decoders)
        finally:
            self._heavy.waiting -= 1

    async def with_own(self, work: Callable[[Decoders], T]) -> T:
        """The result of `work` on a picture of the catalog, computed in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._own.threads, work, self._own.decoders)

    def open_own(self, data: bytes, limits: Limits, *, square: int = 0) -> Image.Image:
        """A picture of the catalog, for a thread that waits itself. Raises what `Decoders.open_picture` does."""
        return self._own.decoders.open_picture(data, limits, square=square)

    def start(self) -> None:
        """Start a process before the first upload. If it does not start, `check` reports it."""
        self._light.threads.submit(self._light.decoders.start)

    def check(self) -> None:
        """Check that a picture would be decoded now. An expensive one that takes long is no problem.

        Raises:
            Problem: none would be.
        """
        try:
            self._light.decoders.check()
        except DecoderError as error:
            raise busy(str(error)) from None

    def close(self) -> None:
        """End the processes at once."""
        for lane in (self._light, self._heavy, self._own):
            lane.decoders.close()
            lane.threads.shutdown(wait=False, cancel_futures=True)


def _is_light(data: bytes) -> bool:
    return len(data) <= _LIGHT_BYTES and 0 < expected_work(data) <= _LIGHT_WORK
