"""Describe the difference of two pictures by attribute tags, for the search page."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event, Lock
from time import perf_counter
from typing import Any, cast

import numpy as np

from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Encoder
from triptych.tagging.tagger import Tagger
from triptych.tagging.vocabulary import Vocabulary

_BLOCK = 256  # texts encoded at once; between blocks other requests can run
_CONFIDENT = 0.5  # the least probability of an unchanged word, in both pictures; not tuned
_CHANGED = 0.7  # the same for changed words: higher, since a wrong change misleads more than a missing one. Not tuned


class TagComparison:
    """Compares two pictures by the attribute tags that the encoder assigns to them. Thread-safe.

    The first comparison takes seconds: it encodes the vocabulary's texts and selects the words that the catalog's
    pictures show. `prepare` does this in advance.
    """

    def __init__(self, encoder: Encoder, vocabulary: Vocabulary, some_vectors: Callable[[], Vectors]) -> None:
        """`some_vectors` returns vectors `(n, d)` of pictures of the catalog. It is called once, when first needed."""
        self._encoder = encoder
        self._vocabulary = vocabulary
        self._some_vectors = some_vectors
        self._tagger: Tagger | None = None
        self._one_by_one = Lock()
        self._wanted = Event()
        self._ended = Event()

    def prepare(self) -> None:
        """Encode the texts in advance. It pauses half of the time for other requests, unless a comparison waits."""
        with suppress(_Ended), self._one_by_one:
            self._made()

    def _made(self) -> Tagger:
        if self._tagger is None:
            encoder = cast(Encoder, _InBlocks(self._encoder, self._give_way))
            self._tagger = Tagger(encoder, self._vocabulary, self._some_vectors())
        return self._tagger

    def end(self) -> None:
        """Make `prepare` stop soon."""
        self._ended.set()

    def _give_way(self, seconds: float) -> None:
        if not self._wanted.is_set():
            self._ended.wait(seconds)
        if self._ended.is_set():
            raise _Ended

    def __call__(self, reference: Vectors, result: Vectors) -> dict[str, list[dict[str, Any]]]:
        """Compare two pictures by their vectors `(d,)`.

        Returns:
            The `changed` and the `kept` tags, in descending order of confidence. A changed attribute is left out if one
            of its words has a probability below 0.7 in its picture, and an unchanged one below 0.5.
        """
        self._wanted.set()
        with self._one_by_one:
            tagger = self._made()
            tags = tagger(np.stack([reference, result]))
        tags_of: dict[str, list[dict[str, Any]]] = {"changed": [], "kept": []}
        for group, values in tags.items():
            words: Sequence[str] = tagger.vocabulary.groups[group]
            before, after = (int(row.argmax()) for row in values)
            confidence = float(min(values[0][before], values[1][after]))
            if confidence >= (_CONFIDENT if before == after else _CHANGED):
                tag = {
                    "attribute": group,
                    "before": words[before],
                    "after": words[after],
                    "confidence": round(confidence, 3),
                }
                tags_of["kept" if before == after else "changed"].append(tag)
        return {kind: sorted(found, key=lambda tag: -tag["confidence"]) for kind, found in tags_of.items()}


class _Ended(Exception):
    """The service is ending, so the texts are not needed."""


class _InBlocks:
    """An encoder that encodes texts in small blocks. After each block, `pause` is called with its seconds."""

    def __init__(self, encoder: Encoder, pause: Callable[[float], None]) -> None:
        self._encoder = encoder
        self._pause = pause
        self.logit_scale = encoder.logit_scale
        self.lexicon = encoder.lexicon

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        blocks = []
        for start in range(0, len(texts), _BLOCK):
            started = perf_counter()
            blocks.append(self._encoder.encode_texts(texts[start : start + _BLOCK]))
            if start + _BLOCK < len(texts):
                self._pause(perf_counter() - started)
        return np.concatenate(blocks) if blocks else self._encoder.encode_texts(texts)
