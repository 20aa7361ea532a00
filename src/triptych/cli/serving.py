"""Commands of the HTTP service: serve, make-key."""

from pathlib import Path
from typing import Annotated

import typer

import triptych
from triptych.cli.app import CatalogDir, app
from triptych.cli.catalogs import Rerank
from triptych.cli.options import takes
from triptych.core.environment import Runtime
from triptych.retrieval.options import EngineOptions
from triptych.serving.options import ServeOptions


@app.command(epilog="Example: triptych serve --catalog catalog --composer composer --port 8000")
@takes
def serve(catalog: CatalogDir, options: ServeOptions, engine: EngineOptions, rerank: Rerank, runtime: Runtime) -> None:
    """Serve a catalog over HTTP, with a search page for browsers."""
    triptych.serve(catalog, options, engine=engine, rerank=rerank, runtime=runtime)


@app.command(epilog="Example: triptych make-key keys.json shop --write")
def make_key(
    keys: Annotated[Path, typer.Argument(help="File of keys; created if missing.")],
    name: Annotated[str, typer.Argument(help="Name of the key's owner.")],
    write: Annotated[bool, typer.Option("--write", help="Allow the key to add and remove pictures.")] = False,
) -> None:
    """Make an API key for the service and print it once. The file keeps its hash."""
    print(triptych.make_key(keys, name, write=write))
