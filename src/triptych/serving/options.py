"""Options of the service: address, access, and limits of requests."""

import re
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

from triptych.core.errors import UsageError
from triptych.core.options import as_paths, check_ranges, nested, option

_PATH = re.compile(r"(/[\w.~-]+)+/?")


@dataclass(frozen=True)
class UploadLimits:
    """The largest uploaded picture.

    Raises:
        UsageError: a value is out of its range.
    """

    max_upload: float = option(10.0, "Largest upload, in MB.", min=0.01)
    max_pixels: float = option(40.0, "Largest upload, in millions of pixels.", min=0.01)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits of connections before a request is read.

    Raises:
        UsageError: a value is out of its range.
    """

    max_connections: int = option(
        512, "Connections open at once; half of the process's open files if that is less.", min=1
    )
    max_header: float = option(32.0, "Largest header of a request, in KB.", min=1)
    header_timeout: float = option(10.0, "Seconds within which a request's header must arrive.", min=0.1)
    idle_timeout: float = option(5.0, "Seconds that a connection may be idle between two requests.", min=0.1)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class ServeOptions:
    """How a catalog is served.

    A service that listens only on this machine answers only to this machine's names and those of `allow_hosts`. Only
    such a service can be changed without keys, and only without `allow_hosts`, since another name means that others use
    the service through a proxy.

    Raises:
        UsageError: a value is out of its range, or options contradict each other.
    """

    host: str = option("127.0.0.1", "Address to listen at.")
    port: int = option(8000, "Port to listen at; 0 takes a free one.", min=0, max=65535)
    catalogs: Path | None = option(
        None,
        'JSON with more catalogs, each served below /c/NAME/: {"shoes": {"catalog": "DIR", "keys": "FILE"}}.',
        metavar="FILE",
    )
    vocabulary: Path | None = option(
        None, 'Words of the comparison, as JSON: {"colour": ["red", "blue"], …}.', metavar="FILE"
    )
    keys: Path | None = option(None, "API keys made by `triptych make-key`.", metavar="FILE")
    read_only: bool = option(False, "Refuse all requests to add or remove pictures.")
    allow_hosts: tuple[str, ...] = option(
        (), "A further host name that the service answers to; may be repeated.", flag="--allow-host", metavar="NAME"
    )
    allow_origins: tuple[str, ...] = option(
        (),
        "A site whose pages may use the service, such as https://shop.example; may be repeated.",
        flag="--allow-origin",
        metavar="URL",
    )
    root_path: str = option(
        "",
        "Path below which a proxy serves it, such as /triptych; the proxy may pass the path on or strip it.",
        metavar="PATH",
    )
    trusted_proxies: tuple[str, ...] = option(
        (),
        "Address or network of a proxy whose `X-Forwarded-For` names the client, such as 10.0.0.0/8; may be repeated.",
        flag="--trusted-proxy",
        metavar="ADDRESS",
    )
    fetch_from: tuple[str, ...] = option(
        (),
        "A host from which pictures may be fetched by URL, such as shop.example, or .shop.example for all subdomains; "
        "may be repeated. By default no pictures are fetched.",
        metavar="HOST",
    )
    fetch_timeout: float = option(10.0, "Seconds that fetching a picture may take.", min=0.1, max=25)
    feedback: Path | None = option(None, "Store users' feedback on results in this file (JSON Lines).", metavar="FILE")
    blind: bool = option(False, "Let the owner compare the composer and the weighted sum blindly, at /page/blind.html.")
    limits: UploadLimits = nested(UploadLimits)
    connections: ConnectionLimits = nested(ConnectionLimits)
    request_timeout: float = option(30.0, "Seconds that a request may take, including its upload.", min=0.1)
    rate_limit: float = option(0.0, "Requests per second from one client; 0 for no limit.", min=0)

    def __post_init__(self) -> None:
        check_ranges(self)
        as_paths(self, "catalogs", "vocabulary", "keys", "feedback")
        if self.root_path and not _PATH.fullmatch(self.root_path):
            raise UsageError(f"--root-path {self.root_path}: must be a path such as /triptych, without a host")
        for proxy in self.trusted_proxies:
            try:
                ip_network(proxy)
            except ValueError:
                raise UsageError(
                    f"--trusted-proxy {proxy}: must be an address or a network, such as 10.0.0.0/8"
                ) from None
