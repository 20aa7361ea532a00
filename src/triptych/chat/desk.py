"""The desk: takes dialogues, answers what the ledger knows, sends the rest, within flow and budget.

A dialogue is a generator: it yields calls, is sent their replies in the same order, and returns its outcome. It knows
nothing of networks, so the same dialogue runs live, from a batch file's results, or again after a crash.
"""

import asyncio
import random
import signal
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import islice
from typing import Any, TypeVar

from triptych.chat.calls import Call, request
from triptych.chat.endpoint import Endpoint, Refused, Trouble
from triptych.chat.estimate import most_cost
from triptych.chat.flow import Backoff, Budget, Pace
from triptych.chat.ledger import Ledger, Reply
from triptych.chat.pictures import Painter
from triptych.chat.recent import Recent
from triptych.chat.settings import ChatSettings
from triptych.errors import FailureError
from triptych.progress import say

T = TypeVar("T")
Dialogue = Generator[list[Call], list[Reply], T]

_HOPELESS = 20  # requests refused before any was answered: it is not the pictures
_TAKEN = 32  # references taken up at a time
_MISSES = 50  # failures in a row, and four times the concurrency: the server is gone
_ABOUT_SCHEMAS = ("response_format", "json_schema", "schema", "grammar", "structured")


class Postponed(Exception):
    """A reference is left for the next run; the message says why."""


def replay(dialogue: Dialogue[T], reply_of: Callable[[Call], Reply | None]) -> tuple[T | None, list[Call]]:
    """Run a dialogue on known replies: its outcome, or the calls that it waits for."""
    try:
        calls = next(dialogue)
        while True:
            replies = [reply_of(call) for call in calls]
            if missing := [call for call, reply in zip(calls, replies, strict=True) if reply is None]:
                dialogue.close()
                return None, missing
            calls = dialogue.send([reply for reply in replies if reply is not None])
    except StopIteration as end:
        return end.value, []


