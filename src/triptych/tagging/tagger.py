"""Zero-shot tags: how likely each word of the vocabulary is for a picture, by the encoder alone."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from triptych.encoders import Encoder, Vectors
from triptych.progress import progress
from triptych.tagging.vocabulary import Vocabulary

Tags = Mapping[str, NDArray[np.float32]]
"""Group to probabilities `(n, words)`; each row sums to one."""

_FEW = 64  # pictures that are tagged too soon to show progress
_BLOCK = 256  # contexts whose titles are encoded at once


class Tagger:
    """Tags pictures with the words of a vocabulary, as CLIP classifies without training (Radford et al. 2021, 3.1).

    A word by itself is unlike the captions that an encoder learnt from, and it answers with more certainty than it has.
    So a word is asked about within a title of what else is seen, not "striped" but "red striped shirt": the title's
    other words are of the two groups with the most words, which say most of a picture.
    """

    def __init__(self, encoder: Encoder, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._encoder = encoder
        self._context = sorted(vocabulary.groups, key=lambda group: -len(vocabulary.groups[group]))[:2]

    def __call__(self, vectors: Vectors) -> Tags:
        """Tags of picture vectors `(n, d)`."""
        alone = {group: self._ask(vectors, group, {}) for group in self._context}
        tags: dict[str, NDArray[np.float32]] = {}
        groups = [*self._context, *(group for group in self.vocabulary.groups if group not in self._context)]
        for group in progress(groups, "tag", total=len(groups), unit="group") if len(vectors) > _FEW else groups:
            # The context's own groups are asked about with the other alone in mind, all else with both as told by then.
            seen = alone if group in self._context else tags
            context = {other: seen[other].argmax(axis=1) for other in self._context if other != group}
            tags[group] = self._ask(vectors, group, context)
        return {group: tags[group] for group in self.vocabulary.groups}

    def _ask(self, vectors: Vectors, group: str, context: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """Probabilities `(n, words)` of a group; `context` has each picture's word `(n,)` of other groups."""
        rows_of: dict[tuple[int, ...], list[int]] = {}
        for row in range(len(vectors)):
            rows_of.setdefault(tuple(int(words[row]) for words in context.values()), []).append(row)
        count = len(self.vocabulary.groups[group])
        logits = np.empty((len(vectors), count), np.float32)
        contexts = list(rows_of)
        for start in range(0, len(contexts), _BLOCK):
            block = contexts[start : start + _BLOCK]
            told = [dict(zip(context, chosen, strict=True)) for chosen in block]
            titles = [title for words in told for title in self._titles(words, group)]
            texts = self._encoder.encode_texts(titles).reshape(len(block), count, -1)
            for chosen, words in zip(block, texts, strict=True):
                logits[rows_of[chosen]] = vectors[rows_of[chosen]] @ words.T
        weights = np.exp(self._encoder.logit_scale * (logits - logits.max(axis=1, keepdims=True)))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)

    def _titles(self, context: Mapping[str, int], group: str) -> list[str]:
        """One title for each word of the group, equal in all else."""
        groups, phrases = self.vocabulary.groups, self.vocabulary.phrases
        told = {other: phrases[other][groups[other][word]] for other, word in context.items()}
        return [describe(told | {group: phrases[group][word]}) for word in groups[group]]


def best_words(tags: Tags, vocabulary: Vocabulary, row: int) -> dict[str, str]:
    """The likeliest word of each tagged group for one picture."""
    return {group: vocabulary.groups[group][int(values[row].argmax())] for group, values in tags.items()}


def describe(words: Mapping[str, str]) -> str:
    """A shop's title from tags: "men red t-shirt"."""
    order = ("gender", "usage", "length", "colour", "pattern", "sleeve", "neckline", "kind", "print")
    known = [words[group] for group in order if group in words]
    return " ".join([*known, *(word for group, word in words.items() if group not in order)])
