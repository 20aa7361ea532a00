"""The OpenAPI of the service: FastAPI's description of the routes, and the errors that they share."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from triptych.serving.problems import MEDIA_TYPE
from triptych.serving.schemas import Problem

_REFUSALS = {
    400: "The request cannot be read.",
    401: "A key is needed.",
    403: "The key, or a page of another site, is not allowed to do this.",
    404: "There is no such picture.",
    408: "The request took too long to arrive.",
    413: "The upload is too large.",
    415: "The body has a type that is not accepted.",
    421: "The service does not answer to this name.",
    422: "The picture or a field cannot be used; `detail` says why.",
    429: "Too many requests.",
    431: "The address or another header is longer than this service reads.",
    500: "The service could not do it; its log says why.",
    503: "Too busy or too slow, or the database does not answer; try again.",
}
_ALWAYS = ("/health", "/ready")  # open to anybody


def describe(app: FastAPI, root_path: str = "") -> None:
    """Add the shared errors to the OpenAPI of `app`, and its path if the service lies below one."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            schema["components"]["schemas"]["Problem"] = Problem.model_json_schema()
            schema["components"]["securitySchemes"] = {
                "key": {"type": "http", "scheme": "bearer", "description": "Where the service was given keys."}
            }
            for path, operations in schema["paths"].items():
                for operation in operations.values():
                    operation["security"] = [{}] if path in _ALWAYS else [{}, {"key": []}]
                    operation["responses"] |= {str(status): _refusal(said) for status, said in _REFUSALS.items()}
            if root_path:
                schema["servers"] = [{"url": root_path}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _refusal(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
