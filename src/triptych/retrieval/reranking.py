"""Re-rank the first results with a chat model. If time or budget is exceeded, the results are unchanged."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from PIL import Image

from triptych.chat.settings import require_chat_libraries
from triptych.core.errors import TriptychError, UsageError
from triptych.core.images import open_picture
from triptych.core.limits import DEFAULT_LIMITS, Limits
from triptych.core.progress import say
from triptych.core.text import clean, truncate
from triptych.retrieval.options import RerankOptions
from triptych.retrieval.results import Hit

if TYPE_CHECKING:
    from triptych.chat.client import DialogueRunner
    from triptych.chat.ledger import Reply
    from triptych.chat.request import Call, CallPicture
    from triptych.chat.server import ServerConnection

_MAX_PENDING = 64  # judgements in flight; with more, the endpoint is too slow, and searches are not re-ranked
_ATTEMPTS = 2  # attempts per request: someone waits for the result, so a second failure is final
_MAX_TEXT = 1000  # characters of a query's text that are sent; bounds the cost of a call
_REPLY_SHOWN = 4000  # characters of a bad reply that are sent back with the request to repair it

SLOW, LIMIT, FAILED = "it took too long", "its limit is reached", "it failed"


@dataclass(frozen=True)
class Reranked:
    """Results, with the ones first that the model picked; or unchanged results and the reason."""

    hits: list[Hit]
    problem: str = ""
    """`SLOW`, `LIMIT` or `FAILED` if the results are unchanged, else empty."""
    detail: str = ""
    """Details for the operator; they may name the endpoint."""


class Reranker:
    """Asks the critic's question about the first results: which one answers the query, and which others also do.

    The model gets the pictures in random order and without scores. After `options.timeout` a search no longer waits,
    but the answer is kept for the next equal search. The budget of `options.chat` is shared by all calls of this
    object, which belongs to one event loop.

    Raises:
        UsageError: the model is not chat:MODEL, it has no address, or the extra `chat` is not installed.
    """

    def __init__(self, options: RerankOptions) -> None:
        kind, _, model = options.model.partition(":")
        chat = options.chat
        if kind != "chat" or not model:
            raise UsageError(f"--rerank {options.model}: write chat:MODEL, such as chat:qwen2.5-vl-7b-instruct")
        if not chat.endpoint.base_url:
            raise UsageError("--rerank chat:MODEL needs --base-url, such as http://localhost:8000/v1")
        require_chat_libraries()
        from triptych.chat.limits import Budget
        from triptych.chat.pictures import PictureUrls
        from triptych.chat.prompts import load_prompts
        from triptych.chat.reply_cache import ReplyCache

        self._model = model
        endpoint = replace(
            chat.endpoint,
            read_timeout=min(chat.endpoint.read_timeout, options.timeout),
            attempts=min(chat.endpoint.attempts, _ATTEMPTS),
        )
        self._settings = replace(chat, endpoint=endpoint)
        self._top = options.top
        self._timeout = options.timeout
        self._prompts = load_prompts(chat.request.prompts)
        self._sent: dict[str, bytes] = {}  # uploaded references of calls in flight
        self._names: dict[str, str] = {}  # the names of results by their paths
        self.limits = DEFAULT_LIMITS
        """Limits for pictures; set to the catalog's when it is opened."""
        self.read: Callable[[str], bytes] | None = None
        """Reads the file of a result by its name. When a catalog is opened, this is set to `OpenCatalog.read`, which
        checks the content."""
        self.open_picture: Callable[[Path | bytes, Limits], Image.Image] = open_picture
        """Decodes a picture's file."""
        self._urls = PictureUrls(
            self._source,
            opened=lambda source, limits: self.open_picture(source, limits),
            limits_of=lambda: self.limits,
            size=chat.request.picture_size,
            quality=chat.request.picture_quality,
        )
        self._replies = ReplyCache()
        self._budget = Budget(calls=chat.budget.max_calls, cost=chat.budget.max_cost, minutes=chat.budget.max_minutes)
        self._runner: DialogueRunner | None = None
        self._connection: ServerConnection | None = None
        self._under_way: set[asyncio.Task[Any]] = set()

    @property
    def warning(self) -> str:
        """The warning that pictures leave this machine; empty if they do not."""
        from triptych.chat.endpoint import LOCAL

        host = urlsplit(self._settings.endpoint.base_url).hostname
        return "" if host in LOCAL else f"pictures are sent to {host}"

    async def __call__(self, picture: Path | bytes, text: str, hits: Sequence[Hit]) -> Reranked:
        """Re-rank the results for a reference and a modification. Errors of the endpoint are reported, not raised."""
        plain = list(hits)
        if len(plain) < 2:
            return Reranked(plain)
        if len(self._under_way) >= _MAX_PENDING:
            return Reranked(plain, SLOW, "too many judgements are in progress")
        judging = asyncio.create_task(self._outcome(self._order(picture, text, plain[: self._top])))
        self._under_way.add(judging)
        judging.add_done_callback(self._under_way.discard)
        # A late call is not cancelled: it is already paid for, and its answer is kept for the next equal search.
        await asyncio.wait({judging}, timeout=self._timeout)
        if not judging.done():
            return Reranked(plain, SLOW, f"no judgement within {self._timeout:g} s")
        order, problem, detail = judging.result()
        if problem:
            return Reranked(plain, problem, detail)
        ranked = [plain[place] for place in order] + plain[len(order) :]
        return Reranked([replace(hit, rank=rank) for rank, hit in enumerate(ranked, plain[0].rank)])

    async def _outcome(self, judging: Coroutine[Any, Any, list[int]]) -> tuple[list[int], str, str]:
        from triptych.chat.client import Postponed

        try:
            return await judging, "", ""
        except Postponed as postponed:
            stopped = self._runner.why_stopped if self._runner else ""
            if stopped:
                self._runner = None  # the next search tries again, with the rest of the budget
            return [], LIMIT if self._budget.exhausted() or stopped.startswith("--max-") else FAILED, str(postponed)
        except (TriptychError, OSError) as error:
            return [], FAILED, str(error)

    async def _order(self, picture: Path | bytes, text: str, hits: Sequence[Hit]) -> list[int]:
        """Ask the model for the order of the results, as positions in `hits`, best first."""
        from triptych.chat.judging import Judgement, read_judgement, schema_of
        from triptych.chat.parsing import CallRefused, InvalidReply, read_reply
        from triptych.chat.prompts import fill
        from triptych.chat.remedies import advice
        from triptych.chat.request import Call, rendering

        most_tokens = self._settings.request.max_tokens
        reference, places, shown = await asyncio.to_thread(self._look, picture, hits)
        words = truncate(text, _MAX_TEXT)
        order = list(range(len(places)))
        Random(f"{reference.sha256} {words}").shuffle(order)
        others = [replace(shown[row], label=f"Picture {number}") for number, row in enumerate(order, 1)]
        # The user's words are filled in last, so that placeholders in them are not replaced.
        prompt = fill(self._prompts.judge, count=len(others), wordings=1, texts=f"1. {words}")
        schema = schema_of(Judgement)
        pictures = (reference, *others)
        call = Call(
            "judgement", self._model, self._prompts.version, prompt, pictures, schema, rendering(self._settings.request)
        )

        def read(text: str) -> Judgement:
            return read_judgement(text, count=len(others), wordings=1)

        try:
            reply = await self._ask(call, reference.name)
            try:
                verdict = read_reply(reply, read, most_tokens=most_tokens)
            except InvalidReply as error:
                repair = fill(self._prompts.repair, problem=error)
                reply = await self._ask(call.again(reply.text[:_REPLY_SHOWN], repair), reference.name)
                verdict = read_reply(reply, read, most_tokens=most_tokens)
        except CallRefused as refusal:
            remedy = advice(str(refusal))
            raise TriptychError(f"{refusal}{remedy and f'; {remedy}'}") from None
        except InvalidReply as error:
            raise TriptychError(f"no usable reply: {error}") from None
        finally:
            self._sent.pop(reference.name, None)
        picked = [places[order[verdict.picks[0] - 1]]] if verdict.picks[0] else []
        fitting = sorted({places[order[number - 1]] for number in verdict.also_fit} - {*picked})
        first = picked + fitting
        return first + [place for place in range(len(hits)) if place not in first]

    async def _ask(self, call: "Call", reference: str) -> "Reply":
        from triptych.chat.client import DialogueRunner
        from triptych.chat.endpoint import Endpoint
        from triptych.chat.remedies import RequestForm
        from triptych.chat.server import ServerConnection

        if self._runner is None:
            server = self._settings.endpoint
            known = self._connection.form if self._connection else RequestForm()
            self._connection = ServerConnection(Endpoint(server.base_url, server), self._settings, form=known)
            self._runner = DialogueRunner(
                self._replies, self._urls, self._settings, {call.step: self._connection}, self._budget
            )
        return await self._runner.ask(call, reference)

    def _look(self, picture: Path | bytes, hits: Sequence[Hit]) -> "tuple[CallPicture, list[int], list[CallPicture]]":
        """Encode the pictures to send: the reference, and the results that can be opened, with their positions."""
        from hashlib import sha256

        from triptych.chat.request import CallPicture
        from triptych.core.errors import PictureError
        from triptych.core.files import hash_file

        if isinstance(picture, bytes):
            digest = sha256(picture).hexdigest()
            name = f"reference {digest}"
            self._sent[name] = picture
        else:
            name, digest = str(picture), hash_file(picture)
        self._urls.url(name)
        places, shown = [], []
        for place, hit in enumerate(hits):
            try:
                shown.append(CallPicture("", hit.path, self._encoded(hit)))
                places.append(place)
            except (PictureError, OSError):  # gone since it was indexed: its position is unchanged
                continue
        if not places:
            raise PictureError("none of the results can be opened")
        return CallPicture("Reference", name, digest), places, shown

    def _encoded(self, hit: Hit) -> str:
        """Encode a result to send, and return the SHA-256 of its file.

        Raises:
            PictureError: the picture cannot be used.
            OSError: the file cannot be read.
        """
        from hashlib import sha256

        self._names[hit.path] = hit.name
        self._urls.url(hit.path)
        source = self._source(hit.path)
        return sha256(source if isinstance(source, bytes) else source.read_bytes()).hexdigest()

    def _source(self, name: str) -> Path | bytes:
        if name in self._names and self.read is not None:
            return self.read(self._names[name])
        return self._sent.get(name) or Path(name)


def rerank_once(reranker: Reranker, picture: Path | bytes, text: str, hits: Sequence[Hit]) -> list[Hit]:
    """Re-rank results in a new event loop. If re-ranking fails, print why."""
    if reranker.warning:
        say(f"search: {reranker.warning}")
    if len(clean(text)) > _MAX_TEXT:
        say(f"search: the chat model reads only the first {_MAX_TEXT} characters of the text")
    reranked = asyncio.run(_call(reranker, picture, text, hits))
    if reranked.problem:
        say(f"search: not re-ranked: {reranked.problem} ({reranked.detail})")
    return reranked.hits


async def _call(reranker: Reranker, picture: Path | bytes, text: str, hits: Sequence[Hit]) -> Reranked:
    return await reranker(picture, text, hits)
