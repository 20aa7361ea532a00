"""Vectors of modifications in which what they exclude is subtracted from what they want."""

from collections.abc import Callable, Sequence

import numpy as np

from triptych.composers.negation import wishes_of
from triptych.core.vectors import Vectors

UNWANTED = 0.6
"""How much of an unwanted text is subtracted.

Chosen on val queries of closet and fashion-products (`bench/negation.py`): with 0.5 an eighth of the first ten answers
still show an excluded colour, with 1 answers lose the reference.
"""


def signed_vectors(texts: Sequence[str], encode: Callable[[Sequence[str]], Vectors]) -> Vectors:
    """Vectors `(n, d)` of modifications: what each wants, less a share of what it does not want.

    A text that excludes nothing has the vector that `encode` gives it; others are of another length than one.

    Args:
        texts: the modifications.
        encode: makes unit vectors `(n, d)` of texts.
    """
    wishes = [wishes_of(text) for text in texts]
    if not any(one.unwanted for one in wishes):
        return encode(texts)
    pieces = list(dict.fromkeys(piece for one in wishes for piece in (*one.wanted, *one.unwanted)))
    vectors = encode(pieces)
    row_of = {piece: row for row, piece in enumerate(pieces)}
    signed = np.zeros((len(texts), vectors.shape[1]), np.float32)
    for row, one in enumerate(wishes):
        for piece in one.wanted:
            signed[row] += vectors[row_of[piece]]
        if one.unwanted:
            signed[row] -= UNWANTED * vectors[[row_of[piece] for piece in one.unwanted]].mean(axis=0)
    return signed
