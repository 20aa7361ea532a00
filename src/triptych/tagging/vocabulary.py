"""The words the embedded reasoner knows: groups of attributes that exclude each other, such as colours."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from triptych.errors import DataError
from triptych.files import read_json

DEFAULT = Path(__file__).parent / "vocabulary.json"


@dataclass(frozen=True)
class Vocabulary:
    """Attribute groups and their words.

    `phrases` maps each word to the text that the encoder is asked about, which is the word itself unless the
    vocabulary says otherwise ("men": "men's clothing").
    """

    groups: Mapping[str, tuple[str, ...]]
    phrases: Mapping[str, Mapping[str, str]]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The groups, in order."""
        return tuple(self.groups)


def load_vocabulary(path: Path | None = None) -> Vocabulary:
    """Read `{"colour": ["red", "navy blue"], "gender": {"men": "for men"}}`; without a path, the default.

    Raises DataError where it is not that, or a group has fewer than two words.
    """
    content: Any = read_json(path or DEFAULT, "vocabulary")
    if not isinstance(content, dict) or not content:
        raise DataError(f'{path}: a vocabulary is an object such as {{"colour": ["red", "blue"]}}')
    phrases: dict[str, dict[str, str]] = {}
    for group, words in content.items():
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            words = {word: word for word in words}
        if not isinstance(words, dict) or len(words) < 2 or not all(
            isinstance(text, str) and text.strip() for pair in words.items() for text in pair
        ):
            raise DataError(f"{path}: group {group!r} must list two or more words")
        phrases[group] = words
    return Vocabulary({group: tuple(words) for group, words in phrases.items()}, phrases)
