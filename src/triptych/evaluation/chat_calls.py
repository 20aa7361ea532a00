"""Ask a chat model about a benchmark's pictures. Replies are stored in a ledger, so that none is paid for twice."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from triptych.benchmarks.pictures import crop_square
from triptych.benchmarks.task import Task
from triptych.chat.ledger import Ledger, Reply, open_ledger
from triptych.chat.parsing import CallRefused, InvalidReply, read_reply
from triptych.chat.pictures import PictureUrls
from triptych.chat.prompts import fill
from triptych.chat.request import Call, CallPicture, rendering
from triptych.chat.settings import ChatSettings
from triptych.core.files import hash_file, locked
from triptych.core.images import open_picture
from triptych.core.limits import Limits
from triptych.core.progress import progress, say

T = TypeVar("T")
Asking = Generator[list[Call], list[Reply], T]

_SHOWN_BACK = 4000  # characters of a bad reply that are sent back with the request to repair it
_REPAIR = "That reply cannot be used: {problem}. Answer again, with the one JSON object alone."


@dataclass
class Spent:
    """Calls, tokens and cost of replies, including those of earlier runs."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    """The sum of the replies' durations."""
    unusable: int = 0
    """Questions that were refused, or whose replies could not be used."""

    def add(self, reply: Reply) -> None:
        """Count a reply."""
        self.calls += 1
        self.tokens_in += reply.tokens_in
        self.tokens_out += reply.tokens_out
        self.cost += reply.cost
        self.seconds += reply.seconds


class PictureDigests:
    """Computes the digest of each picture of a task once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, Any], str] = {}

    def picture(self, task: Task, label: str, name: str) -> CallPicture:
        """Make a labelled picture of a task, with the digest of its content.

        Raises:
            OSError: the picture is gone.
        """
        key = task.file(name), task.boxes.get(name)
        if key not in self._known:
            digest = hash_file(key[0])
            self._known[key] = digest if key[1] is None else sha256(f"{digest} {key[1]}".encode()).hexdigest()
        return CallPicture(label, name, self._known[key])


@dataclass(frozen=True)
class ChatCaller:
    """A chat model with its connection and the ledger of its replies."""

    model: str
    chat: ChatSettings
    ledger: Path
    limits: Limits
    _digests: PictureDigests = field(default_factory=PictureDigests)

    def call(
        self,
        step: str,
        version: str,
        text: str,
        pictures: Sequence[CallPicture],
        schema: dict[str, Any],
        *,
        likelihoods: bool = False,
    ) -> Call:
        """Make the call for a question about pictures.

        With `likelihoods` the call requests log-probabilities, and the schema is not sent.
        """
        shown = rendering(self.chat.request)
        return Call(step, self.model, version, text, tuple(pictures), schema, shown, likelihoods=likelihoods)

    def picture(self, task: Task, label: str, name: str) -> CallPicture:
        """Make a labelled picture of a task, with the digest of its content.

        Raises:
            OSError: the picture is gone.
        """
        return self._digests.picture(task, label, name)

    def ask_once(self, calls: Sequence[Call], read: Callable[[str], T], spent: Spent) -> Asking[list[T | None]]:
        """Ask, and parse each reply, without a request to repair it; None if there is no usable reply."""
        found: list[T | None] = []
        for reply in (yield list(calls)):
            spent.add(reply)
            try:
                found.append(read_reply(reply, read, most_tokens=self.chat.request.max_tokens))
            except (CallRefused, InvalidReply):
                found.append(None)
                spent.unusable += 1
        return found

    def ask(self, calls: Sequence[Call], read: Callable[[str], T], spent: Spent) -> Asking[list[T | None]]:
        """Ask, and parse each reply, after at most one request to repair it; None if there is no usable reply."""
        replies = yield list(calls)
        found: list[T | None] = []
        again: dict[int, Call] = {}
        for place, (call, reply) in enumerate(zip(calls, replies, strict=True)):
            spent.add(reply)
            try:
                found.append(read_reply(reply, read, most_tokens=self.chat.request.max_tokens))
            except CallRefused:
                found.append(None)
                spent.unusable += 1
            except InvalidReply as error:
                found.append(None)
                again[place] = call.again(reply.text[:_SHOWN_BACK], fill(_REPAIR, problem=error))
        if again:
            for place, reply in zip(again, (yield list(again.values())), strict=True):
                spent.add(reply)
                try:
                    found[place] = read_reply(reply, read, most_tokens=self.chat.request.max_tokens)
                except (CallRefused, InvalidReply):
                    spent.unusable += 1
        return found

    def run(self, task: Task, step: str, asking: Iterable[tuple[str, Asking[T]]], count: int) -> dict[str, T]:
        """Run questions and return their outcomes by the queries' ids, without those stopped by a limit or an error.

        Raises:
            FailureError: the server does not answer.
            KeyboardInterrupt: after Ctrl-C.
        """
        from triptych.chat.client import INTERRUPTED, DialogueRunner, run
        from triptych.chat.endpoint import LOCAL, Endpoint
        from triptych.chat.server import ServerConnection

        host = urlsplit(self.chat.endpoint.base_url).hostname
        if host not in LOCAL:
            say(f"eval: pictures are sent to {host}")
        urls = PictureUrls(
            lambda name: _source(task, name, self.limits),
            size=self.chat.request.picture_size,
            quality=self.chat.request.picture_quality,
            limits_of=lambda: self.limits,
        )
        outcomes: dict[str, T] = {}
        faults: list[str] = []

        async def work(ledger: Ledger) -> str:
            async with AsyncExitStack() as stack:
                endpoint = await stack.enter_async_context(Endpoint(self.chat.endpoint.base_url, self.chat.endpoint))
                connection = ServerConnection(endpoint, self.chat, works=ledger.count("answered") > 0)
                runner = DialogueRunner(ledger, urls, self.chat, {step: connection})
                bar = progress(iter(asking), f"{step} {task.name}", total=count, unit="query")
                await runner.run(bar, outcomes.__setitem__, lambda name, error: faults.append(f"{name}: {error}"))
                return runner.why_stopped

        with locked(self.ledger.parent), open_ledger(self.ledger) as ledger:
            stopped = run(lambda: work(ledger))
        if stopped == INTERRUPTED:
            raise KeyboardInterrupt
        if faults:
            say(f"eval: {len(faults)} queries could not be asked, such as {faults[0]}")
        if stopped:
            say(f"eval: {step} stopped: {stopped}; the same command goes on from there")
        return outcomes


def _source(task: Task, name: str, limits: Limits) -> Path | bytes:
    """The file of a picture, or the picture cut out of it."""
    box = task.boxes.get(name)
    if box is None:
        return task.file(name)
    content = BytesIO()
    crop_square(open_picture(task.file(name), limits), box).save(content, "PNG")
    return content.getvalue()
