"""Limits of a run: concurrent calls, pauses after failures, and the budget."""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

_LONGEST_PAUSE = 900.0  # seconds; a longer pause that a server requests is shortened to this


class ConcurrencyLimiter:
    """Limits the calls in flight: the limit grows while the server keeps up, and is halved when the server is
    overloaded.

    The limit grows by one with each answer until the server first reports overload, and by one with each full round
    afterwards, as in TCP (Jacobson 1988, Congestion Avoidance and Control). Calls that were already in flight when it
    was halved do not halve it again. A pause that the server asks for applies to all calls.
    """

    def __init__(self, most: int, *, first: int = 8, clock: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self.limit = float(min(first, most))
        self.in_flight = 0
        self._steady = False
        self._cuts = 0
        self._resume = 0.0
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[int]:
        """Wait for a place among the calls in flight. Gives the number of halvings so far, to be passed to `shrink`."""
        while self.in_flight >= int(self.limit) or self._clock() < self._resume:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake()
                raise
        self.in_flight += 1
        try:
            yield self._cuts
        finally:
            self.in_flight -= 1
            self._wake()

    def grow(self) -> None:
        """Note that the server answered."""
        self.limit = min(self.most, self.limit + (1 / self.limit if self._steady else 1))
        self._wake()

    def shrink(self, cuts: int, pause: float | None = None) -> None:
        """Note that the server reported overload and asked for a pause, for a call sent after `cuts` halvings."""
        if cuts == self._cuts:
            self._cuts += 1
            self._steady = True
            self.limit = max(1.0, self.limit / 2)
        if pause:
            pause = min(pause, _LONGEST_PAUSE)
            self._resume = max(self._resume, self._clock() + pause)
            asyncio.get_running_loop().call_later(pause, self._wake)

    def release(self) -> None:
        """End a pause and let all calls go on, as a run that stops must."""
        self._resume = 0.0
        self.limit = float(self.most)
        for turn in self._waiting:
            if not turn.done():
                turn.set_result(None)
        self._waiting.clear()

    def _wake(self) -> None:
        free = int(self.limit) - self.in_flight
        while free > 0 and self._waiting and self._clock() >= self._resume:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1


@dataclass
class Backoff:
    """Seconds to wait before another attempt: doubled each time, with up to half of it random.

    The random part keeps calls that failed together from returning together (Brooker 2015, Exponential Backoff and
    Jitter).
    """

    first: float
    most: float
    random: random.Random

    def before(self, attempt: int, asked: float | None = None) -> float:
        """Seconds to wait before `attempt` (1 is the second one), and at least as long as the server asked for."""
        wait = min(self.most, self.first * 2.0 ** min(attempt - 1, 30)) * self.random.uniform(0.5, 1.0)
        return max(wait, min(asked or 0.0, _LONGEST_PAUSE))


def retry_after(headers: dict[str, str], now: float | None = None) -> float | None:
    """Seconds that a server asks to wait (RFC 9110, 10.2.3: a number or a date); None if it does not ask."""
    text = headers.get("retry-after-ms", "")
    scale = 1000.0
    if not text:
        text, scale = headers.get("retry-after", ""), 1.0
    try:
        seconds = float(text) / scale
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - (time.time() if now is None else now)
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if seconds < float("inf") else None


class Budget:
    """What may still be spent. Calls in flight count with the highest cost that they can have."""

    def __init__(
        self,
        *,
        calls: int | None,
        cost: float | None,
        minutes: float | None,
        spent: tuple[int, float] = (0, 0.0),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._calls, self._cost = calls, cost
        self._made, self._spent = spent
        self._reserved = 0.0
        self._clock = clock
        self._deadline = None if minutes is None else clock() + 60 * minutes
        self._settled = asyncio.Event()

    async def take(self, most: float) -> str:
        """Reserve the highest cost of a call. Returns why that is not possible; empty if it is."""
        while self._cost is not None and self._reserved and self._spent + self._reserved + most > self._cost:
            self._settled.clear()
            await self._settled.wait()
        if reason := self.exhausted(most):
            return reason
        self._made += 1
        self._reserved += most
        return ""

    def exhausted(self, most: float = 0.0) -> str:
        """Why no further call of this cost may be made; empty if one may."""
        if self._calls is not None and self._made >= self._calls:
            return f"--max-calls {self._calls} is reached"
        if self._cost is not None and self._spent + self._reserved + most > self._cost:
            return f"--max-cost {self._cost:g} is reached"
        if self._deadline is not None and self._clock() >= self._deadline:
            return "--max-minutes is over"
        return ""

    def give_back(self, most: float) -> None:
        """Release the reservation of a call that is not made."""
        self._made -= 1
        self.settle(most, 0.0)

    def settle(self, most: float, cost: float) -> None:
        """Replace the reservation of a finished call by its actual cost."""
        self._reserved -= most
        if self._reserved < 1e-12:
            self._reserved = 0.0
        self._spent += cost
        self._settled.set()
