"""Tags that a picture's neighbours agree with: a second opinion that needs no label."""

import numpy as np

from triptych.catalog import nearest
from triptych.encoders import Vectors
from triptych.tagging.tagger import Tags

_NEIGHBOURS = 50
_SHARPNESS = 10.0  # a neighbour that is 0.1 less alike than the nearest counts 1/e of it


def agreed(tags: Tags, vectors: Vectors) -> Tags:
    """Each picture's tags, averaged with those of the pictures most like it, by likeness.

    An encoder's mistakes about single pictures are scattered, and what it sees in a neighbourhood is not.
    `vectors` `(n, d)` are those that were tagged. Where the nearest picture is unlike, the average is over little else
    than the picture itself and a few.
    """
    neighbours, likeness = nearest(vectors, vectors, min(_NEIGHBOURS, len(vectors)))
    weights = np.minimum(1, np.exp(_SHARPNESS * (likeness - likeness[:, 1:2]))).astype(np.float32)
    weights /= weights.sum(axis=1, keepdims=True)
    averaged = {}
    for group, values in tags.items():
        mean = np.zeros_like(values)
        for place in range(weights.shape[1]):  # one neighbour at a time: memory stays that of the tags
            mean += weights[:, place, None] * values[neighbours[:, place]]
        averaged[group] = mean
    return averaged
