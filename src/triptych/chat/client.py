"""Run dialogues: answer known calls from the ledger, and send the others, within limits and budget.

A dialogue is a generator. It yields calls, is sent their replies in the same order, and returns its outcome. It does
not depend on the network, so the same dialogue runs live, from a batch file's results, or again after a crash.
"""

import asyncio
import random
import signal
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

from triptych.chat.cost import most_cost
from triptych.chat.endpoint import RequestRefused, ServerUnusable, TransientError
from triptych.chat.ledger import Ledger, Reply
from triptych.chat.limits import Backoff, Budget
from triptych.chat.pictures import PictureUrls
from triptych.chat.remedies import advice
from triptych.chat.reply_cache import ReplyCache
from triptych.chat.request import Call
from triptych.chat.server import ServerConnection
from triptych.chat.settings import ChatSettings
from triptych.core.errors import FailureError
from triptych.core.progress import say

T = TypeVar("T")
Dialogue = Generator[list[Call], list[Reply], T]

INTERRUPTED = "interrupted"
"""The reason of a run that Ctrl-C stopped."""

_TAKEN = 32  # references taken up at a time


class Postponed(Exception):
    """A reference is left for the next run; the message is the reason."""


def replay(dialogue: Dialogue[T], reply_of: Callable[[Call], Reply | None]) -> tuple[T | None, list[Call]]:
    """Run a dialogue on known replies. Returns its outcome, or the calls that it waits for."""
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


