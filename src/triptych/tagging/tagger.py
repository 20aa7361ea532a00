"""Zero-shot tags: how likely each word of the vocabulary is for a picture, by the encoder alone."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from triptych.encoders import Encoder, Vectors
from triptych.tagging.vocabulary import Vocabulary

Tags = Mapping[str, NDArray[np.float32]]
"""Group to probabilities `(n, words)`; each row sums to one."""


class Tagger:
    """Tags pictures with the words of a vocabulary, as CLIP classifies without training (Radford et al. 2021, 3.1)."""

    def __init__(self, encoder: Encoder, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._scale = encoder.logit_scale
        self._words: dict[str, Vectors] = {
            group: encoder.encode_texts([vocabulary.phrases[group][word] for word in words])
            for group, words in vocabulary.groups.items()
        }

    def __call__(self, vectors: Vectors) -> Tags:
        """Tags of picture vectors `(n, d)`."""
        tags = {}
        for group, words in self._words.items():
            logits = self._scale * vectors @ words.T
            weights = np.exp(logits - logits.max(axis=1, keepdims=True))
            tags[group] = np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
        return tags


def best_words(tags: Tags, vocabulary: Vocabulary, row: int) -> dict[str, str]:
    """The likeliest word of each tagged group for one picture."""
    return {group: vocabulary.groups[group][int(values[row].argmax())] for group, values in tags.items()}


def describe(words: Mapping[str, str]) -> str:
    """A shop's title from tags: "men red t-shirt"."""
    order = ("gender", "usage", "length", "colour", "pattern", "sleeve", "neckline", "kind", "print")
    known = [words[group] for group in order if group in words]
    return " ".join([*known, *(word for group, word in words.items() if group not in order)])
