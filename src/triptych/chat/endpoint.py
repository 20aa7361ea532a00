"""One request to an OpenAI-compatible server, and what came of it: a reply, an error that may pass, or a refusal."""

import asyncio
import json
import os
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2
import openai
from pydantic import BaseModel, ConfigDict, ValidationError

from triptych.chat.ledger import MOST_TEXT, Reply
from triptych.chat.limits import retry_after
from triptych.chat.settings import ChatEndpoint
from triptych.core.environment import KEYS
from triptych.core.errors import FailureError, UsageError
from triptych.core.text import truncate

_MOST_BYTES = 1024 * 1024  # of a whole reply; what is longer is not read to its end
_MOST_TOKENS = 10**9  # of a call, that a server can mean
_TOO_MUCH = frozenset({429, 503, 529})
MAY_PASS = frozenset({408, 409, 425}) | _TOO_MUCH
MAY_BE_MENDED = frozenset({401, 402, 403, 404})
"""Answers about the key, the money, or the address: another request would fare no better."""
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class TransientError(Exception):
    """The call came to nothing, which may pass. `busy`: the server says that it is too much; `after`: its pause;
    `paid`: it may cost money all the same."""

    def __init__(self, what: str, *, busy: bool = False, after: float | None = None, paid: bool = False) -> None:
        super().__init__(what)
        self.busy = busy
        self.after = after
        self.paid = paid


class RequestRefused(Exception):
    """The server will never take this request."""


