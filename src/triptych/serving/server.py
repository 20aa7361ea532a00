"""`serve`: run the service as a process that finishes requests in progress when a signal stops it."""

import os
import signal
import socket
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from ipaddress import ip_address
from math import ceil
from pathlib import Path
from threading import Timer
from types import FrameType
from typing import TYPE_CHECKING

import numpy as np

from triptych.core.environment import Runtime, require_extra
from triptych.core.errors import FailureError, TriptychError, UsageError
from triptych.core.progress import say
from triptych.core.vectors import Vectors
from triptych.retrieval.open_catalog import OpenCatalog
from triptych.retrieval.options import EngineOptions, RerankOptions
from triptych.retrieval.reranking import Reranker
from triptych.retrieval.searching import open_catalog
from triptych.serving.catalogs import NamedCatalog, read_catalogs
from triptych.serving.keys import KeyFile
from triptych.serving.options import ServeOptions
from triptych.serving.settings import ServiceSettings, picture_limits
from triptych.tagging.vocabulary import load_vocabulary, understood_words

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from triptych.serving.blind import BlindComparison
    from triptych.serving.comparison import TagComparison
    from triptych.serving.connections import ConnectionSettings
    from triptych.serving.handlers import RequestHandlers

_DRAIN = 30  # seconds from SIGTERM to the end of the process; Kubernetes' default grace period
_LAST = 2  # the last seconds of these, for cleaning up after requests that were cut off
_BACKLOG = 2048  # connections that wait to be accepted; uvicorn's default
_SOME = 1000  # sampled pictures by which the comparison's words are selected; not tuned


def serve(
    catalog: Path | str,
    options: ServeOptions = ServeOptions(),
    *,
    engine: EngineOptions = EngineOptions(),
    rerank: RerankOptions | None = None,
    runtime: Runtime = Runtime(),
) -> None:
    """Serve a catalog over HTTP, with a search page, until SIGTERM or SIGINT. Requests in progress are finished.

    The address is printed.

    Args:
        catalog: its folder.
        options: where to listen, who may use the service, and what a request may take.
        engine: encoder, composer and store, as in `open_catalog`.
        rerank: a chat model that reads the first results. Its budget is for the whole run of the service.
        runtime: what the encoder computes with.

    Raises:
        UsageError: the extra `serve` is not installed, or re-ranking may take as long as a request.
        FailureError: the address is in use.
    """
    require_extra("serve", "serve")
    if rerank and rerank.timeout >= options.request_timeout:
        raise UsageError(
            f"--rerank-timeout {rerank.timeout:g}: must be below --request-timeout {options.request_timeout:g}; "
            "lower the first or raise the second"
        )
    reranker = Reranker(rerank) if rerank else None
    listening = _listen(options.host, options.port)
    settings = _settings(options)
    beside = read_catalogs(options.catalogs) if options.catalogs else []
    with ExitStack() as resources:
        from triptych.serving.handlers import RequestHandlers

        opened = resources.enter_context(open_catalog(catalog, **engine.arguments, runtime=runtime))
        opened.load()
        if reranker:
            reranker.limits, reranker.read = opened.catalog.limits, opened.read
        if options.blind:
            settings = replace(settings, blind=_blind(opened))
        handlers = RequestHandlers(opened, settings, runtime.threads or 2, reranker)
        others = {one.name: _beside(resources, one, options, settings, runtime) for one in beside}
        app = _app(handlers, options.vocabulary, others)
        # uvicorn sends the signal to itself again after draining; it must not kill the process then.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        name = f"[{options.host}]" if ":" in options.host else options.host
        for below, (other, _) in others.items():
            say(f"{len(other.catalog)} pictures below {settings.root_path}/c/{below}/")
        say(f"{len(opened)} pictures at http://{name}:{listening.getsockname()[1]}{settings.root_path}")
        if reranker and reranker.warning:
            say(reranker.warning)
        if not (_is_private(options) or settings.keys):
            say("anyone who can reach this address can search; make keys with `triptych make-key` to restrict access")
        every = [handlers, *(other for other, _ in others.values())]
        for one in every:
            one.decoding.start()
        try:
            _run(app, listening, settings, _connection_settings(options))
        finally:
            for one in every:
                one.close()


def _blind(opened: OpenCatalog) -> "BlindComparison":
    """Make the blind comparison for the catalog's composer. Raises UsageError if it is not a trained one."""
    from triptych.serving.blind import BlindComparison

    folder = getattr(opened.composer, "folder", None)
    if not isinstance(folder, Path):
        raise UsageError("--blind compares a trained composer with the weighted sum; give its folder as --composer")
    return BlindComparison(folder)


