"""Zero-shot tags: how likely each word of the vocabulary is for a picture, by the encoder alone."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

from triptych.core.progress import progress
from triptych.core.vectors import Vectors, require_finite_rows
from triptych.encoders.protocol import Encoder
from triptych.tagging.vocabulary import Vocabulary

Tags = Mapping[str, NDArray[np.float32]]
"""Group to probabilities `(n, words)`. What a row lacks to one is the probability that a picture shows none of them: a
skirt has no sleeves."""

_FEW = 64  # pictures that are tagged too soon to show progress
_TITLES = 12_000  # combinations of words that are asked about together
_CONTEXTS = 256  # contexts whose titles are encoded at once
_SCORES = 16_000_000  # scores held at once: 64 MB
_UNSAID = 0.02  # a word that is said of a picture less often than this is not shown by it
_SIMILARITY = 0.2  # the weight of similarity, where the encoder can name the words
_SILENT = 1e-4  # no say is less than this: one that is sure of nothing must not overrule the other


class Tagger:
    """Tags pictures with the words of a vocabulary.

    It classifies by the similarity of pictures and texts, as CLIP does without training (Radford et al. 2021, 3.1). A
    word by itself is unlike the captions that an encoder learnt from, and it answers with more certainty than it has.
    So the groups with the most words are asked about together, in titles of every combination ("men red shirt"), and a
    word's probability is the sum over the titles that hold it. The groups for which that would be too many titles are
    asked about one by one, within a title of the two groups with the most words, as known by then.

    Where the encoder can name most words of a group, what it names has four fifths of the say (in the geometric mean),
    and alone decides whether any word is shown.
    """

    def __init__(self, encoder: Encoder, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._encoder = encoder
        lexicon, phrases = encoder.lexicon, vocabulary.phrases
        self.named = frozenset(
            group for group in vocabulary.groups if lexicon and lexicon.knows_most(list(phrases[group].values()))
        )
        sizes = {group: len(words) for group, words in vocabulary.groups.items()}
        ordered = sorted(sizes, key=lambda group: -sizes[group])
        self._context = ordered[:2]
        self._together: list[str] = []
        for group in ordered:
            if prod(sizes[other] for other in (*self._together, group)) <= _TITLES:
                self._together.append(group)

    def __call__(self, vectors: Vectors) -> Tags:
        """Tags of picture vectors `(n, d)`."""
        groups = self.vocabulary.groups
        tags = self._joint(vectors) if self._together else {}
        alone = [group for group in groups if group not in tags]
        context = {group: tags[group].argmax(axis=1) for group in self._context if group in tags}
        for group in progress(alone, "tag", total=len(alone), unit="group") if alone and len(vectors) > _FEW else alone:
            tags[group] = self._within(vectors, group, context)
        return {
            group: _blended(self._named(vectors, group), tags[group]) if group in self.named else tags[group]
            for group in groups
        }

    def _named(self, vectors: Vectors, group: str) -> NDArray[np.float32]:
        """Probabilities `(n, words)` of a group that the encoder can name."""
        lexicon = self._encoder.lexicon
        assert lexicon is not None
        phrases = self.vocabulary.phrases[group]
        odds = lexicon.log_odds(vectors, [phrases[word] for word in self.vocabulary.groups[group]])
        weights = np.exp(odds)
        return np.asarray(weights / (weights.sum(axis=1, keepdims=True) + _UNSAID), np.float32)

    @cached_property
    def _titles(self) -> Vectors:
        """Vectors of every title of the groups asked about together, the last group's words varying fastest."""
        combinations = product(*(self.vocabulary.groups[group] for group in self._together))
        titles = [self.vocabulary.title(dict(zip(self._together, words, strict=True))) for words in combinations]
        return self._encoded(titles)

    def _encoded(self, titles: Sequence[str]) -> Vectors:
        vectors = self._encoder.encode_texts(titles)
        require_finite_rows(vectors, lambda row: repr(titles[row]), "the encoder")
        return vectors

    def _joint(self, vectors: Vectors) -> dict[str, NDArray[np.float32]]:
        """Probabilities `(n, words)` of each group that is asked about together."""
        sizes = [len(self.vocabulary.groups[group]) for group in self._together]
        tags = {
            group: np.empty((len(vectors), size), np.float32) for group, size in zip(self._together, sizes, strict=True)
        }
        block = max(1, _SCORES // max(1, len(self._titles)))
        for start in range(0, len(vectors), block):
            rows = slice(start, start + block)
            likely = self._probabilities(vectors[rows] @ self._titles.T).reshape(-1, *sizes)
            for axis, group in enumerate(self._together, start=1):
                others = tuple(other for other in range(1, len(sizes) + 1) if other != axis)
                tags[group][rows] = likely.sum(axis=others)
        return tags

    def _within(self, vectors: Vectors, group: str, context: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """Probabilities `(n, words)` of a group; `context` has each picture's word `(n,)` of other groups."""
        groups = self.vocabulary.groups
        rows_of: dict[tuple[int, ...], list[int]] = {}
        for row in range(len(vectors)):
            rows_of.setdefault(tuple(int(words[row]) for words in context.values()), []).append(row)
        count = len(groups[group])
        cosines = np.empty((len(vectors), count), np.float32)
        contexts = list(rows_of)
        for start in range(0, len(contexts), _CONTEXTS):
            block = contexts[start : start + _CONTEXTS]
            known = [
                {other: groups[other][word] for other, word in zip(context, chosen, strict=True)} for chosen in block
            ]
            titles = [self.vocabulary.title(words | {group: word}) for words in known for word in groups[group]]
            texts = self._encoded(titles).reshape(len(block), count, -1)
            for chosen, words in zip(block, texts, strict=True):
                cosines[rows_of[chosen]] = vectors[rows_of[chosen]] @ words.T
        return self._probabilities(cosines)

    def _probabilities(self, cosines: NDArray[np.float32]) -> NDArray[np.float32]:
        """A softmax over each row, at the temperature that the encoder was trained with."""
        weights = np.exp(self._encoder.logit_scale * (cosines - cosines.max(axis=1, keepdims=True)))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def _blended(named: NDArray[np.float32], alike: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities `(n, words)` by name and by similarity in one, as surely shown as by name."""
    both = (named + _SILENT) ** (1 - _SIMILARITY) * (alike + _SILENT) ** _SIMILARITY
    return np.asarray(both * (named.sum(axis=1, keepdims=True) / both.sum(axis=1, keepdims=True)), np.float32)


def is_shown(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Of tags `(n, words)` of one group, which pictures show any of its words."""
    shown: NDArray[np.bool_] = values.sum(axis=1) > 0.5
    return shown


def best_words(tags: Tags, vocabulary: Vocabulary, row: int) -> dict[str, str]:
    """The likeliest word for one picture of each tagged group that it shows."""
    return {
        group: vocabulary.groups[group][int(values[row].argmax())]
        for group, values in tags.items()
        if is_shown(values[row : row + 1])[0]
    }
