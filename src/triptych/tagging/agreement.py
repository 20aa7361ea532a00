"""Tags that a picture's neighbours agree with: a second opinion that needs no label."""

import numpy as np
from numpy.typing import NDArray

from triptych.catalog import nearest
from triptych.encoders import Vectors
from triptych.tagging.tagger import Tags

_NEIGHBOURS = 50
_SHARPNESS = 10.0  # a neighbour that is 0.1 less alike than the nearest counts 1/e of it


def agreed(tags: Tags, vectors: Vectors) -> dict[str, NDArray[np.float32]]:
    """Each picture's tags, averaged with those of the pictures most like it, by likeness.

    An encoder's mistakes about single pictures are scattered, and what it sees in a neighbourhood is not. An average is
    flatter than what it is made of, so each group is sharpened until it is as sure, on average, as it was.
    `vectors` `(n, d)` are those that were tagged.
    """
    if not tags:  # finding neighbours takes a while
        return {}
    neighbours, likeness = nearest(vectors, vectors, min(_NEIGHBOURS, len(vectors)))
    weights = np.minimum(1, np.exp(_SHARPNESS * (likeness - likeness[:, 1:2]))).astype(np.float32)
    weights /= weights.sum(axis=1, keepdims=True)
    averaged = {}
    for group, values in tags.items():
        mean = np.zeros_like(values)
        for place in range(weights.shape[1]):  # one neighbour at a time: memory stays that of the tags
            mean += weights[:, place, None] * values[neighbours[:, place]]
        averaged[group] = _sharpened(mean, sureness=float(values.max(axis=1).mean()))
    return averaged


def _sharpened(values: NDArray[np.float32], sureness: float) -> NDArray[np.float32]:
    """Probabilities `(n, words)` to the power at which the likeliest word of a row has `sureness` in the mean."""
    logarithms = np.log(np.maximum(values, 1e-9))
    low, high = 1.0, 16.0
    for _ in range(12):
        power = (low + high) / 2
        sharper = np.exp(power * (logarithms - logarithms.max(axis=1, keepdims=True)))
        sharper /= sharper.sum(axis=1, keepdims=True)
        low, high = (low, power) if sharper.max(axis=1).mean() > sureness else (power, high)
    return np.asarray(sharper, np.float32)
