"""One request to an OpenAI-compatible server and its result: a reply, a transient error, or a refusal."""

import asyncio
import json
import os
import ssl
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import httpx2

from triptych.chat.answers import ServerMessage, completion, describe_answer, error_in_answer, server_message
from triptych.chat.ledger import MOST_TEXT, Reply
from triptych.chat.limits import retry_after
from triptych.chat.remedies import advice, is_about_money, is_about_the_key, is_hopeless
from triptych.chat.settings import ChatEndpoint
from triptych.core.environment import KEYS
from triptych.core.errors import FailureError, UsageError
from triptych.core.text import clean, truncate
from triptych.core.version import __version__

_MOST_BYTES = 1024 * 1024  # of a whole reply; what is longer is not read to its end
_MOST_COMPLAINT = 64 * 1024  # bytes of an answer that is an error
_MOST_REDIRECTS = 3  # of one request
_SECRET = 8  # characters of a key that is removed from replies; shorter keys are dummies, and may be words
_TOO_MUCH = frozenset({429, 503, 529})
TRANSIENT_STATUSES = frozenset({408, 409, 425}) | _TOO_MUCH
FIXABLE_STATUSES = frozenset({401, 402, 403, 404})
"""Statuses about the key, payment, or the address. Another request would fail, too."""
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class TransientError(Exception):
    """A call failed, and may succeed later.

    `busy`: the server is overloaded. `after`: the pause that it asks for, in seconds. `paid`: the call may cost money
    all the same. `form`: the failure may be due to the form of the request.
    """

    def __init__(
        self, what: str, *, busy: bool = False, after: float | None = None, paid: bool = False, form: bool = False
    ) -> None:
        super().__init__(what)
        self.busy = busy
        self.after = after
        self.paid = paid
        self.form = form


class RequestRefused(Exception):
    """The server will never accept this request."""


class Forbidden(RequestRefused):
    """The request is forbidden, either for this key or for its content: services answer 403 to both."""


class ServerUnusable(FailureError):
    """No call at all can succeed until a person acts. `said` is the server's message, for the ledger."""

    def __init__(self, said: str, whole: str) -> None:
        super().__init__(whole)
        self.said = said


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool


