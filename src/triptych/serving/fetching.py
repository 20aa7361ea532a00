"""Fetch pictures by URL, only from hosts that the operator has allowed, against server-side request forgery.

A host name is resolved once, and the connection goes to one of the checked addresses. So DNS rebinding, a name that
resolves to another machine a moment later, has no effect. Each redirect is checked like the first URL.
"""

import ipaddress
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from threading import Timer
from time import monotonic
from urllib.parse import SplitResult, urljoin, urlsplit

from triptych.core.errors import UsageError
from triptych.serving.problems import Problem

Address = tuple[str, int]

LONGEST = 2000
"""The most characters of a URL."""
_REDIRECTS = 3
_PIECE = 64 * 1024
_PORTS = {"http": 80, "https": 443}
_MOVED = (301, 302, 303, 307, 308)


def _resolved(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(str(address[0]), port) for *_, address in found]


def is_public(address: str) -> bool:
    """Whether an IP address is public: not private, local, reserved or multicast, nor an embedding of such one."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(known, ipaddress.IPv6Address):
        inner = known.ipv4_mapped or known.sixtofour or (known.teredo[1] if known.teredo else None)
        if inner is not None:
            return known.ipv4_mapped is not None and is_public(str(inner))
        if known in _TRANSLATED:
            return False
    return known.is_global and not known.is_multicast and not known.is_reserved and not known.is_unspecified


_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # IPv4 addresses within IPv6 (RFC 6052)


@dataclass(frozen=True)
class PictureFetcher:
    """Fetches pictures from the hosts of an allow-list, within limits. Thread-safe."""

    hosts: frozenset[str]
    """Allowed hosts: `shop.example`, `.shop.example` for its subdomains, or with a port, `shop.example:8080`."""
    max_bytes: int
    seconds: float
    """The longest duration of a fetch, including redirects and the body."""
    resolve: Callable[[str, int], Sequence[Address]] = _resolved
    allows: Callable[[str], bool] = is_public
    """Whether connections to an IP address are allowed."""

    def __call__(self, url: str) -> bytes:
        """Fetch the content of a picture.

        Raises:
            Problem: it cannot be fetched. The message reveals nothing about the network except the host's answer.
        """
        deadline = monotonic() + self.seconds
        for _ in range(_REDIRECTS + 1):
            parts = self._judged(url)
            answer = self._asked(parts, deadline)
            if isinstance(answer, bytes):
                return answer
            url = urljoin(url, answer)
        raise Problem(422, f"url: more than {_REDIRECTS} redirects")

    def _judged(self, url: str) -> SplitResult:
        """Split an allowed URL into its parts.

        Raises:
            Problem: the URL is not allowed.
        """
        if len(url) > LONGEST or not url.isascii() or any(sign <= " " or sign == "\x7f" for sign in url):
            raise Problem(422, f"url: must be a URL of at most {LONGEST} ASCII characters")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise Problem(422, "url: is no URL") from None
        if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc or "\\" in url:
            raise Problem(422, "url: must begin with https:// or http://, and contain no user name")
        host = parts.hostname.rstrip(".")
        named = f"{host}:{port}" if port not in (None, _PORTS[parts.scheme]) else host
        if not any(_fits(named, allowed) for allowed in self.hosts):
            raise Problem(403, f"url: {named[:100]} is not allowed here; --fetch-from allows a host")
        return parts

    def _asked(self, parts: SplitResult, deadline: float) -> bytes | str:
        """Send the request. Returns the picture, or the URL of a redirect."""
        host, port = str(parts.hostname), parts.port or _PORTS[parts.scheme]
        try:
            addresses = self.resolve(host, port)
        except (OSError, UnicodeError):
            raise Problem(422, f"url: there is no host {host[:100]}") from None
        if not addresses or not all(self.allows(address) for address, _ in addresses):
            raise Problem(403, "url: the host has no public address")
        connection = HTTPConnection(host, port)
        guard = None
        try:
            connection.sock = _connected(addresses, _left(deadline))
            # Each read may take all of the remaining time, so a host that sends slowly cannot exceed the limit.
            guard = Timer(_left(deadline), _cut, [connection])
            guard.daemon = True
            guard.start()
            if parts.scheme == "https":
                secured = ssl.create_default_context().wrap_socket(
                    connection.sock, server_hostname=host, do_handshake_on_connect=False
                )
                connection.sock = secured
                secured.do_handshake()
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("GET", path, headers={"Accept": "image/*", "User-Agent": "triptych"})
            return self._taken(connection.getresponse(), deadline)
        except (OSError, HTTPException, ValueError):
            late = monotonic() >= deadline
            why = f"took longer than {self.seconds:g} s" if late else "did not answer with valid HTTP"
            raise Problem(422, f"url: the host {why}") from None
        finally:
            if guard:
                guard.cancel()
            connection.close()

    def _taken(self, answer: HTTPResponse, deadline: float) -> bytes | str:
        if answer.status in _MOVED and (moved := answer.getheader("Location")):
            return moved
        if answer.status != 200:
            raise Problem(422, f"url: the host answered {answer.status}")
        kind = answer.getheader("Content-Type", "").partition(";")[0].strip().lower()
        if not kind.startswith("image/"):
            raise Problem(422, "url: the host sent no picture")
        large = Problem(413, f"url: the picture is too large: at most {self.max_bytes} bytes are accepted")
        if (answer.length or 0) > self.max_bytes:
            raise large
        body = bytearray()
        while piece := answer.read1(_PIECE):
            body += piece
            if len(body) > self.max_bytes:
                raise large
            _left(deadline)
        if answer.length:  # the answer ended early
            raise OSError
        return bytes(body)


def _fits(host: str, allowed: str) -> bool:
    return host == allowed or (allowed.startswith(".") and host.endswith(allowed))


def _left(deadline: float) -> float:
    """The remaining seconds.

    Raises:
        OSError: the time is over.
    """
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _connected(addresses: Sequence[Address], seconds: float) -> socket.socket:
    """Connect to the first of the addresses that answers."""
    failed: OSError = OSError()
    for address in addresses[:2]:
        try:
            return socket.create_connection(address, timeout=seconds / 2)
        except OSError as error:
            failed = error
    raise failed


def _cut(connection: HTTPConnection) -> None:
    with suppress(OSError, AttributeError):
        connection.sock.shutdown(socket.SHUT_RDWR)


def read_hosts(given: Sequence[str]) -> frozenset[str]:
    """Read the allow-list of `--fetch-from`.

    Raises:
        UsageError: an entry is no host.
    """
    hosts = set()
    for one in given:
        host = one.strip().lower().rstrip(".")
        name, _, port = host.partition(":")
        if not name.strip(".") or "/" in host or "*" in host or "@" in host or (port and not port.isdecimal()):
            raise UsageError(
                f"--fetch-from {one}: must be a host such as shop.example, or .shop.example for subdomains"
            )
        hosts.add(host)
    return frozenset(hosts)
