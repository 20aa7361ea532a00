"""Decode the pictures of requests in separate processes that can be killed; expensive ones do not delay the others."""

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
# An upload is light up to these limits: a common photo of a phone or a shop. Estimates.
_LIGHT_WORK = 4_000_000  # pixels, multiplied by the passes over them
_LIGHT_BYTES = 2 * 1024 * 1024
_MAX_WAITING = 16  # expensive uploads that wait; more are refused at once
_NICENESS = 10  # niceness of the process for expensive uploads


@dataclass
class _Lane:
    """Decoder processes, and one thread for each that waits for it."""

    decoders: Decoders
    threads: ThreadPoolExecutor
    waiting: int = 0


class PictureDecoding:
    """Decodes pictures in separate lanes, so that large or malicious uploads delay only other such uploads.

    An upload is light if its headers announce little work; an AVIF never is. Other uploads share one process of low
    priority. The catalog's own pictures have a lane of their own, however large they are.

    Args:
        at_once: processes in the lane of light uploads, and in that of the catalog's pictures.
        patience: seconds after which decoding a picture is aborted.
    """

    def __init__(self, at_once: int, patience: float) -> None:
        self._light, self._own = (
            _Lane(Decoders(at_once, patience=patience), ThreadPoolExecutor(at_once, thread_name_prefix=name))
            for name in ("light", "own")
        )
        heavy = Decoders(1, patience=patience, niceness=_NICENESS)
        self._heavy = _Lane(heavy, ThreadPoolExecutor(1, thread_name_prefix="heavy"))

    async def with_upload(self, data: bytes, work: Callable[[Decoders], T]) -> T:
        """Run `work` on an upload, with the decoders of its lane, in a thread.

        Raises:
            Problem: too many expensive uploads wait.
        """
        loop = asyncio.get_running_loop()

        def begin() -> tuple[bool, T | None]:
            return (True, work(self._light.decoders)) if _is_light(data) else (False, None)

        done, result = await loop.run_in_executor(self._light.threads, begin)
        if done:
            return result  # type: ignore[return-value]
        if self._heavy.waiting >= _MAX_WAITING:
            raise busy("too many large pictures are waiting; try again in a moment, or send a smaller one")
        self._heavy.waiting += 1
        try:
            return await loop.run_in_executor(self._heavy.threads, work, self._heavy.decoders)
        finally:
            self._heavy.waiting -= 1

    async def with_own(self, work: Callable[[Decoders], T]) -> T:
        """Run `work` on a picture of the catalog in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._own.threads, work, self._own.decoders)

    def open_own(self, data: bytes, limits: Limits, *, square: int = 0) -> Image.Image:
        """Open a picture of the catalog in the calling thread. Raises the errors of `Decoders.open_picture`."""
        return self._own.decoders.open_picture(data, limits, square=square)

    def start(self) -> None:
        """Start a process before the first upload. If it does not start, `check` reports it."""
        self._light.threads.submit(self._light.decoders.start)

    def check(self) -> None:
        """Check that pictures can be decoded. A slow expensive upload is no problem.

        Raises:
            Problem: they cannot.
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
