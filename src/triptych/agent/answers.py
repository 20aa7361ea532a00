"""What a chat model may answer: the schema it is held to, and what is checked before a word of it is used."""

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from triptych.chat.replies import InvalidReply, clean, cut, find_json
from triptych.triplets import Change, Modification

M = TypeVar("M", bound=BaseModel)

STYLES = ("shorthand", "sentence", "captions", "relative")
_MOST_TEXT = 240  # characters of a wording
_MOST_WORD = 60  # characters of a changed word
_MOST_CHANGES = 3
_NUMBERED = re.compile(r"\b(?:picture|image|photo|candidate|option)\s*(?:no\.?|number|#)?\s*\d", re.IGNORECASE)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Change(_Answer):
    group: str
    old: str
    new: str


class _Candidate(_Answer):
    picture: int
    differs: str
    reachable: bool


class _Target(_Answer):
    picture: int
    changes: list[_Change]
    shorthand: str
    sentence: str
    captions: list[str]
    relative: str


class Reasoning(_Answer):
    """What is shared, what differs, what is reachable, and the instructions."""

    shared: str
    candidates: list[_Candidate]
    targets: list[_Target]


class Judgement(_Answer):
    """Which picture each wording leads to, and what else it is true of."""

    picks: list[int]
    already_true: bool
    also_fit: list[int]
    certainty: float


class Chosen:
    """A target that the reasoner chose: its place in the group, from 0, and the cleaned words."""

    def __init__(self, target: _Target, where: str) -> None:
        self.place = target.picture - 1
        captions = [_text(text, f"{where}.captions") for text in target.captions]
        if not 1 <= len(captions) <= 3:
            raise InvalidReply(f"{where}.captions must be two short captions")
        texts = {
            "shorthand": _text(target.shorthand, f"{where}.shorthand"),
            "sentence": _text(target.sentence, f"{where}.sentence"),
            "captions": " and ".join(text.rstrip(".") for text in captions),
            "relative": _text(target.relative, f"{where}.relative"),
        }
        self.modifications = tuple(Modification(style, texts[style]) for style in STYLES)
        if not 1 <= len(target.changes) <= _MOST_CHANGES:
            raise InvalidReply(f"{where}.changes must hold one to {_MOST_CHANGES} changes")
        self.changes = tuple(_change(change, f"{where}.changes") for change in target.changes)


def read_reasoning(text: str, *, count: int, most: int) -> list[Chosen]:
    """The targets in a reply about `count` pictures, `most` at most. Raises InvalidReply."""
    reasoning = _read(Reasoning, text)
    for place, candidate in enumerate(reasoning.candidates):
        _in_group(candidate.picture, count, f"candidates[{place}].picture")
    hidden = {candidate.picture for candidate in reasoning.candidates if not candidate.reachable}
    chosen: dict[int, Chosen] = {}
    for place, target in enumerate(reasoning.targets):
        _in_group(target.picture, count, f"targets[{place}].picture")
        if target.picture not in hidden and target.picture not in chosen and len(chosen) < most:
            chosen[target.picture] = Chosen(target, f"targets[{place}]")
    return list(chosen.values())


def read_judgement(text: str, *, count: int, wordings: int) -> Judgement:
    """A verdict on so many wordings over `count` pictures. Raises InvalidReply."""
    judgement = _read(Judgement, text)
    if len(judgement.picks) != wordings:
        raise InvalidReply(
            f"picks must hold {wordings} numbers, one for each wording, and holds {len(judgement.picks)}"
        )
    for place, pick in enumerate(judgement.picks):
        if pick:
            _in_group(pick, count, f"picks[{place}]")
    for place, other in enumerate(judgement.also_fit):
        _in_group(other, count, f"also_fit[{place}]")
    if not isfinite(judgement.certainty):
        raise InvalidReply("certainty must be a number from 0 to 1")
    return judgement


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The model's JSON schema, as strict servers want it: nothing but the fields, and all of them."""
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


def _read(model: type[M], text: str) -> M:
    try:
        return model.model_validate(find_json(text))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)[:3]
        problems = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in found]
        raise InvalidReply(cut("; ".join(problems), 400)) from None


def _in_group(picture: int, count: int, where: str) -> None:
    if not 1 <= picture <= count:
        raise InvalidReply(f"{where} is {cut(str(picture), 20)}; the pictures are numbered 1 to {count}")


def _text(text: str, where: str) -> str:
    if len(text) > 8 * _MOST_TEXT or len(known := clean(text)) > _MOST_TEXT:
        raise InvalidReply(f"{where} is longer than {_MOST_TEXT} characters")
    if not any(character.isalnum() for character in known):
        raise InvalidReply(f"{where} says nothing")
    if _NUMBERED.search(known):
        raise InvalidReply(f"{where} names a picture by its number; say what is seen instead")
    return known


def _change(change: _Change, where: str) -> Change:
    words = [cut(word, _MOST_WORD) for word in (change.group, change.old, change.new)]
    if not words[0] or not words[2]:
        raise InvalidReply(f"{where} must name a group and a new word")
    if words[1].casefold() == words[2].casefold():
        raise InvalidReply(f"{where} changes {words[1]!r} to itself")
    return Change(*words)
