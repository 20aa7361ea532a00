"""Forms with a picture, read by one model at once; FastAPI would read them field by field, in Python."""

from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile

from triptych.serving.problems import Problem, as_problem
from triptych.serving.requests import check_names

Form = TypeVar("Form", bound=BaseModel)
_FIELDS = 50
_PART = 64 * 1024  # bytes of a field
_FILES = 4  # of which one is read; the others are told
_PICTURE = {
    "type": "string",
    "contentMediaType": "application/octet-stream",
    "description": "The reference: JPEG, PNG, WebP, GIF, BMP or TIFF.",
}


async def read_form(request: Request, model: type[Form]) -> tuple[Form, bytes | None]:
    """The fields of a form, and the file `picture` if there is one.

    Raises Problem where they do not fit `model`, one is given twice, there are too many, or nothing reads it.
    """
    many = {name for name, field in model.model_fields.items() if field.default == []}
    fields: dict[str, Any] = {}
    picture = None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # Counted first: the parser spends time on each, also where nothing stands between two of them.
    if kind != "multipart/form-data" and (await request.body()).count(b"&") >= _FIELDS:
        raise Problem(422, f"too many fields: at most {_FIELDS} are read")
    async with request.form(max_files=_FILES, max_fields=_FIELDS, max_part_size=_PART) as form:
        check_names((name for name, _ in form.multi_items()), ("picture", *model.model_fields), many)
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                if name != "picture":
                    raise Problem(422, f"{name}: must be a text; the only file that is read is `picture`")
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


def form_of(model: type[BaseModel], *, needs_picture: bool = False) -> dict[str, Any]:
    """How OpenAPI describes such a form."""
    schema = model.model_json_schema()
    schema["properties"] = {"picture": _PICTURE, **schema["properties"]}
    kinds = ["multipart/form-data", "application/x-www-form-urlencoded"]
    if needs_picture:  # which the other kind cannot hold
        schema["required"] = ["picture", *schema.get("required", ())]
        kinds = kinds[:1]
    return {"requestBody": {"content": {kind: {"schema": schema} for kind in kinds}, "required": needs_picture}}
