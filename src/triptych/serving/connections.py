"""Limits on connections before a request is complete: size and time of headers, idle and open connections.

With httptools, uvicorn limits none of these; with h11, only the size.
"""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from triptych.core.progress import say
from triptych.serving.problems import Problem

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as Protocol
else:
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as Protocol
    except ImportError:  # h11 is always there, since uvicorn depends on it
        from uvicorn.protocols.http.h11_impl import H11Protocol as Protocol

_PIECE = 8192  # bytes parsed at once; the size of a header is checked after each piece
_CHUNKS = 8  # the framing of a chunked body may take this many times the size of a header
_WAITING, _SENDING, _ANSWERED = range(3)  # a connection waits for a request, the request's body, or its answer


@dataclass(frozen=True)
class ConnectionSettings:
    """Limits of connections; times are in seconds."""

    most: int
    """The most open connections. One more replaces the connection that has waited longest."""
    header_bytes: int
    """The most bytes of a request's header."""
    header_time: float
    idle_time: float
    """Seconds between two requests. A client that is still reading an answer, or sending a refused body, has
    `header_time` more.
    """
    request_time: float


def limited_protocol(settings: ConnectionSettings) -> type[asyncio.Protocol]:
    """Make a protocol class for uvicorn that enforces `settings`."""
    return type("LimitedProtocol", (_LimitedProtocol,), {"settings": settings})


class _LimitedProtocol(Protocol):
    settings: ConnectionSettings
    _timer: asyncio.TimerHandle | None = None
    _since = 0.0
    _idle = True  # whether the next byte begins a request
    _beside = 0  # bytes of the request outside its body
    _body = 0
    _ended = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._arm(self.settings.header_time)
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._idle:
            self._idle, self._beside, self._body = False, 0, 0
            if self.cycle is not None:  # for a new connection the timer already runs
                self._arm(self.settings.header_time)
        for start in range(0, len(data), _PIECE):
            if self.transport.is_closing():
                return
            piece, known = data[start : start + _PIECE], self.cycle
            self._beside += len(piece)
            super().data_received(piece)
            if self.cycle is not known:
                self._beside = self._body = 0
                self._arm(self.settings.request_time + self.settings.idle_time)
            # A chunked body has bytes outside it, too.
            elif self._beside > self.settings.header_bytes + min(self._body, _CHUNKS * self.settings.header_bytes):
                return self._refuse(431, f"the header is too long: at most {self.settings.header_bytes} bytes are read")

    def on_body(self, body: bytes) -> None:
        """Called by the parser httptools; h11 has its own limit."""
        self._beside -= len(body)
        self._body += len(body)
        super().on_body(body)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:
            # The rest of a refused body is read until then. Otherwise the client would not get the answer.
            self._idle = not self.cycle.more_body
            self._arm(self.settings.idle_time + self.settings.header_time)
        else:  # the next request has already arrived
            self._arm(self.settings.request_time + self.settings.idle_time)

    @property
    def stage(self) -> int:
        """What the connection waits for."""
        if self.cycle is None or self.cycle.response_complete or self.transport.is_closing():
            return _WAITING
        return _SENDING if self.cycle.more_body else _ANSWERED

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._since = self.loop.time()
        self._timer = self.loop.call_later(seconds, self._expire)

    def _disarm(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _expire(self) -> None:
        began = self.stage == _WAITING and not self._idle and self._beside and not self.transport.is_closing()
        if began and (self.cycle is None or not self.cycle.more_body):
            self._refuse(408, f"the header took longer than {self.settings.header_time:g} s")
        elif self.cycle is None or self.stage != _WAITING:
            self._end("the client sent nothing" if self.cycle is None else "the client took too long")
        else:
            self._end("")

    def _make_room(self) -> None:
        others: list[Any] = [
            other for other in self.connections if other is not self and not getattr(other, "_ended", False)
        ]
        if len(others) < self.settings.most:
            return
        longest = min(others, key=lambda other: (other.stage, other._since))
        if longest.stage == _ANSWERED:
            self._refuse(503, "too many connections; try again in a moment")
        else:
            longest._end(f"{self.settings.most} connections are open, and this one has waited longest")

    def _refuse(self, status: int, why: str) -> None:
        if self.stage != _WAITING:  # the answer to an earlier request may still be being sent
            return self._end(why)
        answer = Problem(status, why).response()
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode(), b"connection: close"]
        lines += [b"%b: %b" % header for header in answer.raw_headers]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + bytes(answer.body))
        self._log(why)
        self.transport.close()
        self._idle = True
        self._arm(self.settings.idle_time)

    def _end(self, why: str) -> None:
        self._ended = True
        if why and not self.transport.is_closing():
            self._log(why)
        self.transport.abort()

    def _log(self, why: str) -> None:
        say(f"closed a connection of {self.client[0] if self.client else 'an unknown client'}: {why}")
