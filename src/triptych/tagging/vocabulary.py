"""Vocabularies: groups of attribute words that exclude each other, such as colours."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triptych.core.errors import DataError, FailureError
from triptych.core.files import read_json
from triptych.core.progress import say
from triptych.encoders.protocol import Encoder, ReportsReading, short_name

_TITLE_ORDER = (
    "medium", "gender", "usage", "length", "colour", "pattern", "material", "sleeve", "neckline", "kind", "print",
)  # fmt: skip

_SHOWN = 8  # words in a message
_ROLES = "$roles"  # beside the groups of a vocabulary

DEFAULT = Path(__file__).parent / "vocabulary.json"

_EXAMPLE = 'a vocabulary is an object such as {"colour": ["red", "blue"]}'


@dataclass(frozen=True)
class Vocabulary:
    """Attribute groups and their words."""

    groups: Mapping[str, tuple[str, ...]]
    """The words of each group; narrower words follow their broader word."""
    phrases: Mapping[str, Mapping[str, str]]
    """The text that is encoded for each word: the word itself, unless the vocabulary has another text."""
    sayings: Mapping[str, Mapping[str, tuple[str, ...]]]
    """Other ways to ask for a word, such as "with no sleeves" for "sleeveless"."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """The roles of groups in sentences, if the vocabulary states them: `mining.wording.roles.Role`."""
    broader: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The broader word of each narrower word in a group: navy is a blue. Other words have no entry."""
    applies: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    """The words of other groups, including narrower ones, that a group applies to: sleeves are about tops, not shoes. A
    group without an entry applies to everything."""

    def title(self, words: Mapping[str, str]) -> str:
        """The text that the encoder is asked about, given a word for each group, as a shop's title: "men red t-shirt no
        print".

        A word that the vocabulary lacks is used as it is.
        """
        said = {group: self.phrases.get(group, {}).get(word, word) for group, word in words.items()}
        ordered = [said[group] for group in _TITLE_ORDER if group in said]
        return " ".join([*ordered, *(phrase for group, phrase in said.items() if group not in _TITLE_ORDER)])

    def family(self, group: str, word: str) -> str:
        """The broader word of a word, or the word itself."""
        return self.broader.get(group, {}).get(word, word)

    def is_about(self, group: str, other: str, words: Sequence[str]) -> list[bool]:
        """For each of these words of the group `other`, whether `group` is about it."""
        meant = self.applies.get(group, {}).get(other)
        return [meant is None or word in meant or self.family(other, word) in meant for word in words]

    def find(self, group: str, text: str) -> str | None:
        """The word of a group that is called `text`, or has it among its sayings; None if there is none."""
        words = self.groups[group]
        forms = [text, text.removesuffix("s"), f"{text}s", f"with {text}"]
        named = (form for form in forms if form in words)
        sayings = self.sayings.get(group, {})
        said = (word for word in words for form in forms if form in (self.phrases[group][word], *sayings.get(word, ())))
        return next(named, None) or next(said, None)

    def restricted(self, words: Mapping[str, Collection[str]]) -> "Vocabulary":
        """The same vocabulary with these groups and words only."""
        kept = {group: tuple(word for word in self.groups[group] if word in words[group]) for group in words}
        return Vocabulary(
            groups=kept,
            phrases={group: {word: self.phrases[group][word] for word in known} for group, known in kept.items()},
            sayings={
                group: {word: self.sayings.get(group, {}).get(word, ()) for word in known}
                for group, known in kept.items()
            },
            broader={
                group: {word: above for word in known if (above := self.broader.get(group, {}).get(word))}
                for group, known in kept.items()
            },
            roles={group: role for group, role in self.roles.items() if group in kept},
            applies={group: self.applies[group] for group in kept if group in self.applies},
        )


