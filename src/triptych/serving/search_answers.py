"""Answer searches over HTTP, one or several in a request."""

import asyncio
from typing import Any

from triptych.encoders.protocol import short_name
from triptych.retrieval.query import SearchQuery
from triptych.retrieval.reranking import Reranked
from triptych.retrieval.results import Hit, Picture
from triptych.retrieval.stores.gallery import picture_id
from triptych.serving import schemas
from triptych.serving.forms import picture_of
from triptych.serving.handlers import RequestHandlers
from triptych.serving.problems import Problem, as_problem


def public(picture: Hit | Picture) -> dict[str, Any]:
    """A picture as JSON for clients."""
    return {"id": picture.id, "name": picture.name, "metadata": picture.metadata}


def public_hit(hit: Hit) -> dict[str, Any]:
    """A result as JSON for clients."""
    return {**public(hit), "rank": hit.rank, "score": hit.score, "folded": [picture_id(name) for name in hit.folded]}


async def answered(
    handlers: RequestHandlers, query: schemas.Search, picture: bytes | None
) -> tuple[dict[str, Any], str]:
    """Answer a search. Also returns its durations for `Server-Timing`. Errors of the handlers are passed on."""
    if query.url:
        if picture is not None:
            raise Problem(422, "send a picture or its url, not both")
        picture = await handlers.fetch(query.url)
    # One result more than asked for shows whether there are further ones.
    finished, name = await handlers.search(picture, query.text, query.options(query.k + 1))
    found = finished.hits[: query.k]
    reranked: Reranked | None = None
    if handlers.reranker and name and query.may_be_reranked and _is_simple(finished.query):
        reranked = await handlers.rerank(name, finished.query.sentence, found)
        found = reranked.hits
    body = {
        "reference": name,
        "hits": [public_hit(hit) for hit in found],
        "more": len(finished.hits) > query.k,
        "reranked": reranked is not None and not reranked.problem,
        "not_understood": list(finished.hits.not_understood),
        "notes": finished.hits.notes(short_name(handlers.catalog.encoder)),
        "degraded": reranked.problem or None if reranked else None,
    }
    return body, f"encoding;dur={finished.encoding * 1000:.2f}, finding;dur={finished.finding * 1000:.2f}"


async def answered_all(handlers: RequestHandlers, queries: list[schemas.SearchOfJson]) -> list[dict[str, Any]]:
    """Answer each search, or return its problem if it fails."""

    async def one(query: schemas.SearchOfJson) -> dict[str, Any]:
        try:
            body, _ = await answered(handlers, query, picture_of(query.picture))
        except Exception as error:
            problem = as_problem(error)
            if problem.status >= 500:
                raise
            return problem.content
        return body

    return await asyncio.gather(*(one(query) for query in queries))


def _is_simple(query: SearchQuery) -> bool:
    """Whether a chat model can re-rank a query's results: it has one picture and words."""
    return len(query.references) == 1 and bool(query.texts)
