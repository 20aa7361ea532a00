"""The words the embedded reasoner knows: groups of attributes that exclude each other, such as colours."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triptych.core.errors import DataError
from triptych.core.files import read_json
from triptych.core.progress import say
from triptych.encoders.protocol import Encoder, TellsReading, short_name

_TITLE_ORDER = ("gender", "usage", "length", "colour", "pattern", "sleeve", "neckline", "kind", "print")

_SHOWN = 8  # words in a message
_ROLES = "$roles"  # beside the groups of a vocabulary

DEFAULT = Path(__file__).parent / "vocabulary.json"


@dataclass(frozen=True)
class Vocabulary:
    """Attribute groups and their words.

    `phrases` maps each word to the text that the encoder is asked about: the word itself, unless the vocabulary says
    otherwise. `sayings` are other ways to ask for it, such as "with no sleeves" for "sleeveless".
    """

    groups: Mapping[str, tuple[str, ...]]
    phrases: Mapping[str, Mapping[str, str]]
    sayings: Mapping[str, Mapping[str, tuple[str, ...]]]
    roles: Mapping[str, str] = field(default_factory=dict)
    """What groups are in a sentence, where the vocabulary says so: one of `mining.wording.roles.Role`."""

    def title(self, words: Mapping[str, str]) -> str:
        """What the encoder is asked of a word for each group, as a shop's title: "men red t-shirt no print".

        A word that the vocabulary does not have stands as it is.
        """
        said = {group: self.phrases.get(group, {}).get(word, word) for group, word in words.items()}
        ordered = [said[group] for group in _TITLE_ORDER if group in said]
        return " ".join([*ordered, *(phrase for group, phrase in said.items() if group not in _TITLE_ORDER)])


def load_vocabulary(path: Path | None = None) -> Vocabulary:
    """Read `{"colour": ["red", "navy blue"], "sleeve": {"sleeveless": ["sleeveless", "with no sleeves"]}}`.

    A group is a list of words, or an object that gives each word one text or several: the first is what the encoder is
    asked about, the others are sayings. `{"$roles": {"finish": "material"}}` beside the groups says what a group is in
    a sentence, where its name does not. Without a path, the default. Raises DataError where it is not that, or a group
    has fewer than two words.
    """
    path = path or DEFAULT
    content: Any = read_json(path, "vocabulary")
    if not isinstance(content, dict) or not content:
        raise DataError(f'{path}: a vocabulary is an object such as {{"colour": ["red", "blue"]}}')
    roles = content.pop(_ROLES, {})
    if not isinstance(roles, dict) or not roles.keys() <= content.keys() or not all(map(_is_text, roles.values())):
        raise DataError(f'{path}: {_ROLES} is an object of its groups, such as {{"finish": "material"}}')
    texts = {group: _texts(words) for group, words in content.items()}
    for group, words in texts.items():
        if words is None or len(words) < 2:
            raise DataError(f"{path}: group {group!r} must list two or more words")
    known = {group: words for group, words in texts.items() if words}
    if not known:
        raise DataError(f"{path}: holds no group of words")
    return Vocabulary(
        groups={group: tuple(words) for group, words in known.items()},
        phrases={group: {word: said[0] for word, said in words.items()} for group, words in known.items()},
        sayings={group: {word: said[1:] for word, said in words.items()} for group, words in known.items()},
        roles=roles,
    )


def tell_unread_words(vocabulary: Vocabulary, encoder: Encoder, what: str) -> None:
    """Say once which words of a vocabulary the encoder does not understand: it cannot tell them in pictures.

    Args:
        vocabulary: the words.
        encoder: what is asked about them.
        what: where they come from, such as the name of the file.
    """
    if not isinstance(encoder, TellsReading):
        return
    words = [(word, phrase) for phrases in vocabulary.phrases.values() for word, phrase in phrases.items()]
    readings = encoder.readings([phrase for _, phrase in words])
    unread = list(dict.fromkeys(word for (word, _), reading in zip(words, readings, strict=True) if reading.unknown))
    if unread:
        more = f" and {len(unread) - _SHOWN} more" if len(unread) > _SHOWN else ""
        say(
            f"{what}: {short_name(encoder)} does not understand {len(unread)} of {len(words)} words, and cannot tell "
            f"them in pictures: {', '.join(unread[:_SHOWN])}{more}"
        )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _texts(words: Any) -> dict[str, tuple[str, ...]] | None:
    """Each word's texts; None where `words` is no group."""
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        words = {word: word for word in words}
    if not isinstance(words, dict):
        return None
    texts = {word: (said,) if isinstance(said, str) else said for word, said in words.items()}
    for word, said in texts.items():
        if not word.strip() or not isinstance(said, (list, tuple)) or not said:
            return None
        if not all(isinstance(text, str) and text.strip() for text in said):
            return None
    return {word: tuple(said) for word, said in texts.items()}
