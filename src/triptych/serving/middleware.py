"""Access control in front of the application: host names, origins, keys, rates, and limits of size and time."""

import asyncio
import logging
import traceback
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from time import monotonic, perf_counter

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triptych.core.errors import DataError
from triptych.core.progress import say
from triptych.serving.problems import Problem, as_problem, busy
from triptych.serving.prometheus import ServiceMetrics
from triptych.serving.settings import ServiceSettings

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_OLD, _NEW = "/api/", "/v1/"
_OPEN = ("/health", "/ready", "/openapi.json")  # need no key; nor does the page, which has no data of the catalog
_WRITING = ("/v1/pictures", "/v1/blind", "/v1/blind/choices")  # the last two are for the owner, too
_WITH_BASE64 = ("/v1/search", "/v1/searches")  # accept JSON that may contain a picture
_BEYOND_THE_PICTURE = 64 * 1024  # bytes of a request besides its picture
_WITHOUT_A_PICTURE = 256 * 1024  # bytes of a body that contains no picture
_DIGITS = 16  # digits of a Content-Length
_PIECE = 64 * 1024  # bytes of a body that are parsed at once; between pieces other requests can run
_CLIENTS = 10_000  # clients whose rate is tracked
_ADDRESS = 64  # characters of a client's address that are kept


