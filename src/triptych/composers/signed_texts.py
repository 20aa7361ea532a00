"""Vectors of modifications: what they want, minus a share of what they exclude."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from triptych.composers.negation import absence_of, signed_phrases
from triptych.core.vectors import Vectors, unit

UNWANTED = 0.6
"""The share of an unwanted text's vector that is subtracted.

Chosen on val queries of closet and fashion-products (`bench/negation.py`): with 0.5, an eighth of the first ten answers
still show an excluded colour; with 1, answers are no longer similar to the reference.
"""


@dataclass(frozen=True)
class SignedTexts:
    """Wanted texts, each with a weight above 0, and unwanted phrases.

    Phrases that a text itself excludes ("red, without stripes") also count as unwanted phrases.
    """

    texts: tuple[tuple[str, float], ...]
    unwanted: tuple[str, ...] = ()

    @property
    def all_unwanted(self) -> tuple[str, ...]:
        """All unwanted phrases, including those in the texts."""
        return (*(phrase for text, _ in self.texts for phrase in signed_phrases(text).unwanted), *self.unwanted)

    @property
    def wanted(self) -> tuple[tuple[str, float], ...]:
        """The wanted phrases of the texts, with weights that add up to one."""
        total = sum(weight for _, weight in self.texts)
        return tuple((phrase, weight / total) for text, weight in self.texts for phrase in signed_phrases(text).wanted)

    @property
    def absences(self) -> tuple[str, ...]:
        """Words for the absence of the given unwanted phrases, such as "sleeveless"."""
        return tuple(absence for phrase in self.unwanted if (absence := absence_of(phrase)))


def signed_vectors(texts: Sequence[str], encode: Callable[[Sequence[str]], Vectors]) -> Vectors:
    """Compute vectors `(n, d)` of modifications: what each wants, minus a share of what it excludes.

    A text that excludes nothing has the vector that `encode` returns. Other vectors do not have length one.

    Args:
        texts: the modifications.
        encode: makes unit vectors `(n, d)` of texts.
    """
    return combined_vectors([SignedTexts(((text, 1.0),)) for text in texts], encode)


def combined_vectors(modifications: Sequence[SignedTexts], encode: Callable[[Sequence[str]], Vectors]) -> Vectors:
    """Compute vectors `(n, d)` of modifications of several texts: their weighted mean, minus a share of the unwanted.

    The mean of several texts is normalised, so that it has the same weight against a picture as one text.

    Args:
        modifications: wanted texts and unwanted phrases.
        encode: makes unit vectors `(n, d)` of texts.
    """
    plain = [one.texts[0][0] for one in modifications if len(one.texts) == 1 and not one.all_unwanted]
    if len(plain) == len(modifications):
        return encode(plain)
    wanted, absences = [one.wanted for one in modifications], [one.absences for one in modifications]
    unwanted = [one.all_unwanted for one in modifications]
    pieces = list(
        dict.fromkeys(
            piece
            for row in range(len(modifications))
            for piece in (*(phrase for phrase, _ in wanted[row]), *absences[row], *unwanted[row])
        )
    )
    vectors = encode(pieces)
    row_of = {piece: row for row, piece in enumerate(pieces)}
    signed = np.zeros((len(modifications), vectors.shape[1]), np.float32)
    for row, one in enumerate(modifications):
        for piece, weight in wanted[row]:
            signed[row] += np.float32(weight) * vectors[row_of[piece]]
        if len(one.texts) > 1:
            signed[row] = unit(signed[row])
        for piece in absences[row]:
            signed[row] += vectors[row_of[piece]]
        if unwanted[row]:
            signed[row] -= UNWANTED * vectors[[row_of[piece] for piece in unwanted[row]]].mean(axis=0)
    return signed
