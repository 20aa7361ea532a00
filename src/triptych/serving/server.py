"""`serve`: the service as a process that drains when it is told to end."""

import signal
import socket
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from triptych.chat.settings import ChatSettings
from triptych.core.environment import require_extra
from triptych.core.errors import FailureError, UsageError
from triptych.core.progress import say
from triptych.retrieval.reranking import Reranker
from triptych.retrieval.searching import open_catalog
from triptych.serving.keys import load_keys
from triptych.serving.settings import ServiceSettings
from triptych.tagging.vocabulary import load_vocabulary

_DRAIN = 30  # seconds that requests under way get
_BACKLOG = 2048


def serve(
    catalog: Path | str,
    *,
    encoder: str | None = None,
    composer: Path | str | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    vocabulary: Path | str | None = None,
    keys: Path | str | None = None,
    read_only: bool = False,
    allow_host: Sequence[str] = (),
    allow_origin: Sequence[str] = (),
    settings: ServiceSettings | None = None,
    store: str = "exact",
    rerank: str | None = None,
    chat: ChatSettings | None = None,
    rerank_top: int = 10,
    rerank_seconds: float = 10.0,
    threads: int | None = None,
) -> None:
    """Serve a catalog over HTTP, with a page to search it, until SIGTERM or SIGINT; requests under way are finished.

    Port 0 takes a free one; the address is printed. `keys` is a file that `make_key` wrote. A service that listens on
    this machine alone answers only to this machine's names and `allow_host`. Only there can the catalog be changed
    without keys, and only without `allow_host`: another name means that others come, through a proxy. `encoder` and
    `store` are as in `open_catalog`, `rerank` and what belongs to it as in `search`; calls and costs are counted over
    the life of the service.

    Raises UsageError where the extra is not installed or re-ranking may take as long as a request, FailureError where
    the address is taken.
    """
    require_extra("serve", "serve")
    import uvicorn

    from triptych.serving.comparison import TagComparison
    from triptych.serving.handlers import RequestHandlers
    from triptych.serving.middleware import host_name
    from triptych.serving.routes import create_app

    settings = settings or ServiceSettings()
    if rerank and rerank_seconds >= settings.seconds:
        raise UsageError(
            f"--rerank-seconds {rerank_seconds:g}: a request may take {settings.seconds:g} s in all; "
            "give less, or more --seconds"
        )
    reranker = Reranker(rerank, chat, top=rerank_top, seconds=rerank_seconds) if rerank else None
    listening = _listen(host, port)
    local = _is_local(host)
    private = local and not allow_host
    known = load_keys(Path(keys)) if keys else {}
    settings = replace(
        settings,
        keys=known,
        writable=not read_only and (private or bool(known)),
        hosts=frozenset({"127.0.0.1", "localhost", "[::1]", host, *map(host_name, allow_host)}) if local else None,
        origins=frozenset(origin.rstrip("/").lower() for origin in allow_origin),
    )
    with open_catalog(catalog, encoder=encoder, composer=composer, store=store, threads=threads) as library:
        library.load()
        comparing = TagComparison(library.encoder, load_vocabulary(Path(vocabulary) if vocabulary else None))
        app = create_app(RequestHandlers(library, settings, threads or 2, reranker), comparing)
        server = uvicorn.Server(
            uvicorn.Config(
                app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=_DRAIN
            )
        )
        # uvicorn sends itself the signal again when it has drained; that is then no reason to die of it.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        shown = f"[{host}]" if ":" in host else host
        say(f"{len(library)} pictures at http://{shown}:{listening.getsockname()[1]}")
        if reranker and reranker.warning:
            say(reranker.warning)
        if not (private or known):
            say("anybody who reaches this address can search; make keys with `triptych key` to choose who")
        server.run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)  # now, so that the address that is printed answers
    except OSError as error:
        raise FailureError(f"{host}:{port}: cannot listen there ({error.strerror or error})") from None
    return listening


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
