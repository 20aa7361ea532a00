"""The replies of a chat model: their JSON schema, and the checks that each reply must pass."""

import re

from triptych.chat.judging import Answer, read_answer, require_numbered
from triptych.chat.parsing import InvalidReply
from triptych.core.text import clean, truncate
from triptych.triplets.file import Change, Modification

STYLES = ("shorthand", "sentence", "captions", "relative")
_MOST_TEXT = 240  # characters of a wording
_MOST_WORD = 60  # characters of a changed word
_MOST_CHANGES = 3  # of a target; the prompt asks for one to three
_NUMBERED = re.compile(r"\b(?:picture|image|photo|candidate|option)\s*(?:no\.?|number|#)?\s*\d", re.IGNORECASE)


class _Change(Answer):
    group: str
    old: str
    new: str


class _Candidate(Answer):
    picture: int
    differs: str
    reachable: bool


class _Target(Answer):
    picture: int
    changes: list[_Change]
    shorthand: str
    sentence: str
    captions: list[str]
    relative: str


class Reasoning(Answer):
    """What is shared, what differs, what is reachable, and the instructions."""

    shared: str
    candidates: list[_Candidate]
    targets: list[_Target]


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
    reasoning = read_answer(Reasoning, text)
    for place, candidate in enumerate(reasoning.candidates):
        require_numbered(candidate.picture, count, f"candidates[{place}].picture")
    hidden = {candidate.picture for candidate in reasoning.candidates if not candidate.reachable}
    chosen: dict[int, Chosen] = {}
    for place, target in enumerate(reasoning.targets):
        require_numbered(target.picture, count, f"targets[{place}].picture")
        if target.picture not in hidden and target.picture not in chosen and len(chosen) < most:
            chosen[target.picture] = Chosen(target, f"targets[{place}]")
    return list(chosen.values())


def _text(text: str, where: str) -> str:
    if len(text) > 8 * _MOST_TEXT or len(known := clean(text)) > _MOST_TEXT:
        raise InvalidReply(f"{where} is longer than {_MOST_TEXT} characters")
    if not any(character.isalnum() for character in known):
        raise InvalidReply(f"{where} says nothing")
    if _NUMBERED.search(known):
        raise InvalidReply(f"{where} names a picture by its number; say what is seen instead")
    return known


def _change(change: _Change, where: str) -> Change:
    words = [truncate(word, _MOST_WORD) for word in (change.group, change.old, change.new)]
    if not words[0] or not words[2]:
        raise InvalidReply(f"{where} must name a group and a new word")
    if words[1].casefold() == words[2].casefold():
        raise InvalidReply(f"{where} changes {words[1]!r} to itself")
    return Change(*words)