class AccessMiddleware:
    """Wraps the application: refuses requests that the settings do not allow, and counts and times the others."""

    def __init__(self, app: ASGIApp, settings: ServiceSettings, metrics: ServiceMetrics) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._held = 0
        self._warned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        _strip(scope, self._settings.root_path)
        started = perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_HEADERS, *self._shared(scope)]
            await send(message)

        try:
            async with asyncio.timeout(self._settings.request_timeout):
                await self._admit(scope, receive, sending)
        except TimeoutError:
            if not status:
                await busy("the request took too long").response()(scope, receive, sending)
        except Exception as error:
            problem = as_problem(error)
            if problem.status == 500:
                # The log gets the place of the error, but no values of the request.
                where = " ".join(traceback.format_tb(error.__traceback__))
                logging.getLogger("triptych").error("%s %s", where, type(error).__name__)
            if not status:
                await problem.response()(scope, receive, sending)
        seconds = perf_counter() - started
        route = getattr(scope.get("route"), "path", "none")
        self._metrics.count(_known(scope["method"]), route, status, seconds)
        if route not in _OPEN:
            say(f"{_known(scope['method'])} {route} {status} {seconds * 1000:.0f} ms")

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        settings = self._settings
        if settings.hosts is not None and host_name(headers.get("host", "")) not in settings.hosts:
            raise Problem(421, "this service does not answer to this host name; --allow-host adds one")
        origin = headers.get("origin")
        if scope["method"] == "OPTIONS" and origin in settings.origins:
            return await _preflight(scope, receive, send)
        if scope["method"] not in ("GET", "HEAD") and not _same_site(headers, origin, settings):
            raise Problem(403, "pages of other sites may not send this request; --allow-origin allows a site")
        if _writes(scope) and not settings.keys and origin in settings.origins and not _own(headers, origin):
            raise Problem(403, "pages of other sites need a key to add or remove pictures, and this service has none")
        client = scope["triptych.client"] = self._identify(scope, headers)
        self._pace(client)
        body, size = await self._read(scope, headers, receive)
        try:
            await _answer(self._app, scope, _replay(body, receive), send)
        finally:
            self._held -= size

    def _identify(self, scope: Scope, headers: Headers) -> str:
        """Identify the client. Raises Problem if it is not allowed to send the request."""
        path, settings = scope["path"], self._settings
        client = (scope.get("client") or ("unknown",))[0][:_ADDRESS]
        writes = _writes(scope)
        if settings.rate_limit and not (settings.proxies or self._warned) and "x-forwarded-for" in headers:
            self._warned = True
            say("X-Forwarded-For is ignored, so all clients behind a proxy count as one; give --trusted-proxy")
        if writes and not settings.writable:
            raise Problem(403, "this service does not allow adding or removing pictures")
        if not settings.keys or path in _OPEN or path == "/" or path.startswith("/page/"):
            return f"at {client}"
        kind, _, given = headers.get("authorization", "").partition(" ")
        given = given.strip() if kind.lower() == "bearer" else headers.get("x-api-key", "")
        try:
            key = settings.keys.find(given) if given else None
        except DataError as error:
            say(f"all keys are refused: {error}")
            raise busy("the keys cannot be read; the operator finds details in the log") from None
        if key is None:
            self._pace(f"at {client}")  # slows down guessing
            raise Problem(401, "a key is needed, as `Authorization: Bearer KEY`", {"WWW-Authenticate": "Bearer"})
        if writes and not key.write:
            raise Problem(403, "this key may search, but not add or remove pictures")
        return f"key {key.name}"

    def _pace(self, client: str) -> None:
        """Enforce the rate limit: a token bucket that fills with `rate` tokens a second, up to those of ten seconds."""
        rate = self._settings.rate_limit
        if not rate:
            return
        now, most = monotonic(), max(1.0, 10 * rate)
        tokens, since = self._buckets.pop(client, (most, now))
        tokens = min(most, tokens + (now - since) * rate)
        if tokens >= 1:
            tokens, wait = tokens - 1, 0.0
        else:
            wait = (1 - tokens) / rate
        self._buckets[client] = (tokens, now)
        if len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        if wait:
            raise Problem(429, "too many requests; wait a little", {"Retry-After": str(int(wait) + 1)})

    async def _read(self, scope: Scope, headers: Headers, receive: Receive) -> tuple[bytes, int]:
        """Read the whole body. Also returns the bytes by which it counts against the limit for all uploads."""
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return b"", 0
        most = shown = self._settings.limits.max_bytes
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            most += _BEYOND_THE_PICTURE
        elif kind == "application/json" and scope["path"].rstrip("/") in _WITH_BASE64:
            most = shown = most * 4 // 3 + _BEYOND_THE_PICTURE
        else:
            most = shown = min(most, _WITHOUT_A_PICTURE)
        large = Problem(413, f"too large: at most {shown} bytes are accepted")
        length = headers.get("content-length", "0")
        if not (length.isdecimal() and len(length) < _DIGITS) or int(length) > most:
            raise large
        body = bytearray()
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Problem(400, "the client closed the connection")
                piece = message.get("body", b"")
                self._held += len(piece)
                body += piece
                if len(body) > most:
                    raise large
                if self._held > self._settings.max_held_bytes:
                    raise busy("too much is being uploaded at once; try again in a moment")
                if not message.get("more_body"):
                    return bytes(body), len(body)
        except BaseException:
            self._held -= len(body)
            raise

    def _shared(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """Headers that allow other sites' pages to read the answer, or to show a picture."""
        origins = self._settings.origins
        if not origins:
            return [(b"cross-origin-resource-policy", b"same-origin")]
        origin = Headers(scope=scope).get("origin")
        allowed = [(b"access-control-allow-origin", origin.encode("latin-1"))] if origin and origin in origins else []
        # Browsers send no origin for an `<img>`, so pictures are open either to every site or to none.
        shown = bool(allowed) or scope["path"].startswith("/v1/pictures/")
        policy = b"cross-origin" if shown else b"same-origin"
        return [*allowed, (b"cross-origin-resource-policy", policy), (b"vary", b"Origin")]


def _strip(scope: Scope, root_path: str) -> None:
    """Remove `root_path` from the path of a request, if the proxy has passed it on.

    The paths below `/api/` of earlier versions are mapped to `/v1/`.
    """
    path = scope["path"]
    if root_path and (path == root_path or path.startswith(f"{root_path}/")):
        scope["path"] = path = path[len(root_path) :] or "/"
        scope["raw_path"] = path.encode()
    if path.startswith(_OLD):
        scope["path"] = _NEW + path[len(_OLD) :]
        scope["raw_path"] = scope["path"].encode()


async def _answer(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Let `app` answer. A HEAD request is answered like a GET, without the body."""
    if scope["method"] != "HEAD":
        return await app(scope, receive, send)
    asked = {**scope, "method": "GET"}

    async def headless(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    try:
        await app(asked, receive, headless)
    finally:
        if "route" in asked:
            scope["route"] = asked["route"]


def _replay(body: bytes, receive: Receive) -> Callable[[], Awaitable[Message]]:
    """Pass on the body in pieces. It is parsed on the event loop, and other requests can run between pieces."""
    place: int | None = 0

    async def replay() -> Message:
        nonlocal place
        if place is None:
            return await receive()
        if place:
            await asyncio.sleep(0)
        piece = body[place : place + _PIECE] if len(body) > _PIECE else body
        place += len(piece)
        more = place < len(body)
        if not more:
            place = None
        return {"type": "http.request", "body": piece, "more_body": more}

    return replay


def _same_site(headers: Headers, origin: str | None, settings: ServiceSettings) -> bool:
    """Whether a request comes from a page of an allowed site, or from a program, which sends no origin."""
    if origin is None or origin in settings.origins:
        return origin is not None or headers.get("sec-fetch-site", "none") in ("same-origin", "none")
    return _own(headers, origin)


def _own(headers: Headers, origin: str | None) -> bool:
    """Whether the request comes from a page of this service."""
    return origin is not None and origin.partition("://")[2] == headers.get("host", "")


def _writes(scope: Scope) -> bool:
    """Whether the request may change the catalog."""
    method = scope["method"]
    return bool(method in ("DELETE", "PATCH") or (method == "POST" and scope["path"].rstrip("/") in _WRITING))


def host_name(host: str) -> str:
    """The host without its port, in lower case."""
    return host.rsplit(":", 1)[0].lower() if not host.endswith("]") else host.lower()


def _known(method: str) -> str:
    return method if method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH") else "OTHER"


async def _preflight(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [
        (b"access-control-allow-methods", b"GET, POST, PATCH, DELETE"),
        (b"access-control-allow-headers", b"authorization, content-type, x-api-key"),
        (b"access-control-max-age", b"600"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