class Endpoint:
    """A server, reached through one pool of connections.

    The key comes from the first of the environment variables `keys` that is set. It goes nowhere else: redirects to
    other servers are not followed.

    Raises:
        UsageError: the variable's value cannot be a key.
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
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            # A small compressed answer could become a huge one.
            "Accept-Encoding": "identity",
            "User-Agent": f"triptych/{__version__}",
        }
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        self._client = httpx2.AsyncClient(
            headers=headers,
            timeout=timeout,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=settings.concurrency),
            follow_redirects=False,
            # A proxy is useless for connections to this machine.
            trust_env=host not in LOCAL,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def send(self, body: dict[str, Any], key: str) -> Reply:
        """Send one request and return the reply.

        `key` is sent as Idempotency-Key, so that a gateway that supports such keys charges a repeated call once.

        Raises:
            TransientError: the call failed and may be repeated.
            RequestRefused: the server will never accept this request.
            ServerUnusable: no call at all can succeed.
        """
        started = time.monotonic()
        longest = 2 * self._settings.read_timeout
        try:
            async with asyncio.timeout(longest):
                answer = await self._ask(json.dumps(body).encode(), key)
        except httpx2.ConnectTimeout:
            raise TransientError(f"no connection within {self._settings.connect_timeout:g} s", busy=True) from None
        except (TimeoutError, httpx2.TimeoutException) as error:
            waited = longest if isinstance(error, TimeoutError) else self._settings.read_timeout
            raise TransientError(f"no answer within {waited:g} s", busy=True, paid=True) from None
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL) as error:
            raise self._broken(error) from None
        seconds = time.monotonic() - started
        if answer.status >= 400:
            raise self._judged(server_message(answer.status, answer.body), answer.headers)
        if not answer.whole:
            text = self._without_key(answer.body[: 2 * MOST_TEXT].decode("utf-8", "replace"))
            return Reply(text[:MOST_TEXT], finish="too long", seconds=seconds)
        return self._reply(answer, seconds, likelihoods="logprobs" in body)

    async def _ask(self, content: bytes, key: str) -> _Answer:
        address = self.url.rstrip("/") + "/chat/completions"
        for _ in range(1 + _MOST_REDIRECTS):
            asking = self._client.stream("POST", address, content=content, headers={"Idempotency-Key": key})
            async with asking as response:
                if not 300 <= response.status_code < 400:
                    answer = await _read(response)
                    return replace(answer, body=self._without_key(answer.body.decode("latin-1")).encode("latin-1"))
                address = self._redirected(address, response.status_code, response.headers.get("location", ""))
        said = "sends on from one address to the next"
        raise ServerUnusable(said, f"{self.url}: {said}; give the right one as --base-url")

    def _redirected(self, address: str, status: int, location: str) -> str:
        """The address that a redirect names, if it is on the same server. Pictures and key are sent to no other one."""
        try:
            there = urljoin(address, location)
            same = _origin(there) == _origin(address)
        except ValueError:
            there, same = location, False
        if not same or status not in (307, 308):
            origin = self._sanitized(there.partition("?")[0])
            said = f"{status}: sends on to {origin or 'nowhere'}"
            raise ServerUnusable(
                said,
                f"{self.url}: {said}; pictures and key are not sent there; if that address is right, give it as "
                "--base-url",
            )
        return there

    def _reply(self, answer: _Answer, seconds: float, *, likelihoods: bool) -> Reply:
        reply = completion(answer.body, likelihoods=likelihoods)
        if reply is None:
            if complaint := error_in_answer(answer.body):
                raise self._judged(complaint, answer.headers, success=True)
            said = self._sanitized(f"{answer.status}: {describe_answer(answer.body)}")
            raise TransientError(said, paid="web page" not in said)
        text, refusal = self._without_key(reply.text), self._sanitized(reply.refusal)
        return replace(reply, text=text, refusal=refusal, seconds=seconds)

    def _judged(self, message: ServerMessage, headers: Mapping[str, str], *, success: bool = False) -> Exception:
        """The error that a server's message means. `success`: the message came with a
        status of success, and may have cost money."""
        code, said = message.status, self._sanitized(str(message))
        if code == 401 or (code in (0, 400) and is_about_the_key(said)):
            return self.wrong_key(said)
        if code == 402 or is_about_money(said):
            return ServerUnusable(said, f"{self.url}: asks for payment ({said}); pay, then run the same command again")
        if code == 403:
            return Forbidden(said)
        if code in (404, 405) and not (advice(said) and is_hopeless(said)):
            hint = "" if "/v1" in urlsplit(self.url).path else "; most addresses end with /v1"
            return ServerUnusable(
                said, f"{self.url}: no such address or model ({said}); check the address and the model{hint}"
            )
        if code in TRANSIENT_STATUSES or code >= 500 or not code:
            after = retry_after(dict(headers))
            return TransientError(said, busy=code in _TOO_MUCH, after=after, paid=success, form=code in (0, 500, 501))
        return RequestRefused(said)

    def wrong_key(self, said: str) -> ServerUnusable:
        """The error that the server does not accept the key."""
        return ServerUnusable(said, f"{self.url}: the server wants another key ({said}); set {' or '.join(self._keys)}")

    def _broken(self, error: Exception) -> Exception:
        """The error that a failed connection means."""
        never_sent = isinstance(error, httpx2.ConnectError | httpx2.PoolTimeout)
        if tls := _tls_fault(error):
            said = self._sanitized(f"TLS: {tls.reason or tls}")
            if isinstance(tls, ssl.SSLCertVerificationError):
                said = f"its certificate is not trusted ({self._sanitized(tls.verify_message or str(tls))})"
                return ServerUnusable(said, f"{self.url}: {said}; SSL_CERT_FILE names a file of certificates to trust")
            if "WRONG_VERSION" in said or "RECORD_LAYER" in said or "UNKNOWN_PROTOCOL" in said:
                return ServerUnusable(said, f"{self.url}: does not speak TLS there ({said}); http:// may be meant")
            return TransientError(said, paid=not never_sent)
        if isinstance(error, httpx2.DecodingError):
            return TransientError(self._sanitized(f"the answer cannot be unpacked: {error}"), paid=True)
        return TransientError(self._sanitized(f"connection: {error or type(error).__name__}"), paid=not never_sent)

    def _sanitized(self, text: str) -> str:
        """A foreign message, fit to be kept: short, one line, and without the key."""
        if not self._key:
            return truncate(text, 300)
        # Again after cleaning, since a removed character may have split the key.
        return truncate(clean(text.replace(self._key, "***")).replace(self._key, "***"), 300)

    def _without_key(self, text: str) -> str:
        """An answer without the key, in case the server repeated it."""
        return text.replace(self._key, "***") if len(self._key) >= _SECRET else text


async def _read(response: httpx2.Response) -> _Answer:
    """Read and decompress an answer, up to the largest size that is wanted."""
    most = _MOST_BYTES if response.status_code < 400 else _MOST_COMPLAINT
    headers = {name.lower(): value for name, value in response.headers.items()}
    unpack = _unpacking(headers.get("content-encoding", ""))
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += unpack(chunk, most + 1 - len(content))
        if len(content) > most:
            return _Answer(response.status_code, headers, bytes(content[:most]), whole=False)
    return _Answer(response.status_code, headers, bytes(content), whole=True)


def _unpacking(encoding: str) -> Callable[[bytes, int], bytes]:
    """A decompressor for a content encoding, which makes no more bytes than wanted.

    Raises:
        DecodingError: the encoding is unknown.
    """
    if encoding.strip().lower() in ("", "identity"):
        return lambda chunk, most: chunk[:most]
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        raise httpx2.DecodingError(f"packed as {truncate(encoding, 40)}, which was not asked for")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def unpack(chunk: bytes, most: int) -> bytes:
        try:
            return unpacker.decompress(chunk, most)
        except zlib.error as error:
            raise httpx2.DecodingError(str(error)) from None

    return unpack


def _key(names: Sequence[str]) -> str:
    for name in names:
        if key := os.environ.get(name, "").strip():
            if not (key.isascii() and key.isprintable()):
                raise UsageError(f"{name}: contains characters that no key has; set it again")
            return key
    return ""


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port of an address.

    Raises:
        ValueError: the port is not one.
    """
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _tls_fault(error: BaseException) -> ssl.SSLError | None:
    """The TLS error that caused an error of the connection; None if there is none."""
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None or isinstance(seen, ssl.SSLError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None
