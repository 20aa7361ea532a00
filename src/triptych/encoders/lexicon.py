"""A lexicon: how likely a caption of a picture contains each of many words, from the picture's vector alone.

A text tower encodes whole captions. For a single word its similarity ignores how common the word is. A lexicon also
learns how common each word is.
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
_MOST = 0.6  # the share of a group's words that a lexicon must have to be used for the group; not tuned
_AT_LEAST = 8  # a term is learnt if this many captions contain it; not tuned
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")


def terms_of(text: str) -> set[str]:
    """The words of a text and its pairs of neighbouring words, in lower case."""
    words = _words(text)
    return {*words, *(f"{first} {second}" for first, second in pairwise(words))}


def common_terms(captions: Iterable[str]) -> list[str]:
    """The terms that enough captions contain to be learnt, in a fixed order."""
    counts = Counter(term for caption in captions for term in terms_of(caption))
    return sorted(term for term, count in counts.items() if count >= _AT_LEAST)


def spellings_of(text: str) -> dict[str, str]:
    """The words of a text, in order, as a lexicon writes them, each with its spelling in the text in lower case."""
    return dict(zip(_words(text), (word.lower() for word in _WORD.findall(text)), strict=True))


def _words(text: str) -> list[str]:
    # Hyphens are removed, since "t-shirt" is also written "tshirt".
    return [word.lower().replace("-", "") for word in _WORD.findall(text)]


class Lexicon:
    """The terms that an encoder can name: a linear map, `weight` `(terms, d)` and `bias` `(terms,)`, to log-odds."""

    def __init__(self, terms: Sequence[str], weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        self.terms = tuple(terms)
        self.weight = weight
        self.bias = bias
        self._row = {term: row for row, term in enumerate(terms)}

    def knows(self, phrase: str) -> bool:
        """Whether the lexicon has a phrase: a word or a pair of words, in the singular or the plural."""
        return self._find(phrase) is not None

    def knows_most(self, phrases: Sequence[str]) -> bool:
        """Whether the lexicon has enough of the phrases to treat the others as rare."""
        return sum(map(self.knows, phrases)) >= _MOST * len(phrases)

    def log_odds(self, vectors: NDArray[np.float32], phrases: Sequence[str]) -> NDArray[np.float32]:
        """Log-odds `(n, phrases)` that a caption of each picture, by vectors `(n, d)`, contains each phrase."""
        weight, bias = self.linear(phrases)
        return np.asarray(vectors @ weight.T + bias, np.float32)

    def linear(self, phrases: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The rows of the map for `phrases`: weights `(phrases, d)` and biases `(phrases,)`.

        An unknown phrase gets the lowest bias of the known ones, since it was at least as rare.
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
        """The same lexicon for vectors of length `dim` whose first components are this lexicon's vectors times
        `scale`."""
        wider = np.zeros((len(self.weight), dim), np.float32)
        wider[:, : self.weight.shape[1]] = self.weight / scale
        return Lexicon(self.terms, wider, self.bias)

    def joined(self, other: "Lexicon") -> "Lexicon":
        """Add the missing terms of another lexicon."""
        rows = [row for row, term in enumerate(other.terms) if term not in self._row]
        return Lexicon(
            (*self.terms, *(other.terms[row] for row in rows)),
            np.concatenate([self.weight, other.weight[rows]]),
            np.concatenate([self.bias, other.bias[rows]]),
        )

    def moved(self, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> "Lexicon":
        """The same lexicon for other vectors `(e,)`, which `weight` `(d, e)` and `bias` `(d,)` map to this one's."""
        return Lexicon(self.terms, self.weight @ weight, self.bias + self.weight @ bias)

    def save(self, folder: Path) -> None:
        """Write the lexicon to an encoder folder."""
        from safetensors.numpy import save

        tensors: dict[str, NDArray[Any]] = {
            "weight": self.weight.astype(np.float16),
            "bias": self.bias.astype(np.float32),
        }
        write_bytes(folder / FILE, save(tensors, metadata={"terms": "\n".join(self.terms)}))

    @classmethod
    def load(cls, folder: Path) -> "Lexicon | None":
        """Read the lexicon of an encoder folder; None if the folder has none.

        Raises:
            DataError: the file is damaged.
        """
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
