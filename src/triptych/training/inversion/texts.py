"""Texts for training pseudo-words: titles made of a vocabulary's words, with masked parts, as token ids."""

import re
import string
from collections.abc import Sequence

import numpy as np

from triptych.encoders.protocol import SLOT, AcceptsPseudoWords, Ids
from triptych.tagging.tagger import Tags, is_shown
from triptych.tagging.vocabulary import Vocabulary
from triptych.training.options import MARK

_NAMED = 0.7  # probability that a title names an attribute; not tuned


class SlottedIds:
    """Turns texts with `*` for the pseudo-word into token ids `(n, longest)`.

    The ids get the encoder's start and end tokens, and are padded and truncated as the encoder does it.
    """

    def __init__(self, encoder: AcceptsPseudoWords) -> None:
        self._encoder = encoder
        self._opening, self._closing = encoder.text_frame
        self._length = encoder.token_ids([MARK]).shape[1]
        self._known: dict[str, tuple[int, ...]] = {"": ()}

    def __call__(self, texts: Sequence[str]) -> Ids:
        """The ids, with SLOT in the place of each mark."""
        rows = [self._framed(content) for content in self.contents(texts)]
        ids = np.full((len(rows), max(map(len, rows), default=0)), self._closing, np.int64)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = row
        return ids

    def contents(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text without the frame."""
        pieces = [[piece.strip() for piece in text.split(MARK)] for text in texts]
        self._learn(sorted({piece for each in pieces for piece in each} - self._known.keys()))
        joined = []
        for first, *others in pieces:
            ids = [*self._known[first]]
            for piece in others:
                ids += [SLOT, *self._known[piece]]
            joined.append(ids)
        return joined

    def _learn(self, pieces: list[str]) -> None:
        for piece, row in zip(pieces, self._encoder.token_ids(pieces).tolist(), strict=True):
            inner = row[1:] if self._opening else row
            self._known[piece] = tuple(inner[: inner.index(self._closing)] if self._closing in inner else inner)

    def _framed(self, content: list[int]) -> list[int]:
        if not self._opening:
            return content[: self._length]
        return [self._opening, *content[: self._length - 2], self._closing]


def draw_titles(vocabulary: Vocabulary, count: int, random: np.random.Generator) -> list[str]:
    """Draw titles of random words, such as "men red shirt". Each has a word of the group with the most words."""
    groups = vocabulary.groups
    main = max(groups, key=lambda group: len(groups[group]))
    titles = []
    for _ in range(count):
        named = [group for group in groups if group == main or random.random() < _NAMED]
        words = {group: groups[group][int(random.integers(len(groups[group])))] for group in named}
        titles.append(vocabulary.title(words))
    return titles


class Keywords:
    """Decides which words of a text are keywords, that is, words that a pseudo-word may replace.

    LinCIR takes adjectives and nouns, by a part-of-speech tagger. Here keywords are the words of the vocabulary, in the
    singular or the plural. In a text without any of these, all words but function words are keywords.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        sayings = (text for words in vocabulary.sayings.values() for texts in words.values() for text in texts)
        phrases = (text for words in vocabulary.phrases.values() for text in words.values())
        said = {_stem(word) for text in (*phrases, *sayings) for word in text.split()}
        self._said = frozenset(said - _FUNCTION_WORDS)

    def of(self, words: Sequence[str]) -> list[bool]:
        """Whether each word of a text is a keyword. At least one is."""
        stems = [_stem(word) for word in words]
        if any(stem in self._said for stem in stems):
            return [stem in self._said for stem in stems]
        if any(stem not in _FUNCTION_WORDS for stem in stems):
            return [stem not in _FUNCTION_WORDS for stem in stems]
        return [True] * len(words)


def mask(text: str, keywords: Keywords, random: np.random.Generator) -> str:
    """Replace every run of keywords in a text by the mark. A run may be the whole text.

    A title consists of keywords. Then one random run of its words is masked, so that the tower also learns to read the
    mark among words.
    """
    words = text.split()
    known = keywords.of(words)
    if all(known):
        first = int(random.integers(len(words)))
        end = int(random.integers(first, len(words))) + 1
        known = [first <= place < end for place in range(len(words))]
    masked = [MARK if key else word for word, key in zip(words, known, strict=True)]
    return " ".join(word for place, word in enumerate(masked) if place == 0 or not known[place] or not known[place - 1])


def _stem(word: str) -> str:
    """The word in lower case, without surrounding punctuation, and without the ending of a genitive or a plural."""
    bare = word.lower().strip(_PUNCTUATION)
    bare = bare.removesuffix("'s").removesuffix("’s")
    return _PLURAL.sub("", bare) if len(bare) > 3 else bare


_PUNCTUATION = f"{string.punctuation}’"
_PLURAL = re.compile("(?<=ss|ch|sh|.x)es$|(?<!s)s$")
_LISTED = """
a an the this that these those some any no not all both each every many several few &
i you he she it we they me him her us them my your his its our their who whom whose which what
of in on at to from by for with without within into onto over under above below between through about around across
after before behind beside near against during as like than
and or but nor so yet if while when where then there here very also too just only more most much
is are was were be been being am has have had do does did will would can could may might must should
"""
_FUNCTION_WORDS = frozenset(map(_stem, _LISTED.split()))


class PictureConcepts:
    """Describes pictures by titles of their likeliest words, within phrases of other words."""

    def __init__(self, tags: Tags, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._groups = list(tags)
        self._likeliest = {group: values.argmax(axis=1) for group, values in tags.items()}
        self._shown = {group: is_shown(values) for group, values in tags.items()}

    def phrases(self, rows: Sequence[int], random: np.random.Generator) -> tuple[list[str], list[str]]:
        """Make for each picture a phrase that names its content, and the same phrase with the mark instead."""
        plain, marked = [], []
        for row in rows:
            before, after = self._context(random), self._context(random)
            concept = self._title(row, random)
            plain.append(" ".join(filter(None, (before, concept, after))))
            marked.append(" ".join(filter(None, (before, MARK, after))))
        return plain, marked

    def _title(self, row: int, random: np.random.Generator) -> str:
        shown = [group for group in self._groups if self._shown[group][row]] or self._groups
        named = [group for group in shown if random.random() < _NAMED] or shown
        groups = self._vocabulary.groups
        return self._vocabulary.title({group: groups[group][int(self._likeliest[group][row])] for group in named})

    def _context(self, random: np.random.Generator) -> str:
        """One word of the vocabulary, or none."""
        if random.random() < 0.5:
            return ""
        group = self._groups[int(random.integers(len(self._groups)))]
        words = self._vocabulary.groups[group]
        return self._vocabulary.phrases[group][words[int(random.integers(len(words)))]]