class Forbidden(RequestRefused):
    """It is not for this key, or not for what it shows: services answer 403 to either."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore")
    content: str | list[Any] | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    model_config = ConfigDict(extra="ignore")
    message: _Message
    finish_reason: str | None = None


class _Completion(BaseModel):
    """What of a chat completion is read; all else is ignored."""

    model_config = ConfigDict(extra="ignore")
    choices: list[_Choice]
    usage: Any = None


class Endpoint:
    """A server, spoken to through one pool of connections.

    The key comes from the first of the environment variables `keys` that is set, and goes nowhere else. Raises
    UsageError where it cannot be a key.
    """

    def __init__(self, url: str, settings: ChatEndpoint, keys: Sequence[str] = KEYS) -> None:
        self.url = url
        self._settings = settings
        self._keys = keys
        self._key = _key(keys)
        host = urlsplit(url).hostname or ""
        timeout = httpx2.Timeout(
            connect=settings.connect_timeout,
            read=settings.read_timeout,
            write=settings.read_timeout,
            pool=None,
        )
        pool = httpx2.Limits(max_connections=None, max_keepalive_connections=settings.concurrency)
        self._client = openai.AsyncOpenAI(
            base_url=url,
            api_key=self._key or "none",
            max_retries=0,
            timeout=timeout,
            # A proxy is of no use on the way to this very machine.
            http_client=openai.DefaultAsyncHttpxClient(timeout=timeout, limits=pool, trust_env=host not in LOCAL),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def send(self, body: dict[str, Any], key: str) -> Reply:
        """Ask once. Raises TransientError, RequestRefused, or FailureError where no call at all can succeed.

        `key` goes along as Idempotency-Key, so that a gateway which knows such keys charges a repeated call once.
        """
        started = time.monotonic()
        try:
            async with asyncio.timeout(2 * self._settings.read_timeout):
                raw, whole = await self._bytes(body, key)
        except (TimeoutError, openai.APITimeoutError) as error:
            raise TransientError("no answer in time", busy=True, paid=not _never_sent(error)) from None
        except openai.APIStatusError as error:
            raise self._judged(error) from None
        except (openai.APIConnectionError, httpx2.HTTPError, httpx2.StreamError) as error:
            why = error.__cause__ if isinstance(error, openai.APIConnectionError) and error.__cause__ else error
            said = self._hushed(f"connection: {why or type(why).__name__}")
            raise TransientError(said, paid=not _never_sent(error)) from None
        seconds = time.monotonic() - started
        if not whole:
            text = raw[:MOST_TEXT].decode("utf-8", "replace")
            return Reply(text, finish="too long", seconds=seconds)
        return self._reply(raw, seconds)

    async def _bytes(self, body: dict[str, Any], key: str) -> tuple[bytes, bool]:
        """The body of the answer, and whether that is all of it."""
        asking = self._client.chat.completions.with_streaming_response
        # As extra_body: the library would walk through every message to no end, half of the whole cost of a call.
        asked = asking.create(model=body["model"], messages=[], extra_body=body, extra_headers={"Idempotency-Key": key})
        async with asked as response:
            content = bytearray()
            async for chunk in response.iter_bytes():
                content += chunk
                if len(content) > _MOST_BYTES:
                    return bytes(content), False
        return bytes(content), True

    def _reply(self, raw: bytes, seconds: float) -> Reply:
        reply = completion(raw)
        if reply is None:
            raise TransientError(
                "the answer is empty" if not raw.strip() else "the answer is no chat completion", paid=True
            )
        return Reply(**(vars(reply) | {"seconds": seconds}))

    def _judged(self, error: openai.APIStatusError) -> Exception:
        code = error.status_code
        said = self._hushed(str(error.message))
        if code == 401:
            return self.wrong_key(said)
        if code == 402:
            return FailureError(f"{self.url}: wants to be paid ({said}); the same command goes on once it is")
        if code == 403:
            return Forbidden(f"{code}: {said}")
        if code == 404:
            return FailureError(f"{self.url}: no such model or address ({said}); check the address and the model")
        if code in MAY_PASS or code >= 500:
            after = retry_after({name.lower(): value for name, value in error.response.headers.items()})
            return TransientError(f"{code}: {said}", busy=code in _TOO_MUCH, after=after)
        return RequestRefused(f"{code}: {said}")

    def wrong_key(self, said: str) -> FailureError:
        """That the server does not take the key."""
        return FailureError(f"{self.url}: the server wants another key ({said}); set {' or '.join(self._keys)}")

    def _hushed(self, text: str) -> str:
        """What somebody else said, fit to be kept: short, one line, and without the key."""
        text = text.replace(self._key, "***") if self._key else text
        return truncate(text, 300)


def _key(names: Sequence[str]) -> str:
    for name in names:
        if key := os.environ.get(name, "").strip():
            if not (key.isascii() and key.isprintable()):
                raise UsageError(f"{name}: holds characters that no key has; set it anew")
            return key
    return ""


def _never_sent(error: BaseException) -> bool:
    """Whether no server saw the request."""
    return isinstance(error.__cause__ or error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)


def completion(raw: bytes | str) -> Reply | None:
    """The reply in a chat completion, without its cost; None where it is none."""
    try:
        known = _Completion.model_validate(json.loads(raw))
    except (ValueError, RecursionError, ValidationError):
        return None
    if not known.choices:
        return None
    choice = known.choices[0]
    return Reply(
        text=_whole(choice.message.content)[:MOST_TEXT],
        refusal=truncate(choice.message.refusal or "", 300),
        finish=truncate(choice.finish_reason or "", 40),
        tokens_in=_tokens(known.usage, "prompt_tokens"),
        tokens_out=_tokens(known.usage, "completion_tokens"),
    )


def _whole(content: str | list[Any] | None) -> str:
    """A message's text, which some servers give in parts; half a surrogate pair, which no file takes, is replaced."""
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        content = "".join(part for part in parts if isinstance(part, str))
    return (content or "").encode("utf-8", "replace").decode("utf-8")


def _tokens(usage: Any, name: str) -> int:
    """A count that a server tells, and 0 where it tells none that can be."""
    count = usage.get(name) if isinstance(usage, dict) else None
    return int(count) if isinstance(count, int | float) and 0 <= count < _MOST_TOKENS else 0