def _beside(
    resources: ExitStack, one: NamedCatalog, options: ServeOptions, settings: ServiceSettings, runtime: Runtime
) -> "tuple[RequestHandlers, TagComparison]":
    """Make the handlers of a further catalog. Without keys of its own it uses those of the first catalog."""
    from triptych.serving.feedback import FeedbackFile
    from triptych.serving.handlers import RequestHandlers

    opened = resources.enter_context(
        open_catalog(one.catalog, encoder=one.encoder, composer=one.composer, runtime=runtime)
    )
    opened.load()
    keys = KeyFile(one.keys) if one.keys else settings.keys
    feedback = options.feedback
    own = replace(
        settings,
        keys=keys,
        writable=not options.read_only and (_is_private(options) or keys is not None),
        root_path=f"{settings.root_path}/c/{one.name}",
        blind=None,
        feedback=FeedbackFile(feedback.with_name(f"{feedback.stem}-{one.name}{feedback.suffix}")) if feedback else None,
    )
    handlers = RequestHandlers(opened, own, runtime.threads or 2)
    return handlers, _comparison(handlers, one.vocabulary)


def _settings(options: ServeOptions) -> ServiceSettings:
    """Make the settings of the service and read its keys. Raises DataError if the file of keys cannot be used."""
    from triptych.serving.feedback import FeedbackFile
    from triptych.serving.fetching import PictureFetcher, read_hosts
    from triptych.serving.middleware import host_name

    keys = KeyFile(Path(options.keys)) if options.keys else None
    hosts, limits = read_hosts(options.fetch_from), picture_limits(options.limits)
    local = {"127.0.0.1", "localhost", "[::1]", options.host}
    return ServiceSettings(
        keys=keys,
        writable=not options.read_only and (_is_private(options) or keys is not None),
        hosts=frozenset({*local, *map(host_name, options.allow_hosts)}) if _is_local(options.host) else None,
        origins=frozenset(origin.rstrip("/").lower() for origin in options.allow_origins),
        proxies=options.trusted_proxies,
        limits=limits,
        fetcher=PictureFetcher(hosts, limits.max_bytes, options.fetch_timeout) if hosts else None,
        feedback=FeedbackFile(options.feedback) if options.feedback else None,
        root_path=options.root_path.rstrip("/"),
        request_timeout=options.request_timeout,
        rate_limit=options.rate_limit,
    )


def _app(
    handlers: "RequestHandlers",
    vocabulary: Path | None,
    beside: "Mapping[str, tuple[RequestHandlers, TagComparison]]",
) -> "ASGIApp":
    from triptych.serving.routes import create_app

    return create_app(handlers, _comparison(handlers, vocabulary), beside)


def _comparison(handlers: "RequestHandlers", vocabulary: Path | None) -> "TagComparison":
    from triptych.serving.comparison import TagComparison

    opened = handlers.catalog
    words = load_vocabulary(Path(vocabulary) if vocabulary else None)
    if vocabulary:
        words = understood_words(words, opened.encoder, str(vocabulary))
    return TagComparison(opened.encoder, words, lambda: _some_vectors(opened))


def _some_vectors(opened: OpenCatalog) -> Vectors:
    """Vectors of pictures spread over the catalog, by which the comparison's words are selected."""
    pictures = opened.pictures(_SOME, step=max(1, len(opened) // _SOME))
    vectors = []
    for picture in pictures:
        with suppress(TriptychError):  # the picture was removed meanwhile
            vectors.append(opened.reference(like=picture.name).vector)
    return np.stack(vectors) if vectors else np.zeros((0, opened.encoder.dim), np.float32)


def _connection_settings(options: ServeOptions) -> "ConnectionSettings":
    """Limits of connections. They may use half of the process's file descriptors."""
    from triptych.serving.connections import ConnectionSettings

    limits, most = options.connections, options.connections.max_connections
    files = _open_files()
    if files is not None and most > files // 2:
        say(f"at most {files // 2} connections at once, since the process may open {files} files")
        most = files // 2
    return ConnectionSettings(
        most=most,
        header_bytes=int(limits.max_header * 1024),
        header_time=limits.header_timeout,
        idle_time=limits.idle_timeout,
        request_time=options.request_timeout,
    )


def _open_files() -> int | None:
    """How many files the process may open; None if there is no limit, and on Windows."""
    try:
        import resource
    except ImportError:
        return None
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if files == resource.RLIM_INFINITY else files


def _run(
    app: "ASGIApp", listening: socket.socket, settings: ServiceSettings, connections: "ConnectionSettings"
) -> None:
    import uvicorn

    from triptych.serving.connections import limited_protocol

    config = uvicorn.Config(
        app,
        http=limited_protocol(connections),
        ws="none",
        h11_max_incomplete_event_size=connections.header_bytes,
        timeout_keep_alive=ceil(connections.idle_time),
        backlog=_BACKLOG,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, _DRAIN - _LAST),
    )

    class Server(uvicorn.Server):
        """A server that ends in time even if a thread hangs."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            """Called by a signal."""
            if not self.should_exit:
                limit = Timer(_DRAIN, _give_up)
                limit.daemon = True
                limit.start()
            super().handle_exit(sig, frame)

    Server(config).run(sockets=[listening])


def _give_up() -> None:
    say(f"ended {_DRAIN} s after the signal, with requests still in progress")
    os._exit(1)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)  # before the address is printed, so that it answers
    except OSError as error:
        raise FailureError(f"{host}:{port}: cannot listen there ({error.strerror or error})") from None
    return listening


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_private(options: ServeOptions) -> bool:
    """Whether only users of this machine can reach the service."""
    return _is_local(options.host) and not options.allow_hosts
