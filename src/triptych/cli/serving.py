"""Commands of the service: serve, key."""

from pathlib import Path
from typing import Annotated

import typer

import triptych
from triptych.chat.settings import ChatSettings
from triptych.cli.app import (
    CatalogDir,
    Rerank,
    RerankSeconds,
    RerankTop,
    SameEncoder,
    StoreName,
    Threads,
    VocabularyFile,
    app,
)
from triptych.cli.chat_options import FOR_ONE_QUESTION, with_chat_options


@app.command(epilog="Example: triptych serve --catalog catalog --composer composer --port 8000")
@with_chat_options("rerank", FOR_ONE_QUESTION)
def serve(
    catalog: CatalogDir,
    chat: ChatSettings | None,
    encoder: SameEncoder = None,
    composer: Annotated[Path | None, typer.Option(metavar="DIR", help="Trained composer; else a sum.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 takes a free one.")] = 8000,
    vocabulary: VocabularyFile = None,
    keys: Annotated[Path | None, typer.Option(metavar="FILE", help="API keys made by `triptych key`.")] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Let nobody add or remove pictures.")] = False,
    rate: Annotated[float, typer.Option(min=0, help="Requests a second from one client; 0 for any.")] = 0.0,
    max_upload: Annotated[float, typer.Option(min=0.01, help="Largest upload, in MB.")] = 10.0,
    max_pixels: Annotated[float, typer.Option(min=0.01, help="Largest upload, in millions of pixels.")] = 40.0,
    seconds: Annotated[float, typer.Option(min=0.1, help="Longest a request may take.")] = 30.0,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Another name to answer to; may be repeated.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="A site whose pages may ask, such as https://shop.example; may be repeated."),
    ] = None,
    store: StoreName = "exact",
    rerank: Rerank = None,
    rerank_top: RerankTop = 10,
    rerank_seconds: RerankSeconds = 10.0,
    threads: Threads = None,
) -> None:
    """Serve a catalog over HTTP, with a page to search it in a browser."""
    from triptych.core.images import Limits
    from triptych.serving.settings import ServiceSettings

    limits = Limits(max_pixels=int(max_pixels * 1e6), max_bytes=int(max_upload * 1024 * 1024))
    triptych.serve(
        catalog,
        encoder=encoder,
        composer=composer,
        host=host,
        port=port,
        vocabulary=vocabulary,
        keys=keys,
        read_only=read_only,
        allow_host=allow_host or (),
        allow_origin=allow_origin or (),
        settings=ServiceSettings(limits=limits, seconds=seconds, rate=rate),
        store=store,
        rerank=rerank,
        chat=chat,
        rerank_top=rerank_top,
        rerank_seconds=rerank_seconds,
        threads=threads,
    )


@app.command("key", epilog="Example: triptych key keys.json shop --write")
def make_key(
    keys: Annotated[Path, typer.Argument(help="File of keys; made if need be.")],
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    write: Annotated[bool, typer.Option("--write", help="It may add and remove pictures.")] = False,
) -> None:
    """Make an API key for the service and print it, this once; the file keeps its hash."""
    print(triptych.make_key(keys, name, write=write))
