"""Errors for clients: application/problem+json (RFC 9457), with a sentence that says what to do."""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from triptych.core.decoders import DecoderError
from triptych.core.errors import (
    BusyError,
    CatalogError,
    DataError,
    FailureError,
    MismatchError,
    PictureError,
    StoreError,
    TriptychError,
    UsageError,
)
from triptych.core.progress import say

_FLAG = re.compile(r"--(where|boost|sort|box) ")  # flags in messages; a request has fields of these names
MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """An error that ends a request with a status and a sentence."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers

    @property
    def content(self) -> dict[str, Any]:
        """The error as JSON (RFC 9457)."""
        title = HTTPStatus(self.status).phrase
        return {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}

    def response(self) -> Response:
        """The answer for the client."""
        content = json.dumps(self.content, ensure_ascii=False).encode("utf-8", "replace")
        return Response(content, self.status, self.headers, MEDIA_TYPE)


def busy(detail: str) -> Problem:
    """Make the error of a request that may be repeated in a second."""
    return Problem(503, detail, {"Retry-After": "1"})


def as_problem(error: Exception) -> Problem:
    """Turn an error into a problem for the client.

    Errors of the service itself are logged. Their details, such as paths and addresses, are not sent to the client.
    """
    if isinstance(error, FailureError) and not isinstance(error, (DataError, PictureError)):
        say(f"failed: {error}")
    match error:
        case Problem():
            return error
        case PictureError():
            return Problem(422, f"the picture cannot be used: {error}")
        case CatalogError():
            say(f"failed: {error}")
            return busy("the catalog is gone or damaged; the operator finds details in the log")
        case UsageError() | DataError():
            return Problem(422, _FLAG.sub(r"\1 ", str(error)))
        case BusyError():
            return busy("the catalog is being written to by another run; try again later")
        case StoreError():
            return busy("the database does not answer; try again later")
        case DecoderError():
            return busy("pictures cannot be decoded now; try again later")
        case MismatchError():
            return Problem(503, "the catalog was replaced by one of another encoder; the service must be restarted")
        case FailureError():
            return Problem(500, "the service failed; its log says why")
        case OSError():
            say(f"failed: {type(error).__name__}: {error.strerror}")
            return Problem(500, "the service could not use its disk and changed nothing; its log says why")
        case RequestValidationError() | ValidationError():
            said = error.errors()[0]
            place = said["loc"] if isinstance(error, ValidationError) else said["loc"][1:]
            where = ".".join(str(part) for part in place) or "body"
            return Problem(422, f"{where}: {said['msg'].lower()}")
        case HTTPException():
            return Problem(error.status_code, str(error.detail).lower(), error.headers)
        case _:
            return Problem(500, "an internal error of the service; its log has details")


def handle_problems(app: FastAPI) -> None:
    """Register handlers that turn every error into a problem."""

    async def handler(request: Request, error: Exception) -> Response:
        return as_problem(error).response()

    for kind in (Problem, TriptychError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, handler)
