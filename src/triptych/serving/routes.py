"""The routes of the HTTP service, with their descriptions for OpenAPI."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from threading import Thread
from types import MappingProxyType
from typing import Annotated, Any, Literal

from fastapi import Body, FastAPI, Path, Query, Request
from pydantic import Field
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from triptych.catalog.conditions import LONGEST
from triptych.catalog.domain import domain_warning
from triptych.core.errors import TriptychError
from triptych.core.version import __version__
from triptych.encoders.protocol import short_name
from triptych.serving import schemas
from triptych.serving.blind_routes import add_blind_routes
from triptych.serving.comparison import TagComparison
from triptych.serving.facets import Facets, values_of
from triptych.serving.forms import form_of, json_response, read_form, read_question
from triptych.serving.handlers import RequestHandlers
from triptych.serving.middleware import AccessMiddleware
from triptych.serving.openapi import describe
from triptych.serving.page_files import add_page
from triptych.serving.problems import Problem, handle_problems
from triptych.serving.program_routes import add_program_routes
from triptych.serving.prometheus import MEDIA_TYPE as METRICS_TYPE
from triptych.serving.requests import check_request
from triptych.serving.search_answers import answered, public

_SEARCH = "/v1/search"
_LOOK = 2.0  # seconds between checks whether another process has changed the catalog
_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"description": "A JPEG.", "content": {"image/jpeg": {}}},
    304: {"description": "The picture is the one that `If-None-Match` names."},
}
_Id = Annotated[str, Path(max_length=64, description="A picture's opaque id.", examples=["3f1c0a5be2d94c77a810"])]

_Where = Annotated[
    list[Annotated[str, Field(max_length=LONGEST)]],
    Query(max_length=20, description="Conditions that they fulfil, all of them.", examples=[["colour=red"]]),
]

_Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(
    handlers: RequestHandlers,
    comparison: TagComparison,
    beside: Mapping[str, tuple[RequestHandlers, TagComparison]] = MappingProxyType({}),
) -> ASGIApp:
    """Make the service as an ASGI application. Further catalogs (`beside`) are served below `/c/NAME/`."""
    every = [(handlers, comparison), *beside.values()]
    app = _one_catalog(handlers, comparison, lambda _: _looking_after_all(every))
    if not beside:
        return app
    others = {name: _one_catalog(own, comparing, _no_lifespan) for name, (own, comparing) in beside.items()}
    return _by_path(app, handlers.settings.root_path, others)


def _one_catalog(
    handlers: RequestHandlers, comparison: TagComparison, lifespan: Callable[[FastAPI], Any]
) -> AccessMiddleware:
    app = FastAPI(
        title="triptych",
        version=__version__,
        description="Find a picture from another picture and a few words.",
        docs_url=None,  # FastAPI's page would load scripts from other sites
        redoc_url=None,
        lifespan=lifespan,
    )
    search = _searching(app, handlers, comparison)
    _pictures(app, handlers)
    add_program_routes(app, handlers)
    add_blind_routes(app, handlers)
    _upkeep(app, handlers)
    add_page(app, handlers.settings.root_path)
    describe(app, handlers.settings.root_path)
    handle_problems(app)
    return AccessMiddleware(_straight(app, handlers, search), handlers.settings, handlers.metrics)


def _by_path(first: ASGIApp, root_path: str, others: Mapping[str, ASGIApp]) -> ASGIApp:
    """Make an application that chooses the catalog by `/c/NAME/`; all other paths belong to the first catalog."""

    async def choose(scope: Scope, receive: Receive, send: Send) -> None:
        chosen = first
        if scope["type"] == "http":
            path = scope["path"].removeprefix(root_path)
            name, _, rest = path.removeprefix("/c/").partition("/") if path.startswith("/c/") else ("", "", "")
            if name in others:
                chosen, path = others[name], f"{root_path}/c/{name}/{rest}"
                scope = {**scope, "path": path, "raw_path": path.encode("utf-8", "surrogateescape")}
        await chosen(scope, receive, send)

    return choose


@asynccontextmanager
async def _looking_after_all(every: Sequence[tuple[RequestHandlers, TagComparison]]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for handlers, comparison in every:
            await stack.enter_async_context(_looking_after(handlers, comparison))
        yield


@asynccontextmanager
async def _no_lifespan(_: FastAPI) -> AsyncIterator[None]:
    """The lifespan of a further catalog; the first catalog's lifespan maintains all."""
    yield


