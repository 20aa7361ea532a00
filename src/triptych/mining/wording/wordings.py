"""The texts that changes are worded in: few for each change, and no more than a budget for all of them."""

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from itertools import combinations, permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.core.errors import DataError
from triptych.core.progress import say as report
from triptych.core.text import hash_number
from triptych.mining.wording.contrasts import negated, swapped
from triptych.mining.wording.forms import Forms, forms_of, role_in
from triptych.mining.wording.grammar import parts_of
from triptych.mining.wording.roles import ROLES
from triptych.mining.wording.styles import STYLES, say
from triptych.tagging.tagger import Tags
from triptych.tagging.vocabulary import Vocabulary
from triptych.triplets.file import Change, Modification

MOST_TEXTS = 8000
"""Distinct texts of one vocabulary over one catalog."""
_EACH = 2  # texts of each style that a triplet has
_TRIES = 12  # draws for one text, so that the search ends if a word has few forms
_NOT = "\0"  # before an excluded word
Key = tuple[Any, ...]


class Wordings:
    """Words changes in a bounded set of texts, the same for the same vocabulary and catalog.

    A single change has texts for the new word, for the exclusion of the old one, for both words, and for the new word
    with what the thing is and stays. Two changes have texts of their own. Frequent words have more of them than rare
    ones; the least frequent pairs of words have none where the budget ends, and are not asked about.
    """

    def __init__(self, vocabulary: Vocabulary, tags: Tags | None = None, *, most: int = MOST_TEXTS) -> None:
        """Divide the budget.

        Args:
            vocabulary: the words.
            tags: of a catalog: which words are frequent there; without them all are as frequent.
            most: texts in all.

        Raises:
            DataError: the vocabulary states a role that there is not.
        """
        for group, role in vocabulary.roles.items():
            if role not in ROLES:
                raise DataError(f"the vocabulary states of group {group!r} that it is {role!r}; use {', '.join(ROLES)}")
        self._vocabulary = vocabulary
        self.item_group = next((group for group in vocabulary.groups if role_in(vocabulary, group) == "kind"), None)
        counts = _Counts(vocabulary, tags, self.item_group)
        self._texts_of: dict[Key, int] = {}
        left = most
        for kind, share, each in _SHARES:
            keys, frequent = counts.keys(kind)
            allotted = allot(frequent, left if kind == "two" else min(left, int(share * most)), each)
            self._texts_of |= {key: int(count) for key, count in zip(keys, allotted, strict=True) if count}
            left -= int(allotted.sum())
            if kind == "two" and (without := int((allotted == 0).sum())):
                report(
                    f"mine: {without} of {len(keys)} pairs of words are beyond {most} texts; they are not asked about"
                )
        self.texts = lru_cache(maxsize=None)(self._made)
        self._by_style = lru_cache(maxsize=None)(self._styles_of)

    @property
    def keys(self) -> Collection[Key]:
        """What there are texts for, for `texts`."""
        return self._texts_of.keys()

    def can_word(self, changes: Sequence[Change]) -> bool:
        """Whether there are texts for these changes."""
        return any(self.texts(key) for key in _keys(changes, ""))

    def of(self, changes: Sequence[Change], random: np.random.Generator, item: str = "") -> tuple[Modification, ...]:
        """Some texts for the changes, at most two in each style.

        Args:
            changes: one or two.
            random: draws among the texts that there are.
            item: what the thing is and stays, a word of the group that names kinds; empty where that is not known.
        """
        drawn = []
        for distinct in self._by_style(tuple(_keys(changes, item))):
            places = random.permutation(len(distinct))[:_EACH].tolist()
            drawn.append([distinct[place] for place in places])
        # One of each style comes first: some readers take only the first ones.
        return tuple(texts[turn] for turn in range(_EACH) for texts in drawn if turn < len(texts))

    def _styles_of(self, keys: tuple[Key, ...]) -> tuple[tuple[Modification, ...], ...]:
        """The distinct texts of some keys, by style."""
        found: dict[str, dict[str, None]] = {style: {} for style in STYLES}
        for key in keys:
            for style, text in self.texts(key):
                found[style][text] = None
        return tuple(tuple(Modification(style, text) for text in texts) for style, texts in found.items())

    def _made(self, key: Key) -> tuple[tuple[str, str], ...]:
        """The texts of a key, with their styles: the allotted number, or fewer if it has no more."""
        count = self._texts_of.get(key, 0)
        random = np.random.default_rng(hash_number(repr(key)))
        turn = int(random.integers(len(STYLES)))
        made: dict[str, str] = {}
        for _ in range(_TRIES * count):
            if len(made) == count:
                break
            style = STYLES[(turn + len(made)) % len(STYLES)]
            forms, item = self._forms(key, random)
            text = say(style, parts_of(forms, random, item), random) if forms else ""
            if text and (key[0] != "item" or item in text):
                made.setdefault(text, style)
            else:
                turn += 1
        return tuple((style, text) for text, style in made.items())

    def _forms(self, key: Key, random: np.random.Generator) -> tuple[list[Forms], str]:
        """The forms of the words that a key is about, and what the thing stays."""
        known = self._vocabulary
        kind, *about = key
        if kind == "swap":
            group, old, new = about
            ways = swapped(known, group, old, new)
            # Longer, more often than "long instead of short": people compare.
            return ([ways[-1 if random.random() < 0.5 else 0]] if ways else []), ""
        if kind == "item":
            (group, word), item = about
            return [forms_of(known, group, word)], item
        return [
            negated(known, group, word.removeprefix(_NOT)) if word.startswith(_NOT) else forms_of(known, group, word)
            for group, word in about
        ], ""


