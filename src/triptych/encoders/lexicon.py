"""The words of captions, and how an encoder reads each from a picture alone.

A text tower places whole captions; asked about a single word it answers as if every word were as common as any other.
A lexicon answers with how likely the word is to be said of the picture.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.core.errors import DataError
from triptych.core.files import write_bytes

FILE = "words.safetensors"
_MOST = 0.6  # of a group's words
_AT_LEAST = 8  # captions that say a term, for it to be learnt
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")


def terms_of(text: str) -> set[str]:
    """The words of a text and its pairs of neighbouring words, in lower case."""
    words = _words(text)
    return {*words, *(f"{first} {second}" for first, second in pairwise(words))}


def common_terms(captions: Iterable[str]) -> list[str]:
    """The terms that enough captions say to learn them, in a fixed order."""
    counts = Counter(term for caption in captions for term in terms_of(caption))
    return sorted(term for term, count in counts.items() if count >= _AT_LEAST)


def spelled(text: str) -> dict[str, str]:
    """The words of a text as a lexicon writes them, in order, and how each is spelled there, in lower case."""
    return dict(zip(_words(text), (word.lower() for word in _WORD.findall(text)), strict=True))


def _words(text: str) -> list[str]:
    # Without hyphens: "t-shirt" is also written "tshirt".
    return [word.lower().replace("-", "") for word in _WORD.findall(text)]


class Lexicon:
    """The terms that an encoder can name: a linear map `weight` `(terms, d)`, `bias` `(terms,)` to log-odds."""

    def __init__(self, terms: Sequence[str], weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        self.terms = tuple(terms)
        self.weight = weight
        self.bias = bias
        self._row = {term: row for row, term in enumerate(terms)}

    def knows(self, phrase: str) -> bool:
        """Whether it can name the phrase: a word, or a pair of words, in the singular or the plural."""
        return self._find(phrase) is not None

    def knows_most(self, phrases: Sequence[str]) -> bool:
        """Whether it can name so many of the phrases that the others may count as rare."""
        return sum(map(self.knows, phrases)) >= _MOST * len(phrases)

    def log_odds(self, vectors: NDArray[np.float32], phrases: Sequence[str]) -> NDArray[np.float32]:
        """Of each picture vector `(n, d)`, how likely each phrase is said of it `(n, phrases)`."""
        weight, bias = self.linear(phrases)
        return np.asarray(vectors @ weight.T + bias, np.float32)

    def linear(self, phrases: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The part of the map that names `phrases`: `(phrases, d)` and `(phrases,)`.

        A phrase that it does not know is as unlikely as the rarest that it does: pictures of it were as rare.
        """
        weight = np.zeros((len(phrases), self.weight.shape[1]), np.float32)
        bias = np.full(len(phrases), self.bias.min(), np.float32)
        for place, phrase in enumerate(phrases):
            row = self._find(phrase)
            if row is not None:
                weight[place], bias[place] = self.weight[row], self.bias[row]
        return weight, bias

    def _find(self, phrase: str) -> int | None:
        term = " ".join(_words(phrase))
        for form in (term, term.removesuffix("s"), f"{term}s"):
            if form in self._row:
                return self._row[form]
        return None

    def widened(self, dim: int, scale: float) -> "Lexicon":
        """The same for vectors of length `dim` that begin with this one's vectors times `scale`."""
        wider = np.zeros((len(self.weight), dim), np.float32)
        wider[:, : self.weight.shape[1]] = self.weight / scale
        return Lexicon(self.terms, wider, self.bias)

    def joined(self, other: "Lexicon") -> "Lexicon":
        """This one with those terms of another that it lacks."""
        rows = [row for row, term in enumerate(other.terms) if term not in self._row]
        return Lexicon(
            (*self.terms, *(other.terms[row] for row in rows)),
            np.concatenate([self.weight, other.weight[rows]]),
            np.concatenate([self.bias, other.bias[rows]]),
        )

    def moved(self, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> "Lexicon":
        """The same for vectors from which `weight` `(d, e)` and `bias` `(d,)` lead to this one's."""
        return Lexicon(self.terms, self.weight @ weight, self.bias + self.weight @ bias)

    def save(self, folder: Path) -> None:
        """Write it beside the encoder."""
        from safetensors.numpy import save

        tensors: dict[str, NDArray[Any]] = {
            "weight": self.weight.astype(np.float16),
            "bias": self.bias.astype(np.float32),
        }
        write_bytes(folder / FILE, save(tensors, metadata={"terms": "\n".join(self.terms)}))

    @classmethod
    def load(cls, folder: Path) -> "Lexicon | None":
        """That of an encoder folder; None where it has none. Raises DataError where it is damaged."""
        from safetensors import SafetensorError, safe_open

        path = folder / FILE
        if not path.is_file():
            return None
        try:
            with safe_open(path, "numpy") as file:
                metadata: Mapping[str, str] = file.metadata() or {}
                weight, bias = file.get_tensor("weight"), file.get_tensor("bias")
        except (OSError, SafetensorError) as error:
            raise DataError(f"{path}: not readable ({error}); copy the folder again") from None
        terms = metadata.get("terms", "").split("\n")
        if not len(terms) == len(weight) == len(bias):
            raise DataError(f"{path}: holds {len(weight)} rows for {len(terms)} words; copy the folder again")
        return cls(terms, weight.astype(np.float32), bias.astype(np.float32))
