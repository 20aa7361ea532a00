"""Routes of the blind comparison, for the catalog's owner: a question, a choice, and the tally."""

from typing import Annotated

from fastapi import Body, FastAPI
from starlette.responses import Response

from triptych.retrieval.options import SearchOptions
from triptych.retrieval.query_building import query_of
from triptych.retrieval.results import Hits
from triptych.serving import schemas
from triptych.serving.blind import BlindComparison
from triptych.serving.forms import json_response
from triptych.serving.handlers import RequestHandlers
from triptych.serving.problems import Problem
from triptych.serving.search_answers import public

_SHOWN = 8  # results on each side, as many as fit on a screen


def add_blind_routes(app: FastAPI, handlers: RequestHandlers) -> None:
    """Add the routes to `app`."""

    def need() -> BlindComparison:
        if handlers.settings.blind is None:
            raise Problem(403, "the blind comparison is off; start the service with --blind")
        return handlers.settings.blind

    @app.get("/v1/blind", response_model=schemas.BlindTally, tags=["blind"])
    async def tally() -> Response:
        """How often each method was chosen, and whether the difference is significant."""
        return json_response(need().tally.as_json())

    @app.post("/v1/blind", response_model=schemas.BlindQuestion, status_code=201, tags=["blind"])
    async def ask(given: Annotated[schemas.BlindQuery, Body()]) -> Response:
        """The results of two methods side by side. The answer does not say which is which."""
        comparison = need()

        def both() -> list[Hits]:
            options = SearchOptions(like=(given.like,), k=_SHOWN)
            query = query_of(handlers.known, None, given.text, options)
            return [handlers.catalog.answer([query], plain=plain).hits[0] for plain in (False, True)]

        found = await handlers.in_thread(both)
        token, composer_left = comparison.ask()
        left, right = ([public(hit) for hit in hits] for hits in (found if composer_left else found[::-1]))
        return json_response({"question": token, "left": left, "right": right}, 201)

    @app.post("/v1/blind/choices", response_model=schemas.BlindTally, tags=["blind"])
    async def choose(given: Annotated[schemas.BlindChoice, Body()]) -> Response:
        """Choose the side that answers better. A choice counts once, and is stored in the composer's folder."""
        comparison = need()
        tally = await handlers.in_thread(lambda: comparison.choose(given.question, given.choice))
        return json_response(tally.as_json())