# Kinds of keys, in the order in which they draw on the budget: the share that each may take, and the texts of one key.
_SHARES = (
    ("new", 0.2, 16),
    ("not", 0.09, 10),
    ("swap", 0.09, 4),
    ("item", 0.09, 3),
    ("two-not", 0.08, 4),
    ("two", 1, 8),
)


def _keys(changes: Sequence[Change], item: str) -> list[Key]:
    """The keys whose texts say these changes."""
    words = tuple(sorted((one.attribute, f"{_NOT}{one.old}" if one.new is None else one.new) for one in changes))
    if len(words) > 1:
        return [("two-not" if any(one.new is None for one in changes) else "two", *words)]
    (one,) = changes
    if one.new is None:
        return [("not", *words)]
    return [("new", *words), ("swap", one.attribute, one.old, one.new), *([("item", *words, item)] if item else [])]


class _Counts:
    """How frequent what a key is about is in a catalog."""

    def __init__(self, vocabulary: Vocabulary, tags: Tags | None, item_group: str | None) -> None:
        self._groups = {group: vocabulary.groups[group] for group in (vocabulary.groups if tags is None else tags)}
        self._tags = tags
        self._item = item_group if item_group in self._groups else None

    def keys(self, kind: str) -> tuple[list[Key], NDArray[np.float64]]:
        """All keys of a kind, and how often each may be asked about."""
        found = [*self._found(kind)]
        return [key for key, _ in found], np.array([count for _, count in found], np.float64)

    def _found(self, kind: str) -> Iterator[tuple[Key, float]]:
        groups = self._groups
        if kind in ("new", "not"):
            mark = _NOT if kind == "not" else ""
            for group, words in groups.items():
                yield from (
                    ((kind, (group, mark + word)), one) for word, one in zip(words, self._alone(group), strict=True)
                )
        elif kind == "swap":
            for group, words in groups.items():
                often = self._alone(group)
                for (old, one), (new, other) in permutations(zip(words, often, strict=True), 2):
                    yield ("swap", group, old, new), one * other
        elif kind == "item":
            for group in groups if self._item else ():
                if group != self._item and self._item:
                    for word, item, count in self._pairs(group, self._item):
                        yield ("item", (group, word), item), count
        else:
            for first, second in combinations(sorted(groups), 2):
                for word, beside, count in self._pairs(first, second):
                    if kind == "two":
                        yield ("two", (first, word), (second, beside)), count
                    else:
                        yield ("two-not", (first, _NOT + word), (second, beside)), count
                        yield ("two-not", (first, word), (second, _NOT + beside)), count

    def _alone(self, group: str) -> list[float]:
        if self._tags is None:
            return [1.0] * len(self._groups[group])
        counts: list[float] = self._tags[group].sum(axis=0).tolist()
        return counts

    def _pairs(self, first: str, second: str) -> Iterator[tuple[str, str, float]]:
        """Each two words of two groups, and how many pictures are likely to show both."""
        shape = len(self._groups[first]), len(self._groups[second])
        counts = np.ones(shape) if self._tags is None else self._tags[first].T @ self._tags[second]
        for row, one in enumerate(self._groups[first]):
            for column, other in enumerate(self._groups[second]):
                yield one, other, float(counts[row, column])


def allot(frequent: NDArray[np.float64], most: int, each: int) -> NDArray[np.int64]:
    """Divide `most` texts: at least one and at most `each` for a key, more for frequent ones, none past the budget.

    Grows with the square root of how frequent a key is.
    """
    count = len(frequent)
    if count * each <= most:
        return np.full(count, each, np.int64)
    if count >= most:
        given = np.zeros(count, np.int64)
        given[np.argsort(-frequent, kind="stable")[: max(most, 0)]] = 1
        return given
    roots = np.sqrt(np.maximum(frequent, 1e-9))
    low, high = 0.0, each / roots.min()
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(np.floor(middle * roots), 1, each).sum() <= most else (low, middle)
    return np.clip(np.floor(low * roots), 1, each).astype(np.int64)