def _straight(app: FastAPI, handlers: RequestHandlers, search: _Endpoint) -> ASGIApp:
    """Wrap `app` with a shortcut for searches that skips layers without effect, to save time.

    Errors of the shortcut are handled by the access middleware in the same way.
    """
    route = next(route for route in app.routes if getattr(route, "path", "") == _SEARCH)

    async def lead(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            check_request(scope)
            if scope["path"].startswith("/v1/"):
                handlers.require_catalog()
        if scope["type"] != "http" or scope["path"] != _SEARCH or scope["method"] != "POST":
            return await app(scope, receive, send)
        scope.update(app=app, route=route)
        response = await search(Request(scope, receive))
        await response(scope, receive, send)

    return lead


@asynccontextmanager
async def _looking_after(handlers: RequestHandlers, comparison: TagComparison) -> AsyncIterator[None]:
    """Watch the catalog for changes by `triptych index`, and prepare comparisons after the first search."""

    async def look() -> None:
        while True:
            await asyncio.sleep(_LOOK)
            with suppress(TriptychError, OSError):
                await handlers.follow()

    async def prepare() -> None:
        await handlers.searched.wait()
        Thread(target=comparison.prepare, name="comparison").start()

    tasks = [asyncio.create_task(look()), asyncio.create_task(prepare())]
    yield
    for task in tasks:
        task.cancel()
    comparison.end()


def _searching(app: FastAPI, handlers: RequestHandlers, comparison: TagComparison) -> _Endpoint:
    facets = Facets()

    @app.get("/v1/catalog", response_model=schemas.Facts, tags=["search"])
    async def catalog() -> Response:
        """The catalog: its encoder and composer, and the columns for conditions."""
        opened = handlers.catalog
        facts = {
            "pictures": len(opened),
            "encoder": short_name(opened.encoder),
            "composer": opened.composer.name if opened.composer is not None else None,
            "weight": opened.weight,
            "warning": domain_warning(opened.catalog),
            "writable": handlers.settings.writable,
            "columns": await handlers.in_thread(lambda: facets(opened.metadata)),
            "max_bytes": handlers.settings.limits.max_bytes,
        }
        return json_response(facts)

    @app.get("/v1/values", response_model=list[schemas.Value], tags=["search"])
    async def values(
        column: Annotated[str, Query(max_length=500, description="A column of the metadata.", examples=["brand"])],
        contains: Annotated[str, Query(max_length=200, description="Text in the values.", examples=["ac"])] = "",
    ) -> Response:
        """The values of a column that contain a text, with their counts: the most frequent first, at most 50."""
        try:
            found = await handlers.in_thread(lambda: values_of(handlers.catalog.metadata, column, contains))
        except KeyError:
            raise Problem(404, "there is no such column; `GET /v1/catalog` lists the columns") from None
        return json_response(found)

    question = form_of(schemas.Search, also=schemas.SearchOfJson)

    @app.post(_SEARCH, response_model=schemas.Answer, tags=["search"], openapi_extra=question)
    async def search(request: Request) -> Response:
        """Find pictures by a picture, by words, or by a picture and words for what should differ.

        curl -F picture=@jacket.jpg -F text="but in red" http://127.0.0.1:8000/v1/search
        """
        query, picture = await read_question(request)
        body, timing = await answered(handlers, query, picture)
        return json_response(body, headers={"Server-Timing": timing})

    @app.post(
        "/v1/uploads",
        response_model=schemas.Upload,
        status_code=201,
        tags=["search"],
        openapi_extra=form_of(schemas.NewUpload, needs_picture=True),
    )
    async def upload(request: Request) -> Response:
        """Upload a reference once for several searches. It is kept in memory for an hour."""
        given, picture = await read_form(request, schemas.NewUpload)
        if picture is None:
            raise Problem(422, "picture: is missing; send a file")
        return json_response({"id": await handlers.upload(picture, given.box)}, 201)

    @app.post("/v1/compare", response_model=schemas.Comparison, tags=["search"])
    async def compare(pair: Annotated[schemas.Pair, Body()]) -> Response:
        """Compare a reference and a result by attribute tags."""

        def compared() -> dict[str, list[dict[str, Any]]]:
            return comparison(handlers.reference(pair.reference).vector, handlers.reference(pair.result).vector)

        return json_response(await handlers.compare(compared))

    return search


def _pictures(app: FastAPI, handlers: RequestHandlers) -> None:
    @app.get("/v1/pictures", response_model=list[schemas.Picture], tags=["pictures"])
    async def listing(
        k: Annotated[int, Query(ge=1, le=1000, description="How many.")] = 24,
        offset: Annotated[int, Query(ge=0, le=10_000_000, description="Skip this many pictures.")] = 0,
        step: Annotated[int, Query(ge=1, le=10_000_000, description="Return every n-th picture.")] = 1,
        where: _Where = [],  # noqa: B006 - it is not changed
    ) -> Response:
        """The catalog's pictures, page by page, or those of them that fulfil conditions."""
        listed = partial(handlers.catalog.pictures, k, offset=offset, step=step, where=where)
        pictures = await handlers.in_thread(listed)
        return json_response([public(picture) for picture in pictures])

    @app.get("/v1/pictures/{id}", response_model=schemas.Picture, tags=["pictures"])
    async def picture(id: _Id) -> Response:
        """A picture with its metadata."""
        return json_response(public(handlers.picture(id)))

    @app.get("/v1/pictures/{id}/{kind}", response_class=Response, responses=_JPEG, tags=["pictures"])
    async def thumbnail(request: Request, id: _Id, kind: Literal["thumbnail", "full"]) -> Response:
        """A picture as a JPEG without the metadata of its file, at most 256 or 1600 pixels a side."""
        thumbnail = await handlers.thumbnail(id, kind)
        # A picture may be replaced under the same id, so clients must revalidate their copies.
        headers = {"Cache-Control": "private, no-cache", "ETag": thumbnail.tag}
        if thumbnail.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(thumbnail.jpeg, media_type="image/jpeg", headers=headers)

    form = form_of(schemas.NewPicture, needs_picture=True)

    @app.post("/v1/pictures", response_model=schemas.Picture, status_code=201, tags=["pictures"], openapi_extra=form)
    async def add(request: Request) -> Response:
        """Add a picture. When this answers, it is stored and can be found. Adding the same file again has no effect."""
        given, picture = await read_form(request, schemas.NewPicture)
        if picture is None:
            raise Problem(422, "picture: is missing; send a file")
        added = await handlers.add(picture, _columns_of(given.metadata))
        location = f"{handlers.settings.root_path}/v1/pictures/{added.id}"
        return json_response(public(added), 201, {"Location": location})

    @app.delete("/v1/pictures/{id}", status_code=204, response_class=Response, tags=["pictures"])
    async def remove(id: _Id) -> Response:
        """Remove a picture from the catalog. Its file is deleted only if it was added through this service."""
        await handlers.remove(id)
        return Response(status_code=204)


def _upkeep(app: FastAPI, handlers: RequestHandlers) -> None:
    @app.get("/health", tags=["upkeep"])
    async def health() -> dict[str, str]:
        """Report that the process runs."""
        return {"status": "ok"}

    @app.get("/ready", tags=["upkeep"])
    async def ready() -> dict[str, Any]:
        """Report whether searches can be answered: the catalog is open, and the store answers."""
        await handlers.check()
        return {"status": "ok", "pictures": len(handlers.catalog)}

    @app.get("/metrics", response_class=Response, tags=["upkeep"])
    async def metrics() -> Response:
        """Counts and durations in Prometheus' text format."""
        return Response(handlers.metrics.text(), media_type=METRICS_TYPE)


def _columns_of(metadata: str) -> dict[str, str]:
    try:
        content = json.loads(metadata)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not all(
        value is None or isinstance(value, (str, int, float)) for value in content.values()
    ):
        raise Problem(422, "metadata: must be a JSON object of words, numbers, true and false")
    return {name: str(value) for name, value in content.items() if value is not None}