class DialogueRunner:
    """Runs many dialogues at once, with one connection for each step, and one ledger and budget for all."""

    def __init__(
        self,
        ledger: Ledger | ReplyCache,
        urls: PictureUrls,
        settings: ChatSettings,
        connections: Mapping[str, ServerConnection],
        budget: Budget | None = None,
    ) -> None:
        self._ledger = ledger
        self._urls = urls
        self._settings = settings
        self._connections = connections
        self._backoff = Backoff(settings.endpoint.backoff, settings.endpoint.max_backoff, random.Random())
        self._budget = budget or Budget(
            calls=settings.budget.max_calls,
            cost=settings.budget.max_cost,
            minutes=settings.budget.max_minutes,
            spent=ledger.spent() if isinstance(ledger, Ledger) else (0, 0.0),
        )
        self._stopped = asyncio.Event()
        self.why_stopped = ""
        self.succeeded = 0
        """Calls that were answered."""
        self.troubles: Counter[str] = Counter()
        """What attempts came to that came to nothing."""
        self._failure: FailureError | None = None
        self._flying: dict[str, asyncio.Future[Reply]] = {}

    def stop(self, why: str) -> None:
        """Send no further call. Calls in flight are finished."""
        if not self._stopped.is_set():
            self.why_stopped = why
            self._stopped.set()
            for connection in self._connections.values():
                connection.limiter.release()

    async def run(
        self,
        dialogues: Iterator[tuple[str, Dialogue[T]]],
        done: Callable[[str, T], None],
        failed: Callable[[str, Exception], None],
    ) -> None:
        """Run each (reference, dialogue) to its outcome.

        References whose calls failed, or that were not begun when the run was stopped, are reported to neither
        callback.

        Args:
            dialogues: the references with their dialogues.
            done: called with each outcome as soon as it is known.
            failed: called with the error of a reference whose own pictures cannot be used.

        Raises:
            FailureError: no call can succeed, or none did.
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

        try:
            async with self._interruptible():
                # More references than slots, so that no slot is idle while pictures are prepared.
                await asyncio.gather(*(work() for _ in range(2 * self._settings.endpoint.concurrency)))
        finally:
            # A server that accepts nothing may accept these calls once it is fixed.
            suspects = [one for one in dict.fromkeys(self._connections.values()) if one.suspect_refusals]
            self._ledger.reopen([key for one in suspects for key in one.suspect_refusals])
        if suspects and not self._failure:
            self._failure = suspects[0].refuses_every_call()
        if self.troubles and not self.succeeded and not self._failure and self.why_stopped != INTERRUPTED:
            [(trouble, _)] = self.troubles.most_common(1)
            remedy = advice(trouble) or "the same command goes on later"
            self._failure = FailureError(f"no call was answered: {trouble}; {remedy}")
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
        """Get the reply to a call: from the ledger, from an equal call in flight, or by sending it.

        Raises:
            Postponed: the call is left for the next run.
        """
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
        """Send a call whose reply is not known, and return the reply.

        Raises:
            Postponed: the call is left for the next run.
        """
        connection = self._connections[call.step]
        most = most_cost(call, self._settings)
        tries, error = 0, TransientError("")
        while tries < self._settings.endpoint.attempts:
            if tries:
                await self._wait(self._backoff.before(tries, error.after))
            body = await self._body(call, connection)
            async with connection.limiter.slot() as cuts:
                await self._permit(most)
                self._ledger.record_attempt(call, reference, most=most)
                cost = most
                try:
                    reply = await connection.endpoint.send(body, call.key)
                    if reply.tokens_in or reply.tokens_out:  # else the server did not say what it took
                        cost = self._settings.cost(call.step, reply.tokens_in, reply.tokens_out)
                    return self._answered(call, body, replace(reply, cost=cost), most)
                except TransientError as failed:
                    error = failed
                    cost = most if error.paid else 0.0
                    self._ledger.record_failure(call.key, str(error), free=most - cost)
                    if error.form and connection.adapted(body, str(error)):
                        continue
                    tries += 1
                    self.troubles[str(error)] += 1
                    self._give_up(connection.failed(error))
                    if error.busy:
                        connection.limiter.shrink(cuts, error.after)
                except RequestRefused as refusal:
                    cost = 0.0
                    if refused := self._refused(call, body, refusal, most):
                        return refused
                except ServerUnusable as failure:
                    cost = 0.0
                    self._ledger.record_failure(call.key, failure.said, free=most)
                    self._give_up(failure)
                    raise Postponed(str(failure)) from None
                finally:
                    self._budget.settle(most, cost)
        self._give_up(connection.record_postponed(error))
        raise Postponed(f"no answer in {tries} attempts ({error})")

    def _answered(self, call: Call, body: dict[str, Any], reply: Reply, most: float) -> Reply:
        self._ledger.record_reply(call.key, reply, most=most)
        self._connections[call.step].answered(body)
        self.succeeded += 1
        return reply

    def _refused(self, call: Call, body: dict[str, Any], refusal: RequestRefused, most: float) -> Reply | None:
        """The refusal as a reply; None if the call may be sent again in another form."""
        connection = self._connections[call.step]
        if connection.adapted(body, str(refusal)):
            self._ledger.record_failure(call.key, str(refusal), free=most)
            return None
        reply = Reply("", problem=str(refusal))
        self._ledger.record_reply(call.key, reply, most=most)
        self._give_up(connection.refused(call.key, refusal))
        return reply

    async def _body(self, call: Call, connection: ServerConnection) -> dict[str, Any]:
        """Make the request. Pictures are encoded in a thread; known ones are combined here, which takes little time."""
        known = not self._settings.request.one_image and self._urls.remembers(shown.name for shown in call.pictures)
        if known:
            return connection.body(call, self._urls)
        return await asyncio.to_thread(connection.body, call, self._urls)

    async def _permit(self, most: float) -> None:
        if not self._stopped.is_set():
            if reason := await self._budget.take(most):
                self.stop(reason)
            elif not self._stopped.is_set():
                return
            else:  # stopped while it waited: others wait for what it took
                self._budget.give_back(most)
        raise Postponed(self.why_stopped)

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)
        if self._stopped.is_set():
            raise Postponed(self.why_stopped)

    def _give_up(self, failure: FailureError | None) -> None:
        """Stop the run if a connection has failed for good."""
        if failure:
            self._failure = failure
            self.stop(str(failure))

    @asynccontextmanager
    async def _interruptible(self) -> AsyncIterator[None]:
        """Let the first Ctrl-C stop the run, and a second one end the program at once."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def interrupted() -> None:
            if self._stopped.is_set() and task is not None:
                task.cancel()
            say("mine: finishing what is in flight; press Ctrl-C again to end at once")
            self.stop(INTERRUPTED)

        try:
            loop.add_signal_handler(signal.SIGINT, interrupted)
        except (ValueError, RuntimeError, NotImplementedError):  # not in the main thread, or Windows
            yield
            return
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    """Run `work` on an event loop of its own. A second Ctrl-C raises KeyboardInterrupt."""

    async def whole() -> Any:
        return await work()

    try:
        return asyncio.run(whole())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