class Desk:
    """Holds many dialogues with one server at once."""

    def __init__(
        self,
        ledger: Ledger | Recent,
        painter: Painter,
        settings: ChatSettings,
        endpoint: Endpoint,
        budget: Budget | None = None,
    ) -> None:
        self._ledger = ledger
        self._painter = painter
        self._settings = settings
        self._endpoint = endpoint
        self.pace = Pace(settings.concurrency)
        self._backoff = Backoff(settings.backoff, settings.backoff_most, random.Random())
        self._budget = budget or Budget(
            calls=settings.max_calls,
            cost=settings.max_cost,
            minutes=settings.max_minutes,
            spent=ledger.spent() if isinstance(ledger, Ledger) else (0, 0.0),
        )
        self._stopped = asyncio.Event()
        self.why_stopped = ""
        self._failure: FailureError | None = None
        self._flying: dict[str, asyncio.Future[Reply]] = {}
        self._answered = self._refused = self._misses = 0
        self._schema, self._schema_works, self._length = True, False, "max_tokens"

    def stop(self, why: str) -> None:
        """Send nothing more; what is in flight comes to its end."""
        if not self._stopped.is_set():
            self.why_stopped = why
            self._stopped.set()
            self.pace.release()

    async def run(
        self,
        dialogues: Iterator[tuple[str, Dialogue[T]]],
        done: Callable[[str, T], None],
        failed: Callable[[str, Exception], None],
    ) -> None:
        """Carry each (reference, dialogue) to its outcome. Raises FailureError where no call can succeed.

        `done` gets outcomes as they come; `failed` what a reference's own pictures raised. References whose calls
        came to nothing, or that were not begun when the desk stopped, are in neither.
        """
        taking = asyncio.Lock()
        taken: deque[tuple[str, Dialogue[T]]] = deque()

        async def take() -> tuple[str, Dialogue[T]] | None:
            async with taking:
                if not taken:  # making groups can take a while: not on the loop, and some at a time
                    taken.extend(await asyncio.to_thread(lambda: list(islice(dialogues, _TAKEN))))
                return taken.popleft() if taken else None

        async def work() -> None:
            while not self._stopped.is_set():
                if reason := self._budget.exhausted():
                    self.stop(reason)
                    return
                item = await take()
                if item is None:
                    return
                reference, dialogue = item
                try:
                    done(reference, await self._carry(reference, dialogue))
                except Postponed:
                    continue
                except FailureError as error:
                    failed(reference, error)

        async with self._interruptible():
            # More references than slots, so that none is idle while another's pictures are made ready.
            await asyncio.gather(*(work() for _ in range(2 * self._settings.concurrency)))
        if self._failure:
            raise self._failure

    async def _carry(self, reference: str, dialogue: Dialogue[T]) -> T:
        try:
            calls = next(dialogue)
            while True:
                replies = await asyncio.gather(*(self.ask(call, reference) for call in calls), return_exceptions=True)
                if errors := [reply for reply in replies if isinstance(reply, BaseException)]:
                    raise errors[0]
                calls = dialogue.send([reply for reply in replies if isinstance(reply, Reply)])
        except StopIteration as end:
            outcome: T = end.value
            return outcome

    async def ask(self, call: Call, reference: str) -> Reply:
        """The reply to a call: the ledger's, that of an equal call in flight, or a new one. Raises Postponed."""
        if known := self._ledger.reply(call.key):
            return known
        if call.key in self._flying:
            return await self._flying[call.key]
        self._flying[call.key] = flight = asyncio.ensure_future(self._send(call, reference))
        try:
            return await flight
        finally:
            del self._flying[call.key]

    async def _send(self, call: Call, reference: str) -> Reply:
        most = most_cost(call, self._settings)
        asked: float | None = None
        for attempt in range(self._settings.attempts):
            if attempt:
                await self._wait(self._backoff.before(attempt, asked))
            body = await self._body(call)
            async with self.pace.slot() as cuts:
                await self._permit(most)
                self._ledger.attempt(call, reference)
                cost = 0.0
                try:
                    reply = await self._endpoint.send(body, call.key)
                    cost = reply.cost
                    self._ledger.answer(call.key, reply)
                    self._answered += 1
                    self._misses = 0
                    self._schema_works |= "response_format" in body
                    self.pace.faster()
                    return reply
                except Trouble as trouble:
                    self._missed(call, trouble)
                    asked = trouble.after
                    if trouble.busy:
                        self.pace.slower(cuts, trouble.after)
                except Refused as refusal:
                    if not self._adapt(body, str(refusal)):
                        return self._turned_down(call, str(refusal))
                    self._ledger.trouble(call.key, str(refusal))
                except FailureError as error:
                    self._ledger.trouble(call.key, str(error))
                    self._failure = error
                    self.stop(str(error))
                    raise Postponed(str(error)) from None
                finally:
                    self._budget.settle(most, cost)
        raise Postponed("no answer after all attempts")

    async def _body(self, call: Call) -> dict[str, Any]:
        """The request; encoding pictures is work for a thread, putting known ones together is not worth the way."""

        def make() -> dict[str, Any]:
            return request(call, self._painter, self._settings, schema=self._schema, length=self._length)

        known = not self._settings.sheet and self._painter.remembers(shown.name for shown in call.pictures)
        return make() if known else await asyncio.to_thread(make)

    async def _permit(self, most: float) -> None:
        if not self._stopped.is_set() and (reason := await self._budget.take(most)):
            self.stop(reason)
        elif not self._stopped.is_set():
            return
        raise Postponed(self.why_stopped)

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)
        if self._stopped.is_set():
            raise Postponed(self.why_stopped)

    def _missed(self, call: Call, trouble: Trouble) -> None:
        self._ledger.trouble(call.key, str(trouble))
        self._misses += 1
        if self._misses >= max(_MISSES, 4 * self._settings.concurrency):
            url = self._settings.base_url
            self._failure = FailureError(
                f"{url}: {self._misses} calls in a row came to nothing ({trouble}); the same command goes on later"
            )
            self.stop(str(self._failure))

    def _adapt(self, body: dict[str, Any], refusal: str) -> bool:
        """Ask in another way from now on, where the refusal is about how it was asked. True: this call may go again."""
        lowered = refusal.lower()
        if "max_tokens" in body and "max_completion_tokens" in lowered:
            self._length = "max_completion_tokens"
            return True
        if "response_format" in body and not self._schema_works and any(word in lowered for word in _ABOUT_SCHEMAS):
            if self._schema:
                say(f"mine: the server does not take a JSON schema; asking without ({refusal[:100]})")
            self._schema = False
            return True
        return False

    def _turned_down(self, call: Call, refusal: str) -> Reply:
        reply = Reply("", problem=refusal)
        self._ledger.answer(call.key, reply)
        self._refused += 1
        if not self._answered and self._refused >= _HOPELESS:
            self._failure = FailureError(
                f"{self._settings.base_url}: refuses every call ({refusal}); a model of one picture needs --sheet"
            )
            self.stop(str(self._failure))
        return reply

    @asynccontextmanager
    async def _interruptible(self) -> AsyncIterator[None]:
        """The first Ctrl-C stops the desk; a second one ends the program at once."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def interrupted() -> None:
            if self._stopped.is_set() and task is not None:
                task.cancel()
            say("mine: finishing what is in flight; press Ctrl-C again to end at once")
            self.stop("interrupted")

        try:
            loop.add_signal_handler(signal.SIGINT, interrupted)
        except (ValueError, RuntimeError, NotImplementedError):  # not in the main thread
            yield
            return
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    """Run `work` on an event loop of its own. A second Ctrl-C shows as KeyboardInterrupt."""

    async def whole() -> Any:
        return await work()

    try:
        return asyncio.run(whole())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
