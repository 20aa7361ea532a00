"""The probability, by tags, that pictures show what changes ask for."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from triptych.mining.wording.lexicon import excluded_by
from triptych.tagging.tagger import Tags
from triptych.tagging.vocabulary import Vocabulary
from triptych.triplets.file import Change


class Likelihood:
    """Answers questions about changes from the tags of a catalog's pictures."""

    def __init__(self, tags: Tags, vocabulary: Vocabulary) -> None:
        self._tags = tags
        self._vocabulary = vocabulary
        self._columns = lru_cache(maxsize=None)(self._columns_of)

    def is_tagged(self, change: Change) -> bool:
        """Whether there are tags of a change's new word, or of the word that it excludes."""
        word = change.old if change.new is None else change.new
        return change.attribute in self._tags and word in self._vocabulary.groups[change.attribute]

    def answers(self, change: Change, pictures: NDArray[np.int64]) -> NDArray[np.float32]:
        """The probability `(n,)` that each picture shows the new word, or nothing that the change excludes.

        "Not blue" excludes navy, too. A picture that shows no word of the group shows nothing that is excluded.
        """
        columns, tags = self._columns(change.attribute, change.old, change.new), self._tags[change.attribute]
        if change.new is not None:
            return np.asarray(tags[pictures, columns[0]], np.float32)
        shown = tags[pictures[:, None], columns].sum(axis=1)
        return np.asarray(np.clip(1 - shown, 0, 1), np.float32)

    def probability(self, changes: Sequence[Change], pictures: NDArray[np.int64]) -> NDArray[np.float32]:
        """The probability `(n,)` that each picture answers the changes: the geometric mean over them."""
        product = np.ones(len(pictures), np.float32)
        for change in changes:
            product *= self.answers(change, pictures)
        return np.asarray(product ** (1 / len(changes)), np.float32)

    def may_show_excluded(
        self, changes: Sequence[Change], pictures: NDArray[np.int64], least: float
    ) -> NDArray[np.bool_]:
        """Which pictures `(n,)` may show something that a change excludes, since the
        probability that they do not is below `least`."""
        found = np.zeros(len(pictures), bool)
        for change in changes:
            if change.new is None:
                found |= self.answers(change, pictures) < least
        return found

    def _columns_of(self, group: str, old: str, new: str | None) -> list[int]:
        """The columns of the new word, or of all words that are excluded with the old one."""
        known = self._vocabulary
        words = known.groups[group]
        if new is not None:
            return [words.index(new)]
        ways = {word: (known.phrases[group][word], *known.sayings[group][word]) for word in words}
        narrower = [word for word in words if known.broader.get(group, {}).get(word) == old]
        excluded = {*excluded_by(old, words, ways), *narrower}
        return [place for place, word in enumerate(words) if word in excluded]