def load_vocabulary(path: Path | None = None) -> Vocabulary:
    """Read a vocabulary: `{"colour": ["red", "blue"], "sleeve": {"sleeveless": ["sleeveless", "with no sleeves"]}}`.

    A group is a list of words, or an object that gives each word one or several texts. The first text is what the
    encoder is asked about, the others are sayings. A word with narrower ones is `{"texts": [...], "narrower": {...}}`.
    A group that applies only to some words of another is `{"of": {"kind": ["shirt"]}, "words": {...}}`. `{"$roles":
    {"finish": "material"}}` beside the groups states a group's role in sentences, if its name does not show it.

    Args:
        path: the file; None for the default vocabulary of the package.

    Raises:
        DataError: the file has another form, a group has fewer than two words, or a word is listed twice in its group.
    """
    path = path or DEFAULT
    content: Any = read_json(path, "vocabulary")
    if not isinstance(content, dict) or not content:
        raise DataError(f"{path}: {_EXAMPLE}")
    roles = content.pop(_ROLES, {})
    given = isinstance(roles, dict) and all(isinstance(role, str) for role in roles.values())
    if not given or not roles.keys() <= content.keys():
        raise DataError(f'{path}: {_ROLES} is an object of its groups, such as {{"finish": "material"}}')
    if not content:
        raise DataError(f"{path}: holds no group of words")
    read = {group: _read_group(path, group, written) for group, written in content.items()}
    known = Vocabulary(
        groups={group: tuple(one.texts) for group, one in read.items()},
        phrases={group: {word: said[0] for word, said in one.texts.items()} for group, one in read.items()},
        sayings={group: {word: said[1:] for word, said in one.texts.items()} for group, one in read.items()},
        broader={group: one.broader for group, one in read.items()},
        applies={group: one.of for group, one in read.items() if one.of},
        roles=roles,
    )
    for group, others in known.applies.items():
        for other, words in others.items():
            if lacking := [word for word in words if word not in known.groups.get(other, ())]:
                raise DataError(f"{path}: group {group!r} is of {other} {', '.join(lacking)}, which no group has")
    return known


def understood_words(vocabulary: Vocabulary, encoder: Encoder, what: str) -> Vocabulary:
    """Keep the words that the encoder understands. The others cannot be found in pictures, and are reported once.

    Args:
        vocabulary: the words.
        encoder: encodes them.
        what: the source of the words for the message, such as the file's name.

    Returns:
        The groups with at least two words left.

    Raises:
        FailureError: no group is left.
    """
    if not isinstance(encoder, ReportsReading):
        return vocabulary
    words = [(word, phrase) for phrases in vocabulary.phrases.values() for word, phrase in phrases.items()]
    readings = encoder.readings([phrase for _, phrase in words])
    unread = list(dict.fromkeys(word for (word, _), reading in zip(words, readings, strict=True) if reading.unknown))
    if unread:
        more = f" and {len(unread) - _SHOWN} more" if len(unread) > _SHOWN else ""
        say(
            f"{what}: {short_name(encoder)} does not understand {len(unread)} of {len(words)} words, and cannot find "
            f"them in pictures: {', '.join(unread[:_SHOWN])}{more}"
        )
    known = {group: {word for word in each if word not in unread} for group, each in vocabulary.groups.items()}
    for group, kept_words in known.items():  # a narrower word that is understood keeps its broader one
        kept_words |= {vocabulary.family(group, word) for word in kept_words}
    kept = {group: each for group, each in known.items() if len(each) > 1}
    if not kept:
        raise FailureError(f"{what}: the encoder understands no two words of a group; use words of its language")
    return vocabulary.restricted(kept) if unread else vocabulary


@dataclass
class _Group:
    """A group as it is read."""

    texts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    broader: dict[str, str] = field(default_factory=dict)
    of: dict[str, tuple[str, ...]] = field(default_factory=dict)


def _read_group(path: Path, name: str, written: Any) -> _Group:
    group = _Group()
    if isinstance(written, dict) and written.keys() == {"of", "words"}:
        of, written = written["of"], written["words"]
        if not isinstance(of, dict) or not all(_is_texts(words) for words in of.values()):
            raise DataError(f'{path}: group {name!r}: "of" is an object such as {{"kind": ["shirt", "dress"]}}')
        group.of = {other: tuple(words) for other, words in of.items()}
    if _is_texts(written):
        written = dict(zip(written, written, strict=True))
    if not isinstance(written, dict) or len(written) < 2:
        raise DataError(f"{path}: group {name!r} must list two or more words")
    for word, said in written.items():
        if isinstance(said, dict):
            if said.keys() != {"texts", "narrower"} or not isinstance(said["narrower"], dict):
                raise DataError(f'{path}: {name} {word!r} must have "texts" and "narrower", an object of words')
            _add(path, name, group, word, said["texts"])
            for narrower, texts in said["narrower"].items():
                _add(path, name, group, narrower, texts)
                group.broader[narrower] = word
        else:
            _add(path, name, group, word, said)
    return group


def _add(path: Path, name: str, group: _Group, word: str, said: Any) -> None:
    """Add a word with its texts."""
    texts = [said] if isinstance(said, str) else said
    if not word.strip() or not _is_texts(texts):
        raise DataError(f"{path}: {name} {word!r} must have one text or a list of texts")
    if word in group.texts:
        raise DataError(f"{path}: group {name!r} has the word {word!r} twice")
    group.texts[word] = tuple(texts)


def _is_texts(given: Any) -> bool:
    """Whether a value is a list of texts, none of them empty."""
    return (
        isinstance(given, Sequence)
        and not isinstance(given, str)
        and bool(given)
        and all(isinstance(text, str) and text.strip() for text in given)
    )
