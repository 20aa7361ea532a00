"""Parse request bodies, forms with a picture or JSON, and write JSON answers."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.responses import Response

from triptych.serving import schemas
from triptych.serving.problems import Problem, as_problem
from triptych.serving.requests import check_names

Form = TypeVar("Form", bound=BaseModel)
# Limits of a form, far above what a search needs.
_FIELDS = 50
_PART = 64 * 1024  # bytes of a field
_FILES = 4  # files; only `picture` is read, and others are refused by name
_PICTURE = {
    "type": "string",
    "contentMediaType": "application/octet-stream",
    "description": "The reference: JPEG, PNG, WebP, GIF, BMP or TIFF.",
}


async def read_form(request: Request, model: type[Form]) -> tuple[Form, bytes | None]:
    """Parse the fields of a form, and its file `picture` if there is one.

    Raises:
        Problem: a field does not fit `model`, is unknown, or is given twice, or there are too many fields.
    """
    called = {field.alias or name: field for name, field in model.model_fields.items()}
    many = {name for name, field in called.items() if field.default == []}
    fields: dict[str, Any] = {}
    picture = None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # Fields are counted before they are parsed, since the parser spends time on each, even on empty ones.
    if kind != "multipart/form-data" and (await request.body()).count(b"&") >= _FIELDS:
        raise Problem(422, f"too many fields: at most {_FIELDS} are read")
    async with request.form(max_files=_FILES, max_fields=_FIELDS, max_part_size=_PART) as form:
        check_names((name for name, _ in form.multi_items()), ("picture", *called), many)
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                if name != "picture":
                    raise Problem(422, f"{name}: must be a string; the only file that is read is `picture`")
                picture = await value.read()
            elif name == "picture":
                raise Problem(422, "picture: must be a file")
            elif name in many:
                fields.setdefault(name, []).append(value)
            else:
                fields[name] = value
    try:
        return model.model_validate(fields), picture
    except ValidationError as error:
        raise as_problem(error) from None


async def read_question(request: Request) -> tuple[schemas.Search, bytes | None]:
    """Parse a search, as a form or JSON, and the picture sent with it. Raises Problem if it is not valid."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        return await read_form(request, schemas.Search)
    given = await read_json_body(request, schemas.SearchOfJson)
    return given, picture_of(given.picture)


async def read_json_body(request: Request, model: type[Form]) -> Form:
    """Parse a JSON body. Raises Problem if it does not fit `model`."""
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise as_problem(error) from None


def picture_of(given: str) -> bytes | None:
    """Decode a picture from base64 or a data URL; None if empty. Raises Problem if it is not base64."""
    if not given:
        return None
    text = given.partition(",")[2] if given.startswith("data:") else given
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Problem(422, "picture: must be base64") from None


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Make an answer of JSON."""
    # A file name may contain a lone surrogate, which UTF-8 cannot encode.
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(body, status, headers, "application/json")


def form_of(
    model: type[BaseModel], *, needs_picture: bool = False, also: type[BaseModel] | None = None
) -> dict[str, Any]:
    """Describe such a form for OpenAPI. `also` is the model of the body as JSON."""
    schema = model.model_json_schema()
    schema["properties"] = {"picture": _PICTURE, **schema["properties"]}
    kinds = ["multipart/form-data", "application/x-www-form-urlencoded"]
    if needs_picture:  # a url-encoded form cannot contain a file
        schema["required"] = ["picture", *schema.get("required", ())]
        kinds = kinds[:1]
    content = {kind: {"schema": schema} for kind in kinds}
    if also:
        content["application/json"] = {"schema": also.model_json_schema()}
    return {"requestBody": {"content": content, "required": needs_picture}}
