"""Routes for other programs: several searches at once, changes of metadata, feedback."""

from typing import Annotated

from fastapi import Body, FastAPI, Path, Request
from starlette.responses import Response

from triptych.serving import schemas
from triptych.serving.feedback import need
from triptych.serving.forms import json_response
from triptych.serving.handlers import RequestHandlers
from triptych.serving.search_answers import answered_all, public

_Id = Annotated[str, Path(max_length=64, description="A picture's opaque id.", examples=["3f1c0a5be2d94c77a810"])]


def add_program_routes(app: FastAPI, handlers: RequestHandlers) -> None:
    """Add the routes to `app`."""

    @app.post("/v1/searches", response_model=schemas.Answers, tags=["search"])
    async def searches(given: Annotated[schemas.Searches, Body()]) -> Response:
        """Answer up to 32 searches at once, which is cheaper than one after another. Each has its own answer."""
        return json_response({"answers": await answered_all(handlers, given.searches)})

    @app.patch("/v1/pictures/{id}", response_model=schemas.Picture, tags=["pictures"])
    async def change(id: _Id, changes: Annotated[schemas.Changes, Body()]) -> Response:
        """Change the metadata of a picture. When this answers, the change is stored, and conditions use it."""
        return json_response(public(await handlers.change(id, changes.metadata)))

    @app.post("/v1/feedback", response_model=schemas.Kept, status_code=201, tags=["search"])
    async def feedback(request: Request, given: Annotated[schemas.Feedback, Body()]) -> Response:
        """Store feedback on results as triplets for training. `triptych triplets import` reads the file."""
        file = need(handlers.settings.feedback)
        reference = handlers.picture(given.reference).name
        results = [handlers.picture(one).name for one in given.results]
        user = request.scope.get("triptych.client", "")
        await handlers.in_thread(lambda: file.add(reference, given.text.strip(), results, given.verdict, user))
        return json_response({"kept": len(results)}, 201)
