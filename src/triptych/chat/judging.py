"""The judge's answer, and how any answer is checked against its schema before it is used."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from triptych.chat.parsing import InvalidReply, find_json
from triptych.core.text import truncate

M = TypeVar("M", bound=BaseModel)


class Answer(BaseModel):
    """A part of an answer. Unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore")


class Judgement(Answer):
    """The judge's answer: which picture each wording leads to, and which other pictures fit."""

    picks: list[int]
    already_true: bool
    also_fit: list[int]
    certainty: float


def read_judgement(text: str, *, count: int, wordings: int) -> Judgement:
    """Read a judge's verdict on `wordings` wordings over `count` pictures.

    Raises:
        InvalidReply: the reply does not fit.
    """
    judgement = read_answer(Judgement, text)
    if len(judgement.picks) != wordings:
        raise InvalidReply(
            f"picks must hold {wordings} numbers, one for each wording, and holds {len(judgement.picks)}"
        )
    for place, pick in enumerate(judgement.picks):
        if pick:
            require_numbered(pick, count, f"picks[{place}]")
    for place, other in enumerate(judgement.also_fit):
        require_numbered(other, count, f"also_fit[{place}]")
    if not isfinite(judgement.certainty):
        raise InvalidReply("certainty must be a number from 0 to 1")
    return judgement


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a model as strict servers want it: no additional fields, and all fields required."""
    return dict(_strict(model.model_json_schema()))


def _strict(part: Any) -> Any:
    if isinstance(part, list):
        return [_strict(item) for item in part]
    if not isinstance(part, Mapping):
        return part
    known = {key: _strict(value) for key, value in part.items() if key not in ("title", "description")}
    if known.get("type") == "object":
        known |= {"additionalProperties": False, "required": list(known["properties"])}
    return known


def read_answer(model: type[M], text: str) -> M:
    """Read the answer in a reply.

    Raises:
        InvalidReply: a field is wrong; the message names it.
    """
    try:
        return model.model_validate(find_json(text))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)[:3]
        problems = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in found]
        raise InvalidReply(truncate("; ".join(problems), 400)) from None


def require_numbered(picture: int, count: int, where: str) -> None:
    """Check that `picture` is one of the numbers 1 to `count`.

    Raises:
        InvalidReply: it is not.
    """
    if not 1 <= picture <= count:
        raise InvalidReply(f"{where} is {truncate(str(picture), 20)}; the pictures are numbered 1 to {count}")
