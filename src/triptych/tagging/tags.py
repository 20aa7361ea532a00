"""Tags that a picture's neighbours agree with: a second opinion that needs no label."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from triptych.core.errors import FailureError
from triptych.core.progress import say
from triptych.core.vectors import Vectors, nearest
from triptych.encoders.protocol import Encoder
from triptych.tagging.tagger import Tagger, Tags, is_shown
from triptych.tagging.vocabulary import Vocabulary

_NEIGHBOURS = 50
_SHARPNESS = 10.0  # a neighbour that is 0.1 less alike than the nearest counts 1/e of it


def smooth_tags(tags: Tags, vectors: Vectors) -> dict[str, NDArray[np.float32]]:
    """Each picture's tags, averaged with those of the pictures most like it, by similarity.

    An encoder's mistakes about single pictures are scattered, and what it sees in a neighbourhood is not. An average is
    flatter than what it is made of, so each group is sharpened until it is as sure, on average, as it was.
    `vectors` `(n, d)` are those that were tagged.
    """
    if not tags:  # finding neighbours takes a while
        return {}
    neighbours, similarity = nearest(vectors, vectors, min(_NEIGHBOURS, len(vectors)))
    weights = np.minimum(1, np.exp(_SHARPNESS * (similarity - similarity[:, 1:2]))).astype(np.float32)
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


_DECISIVE = 0.4  # least mean probability of the likeliest word, for a group to be used


_DECISIVE_BY_NAME = 0.25  # the same where it was learnt, and not guessed with more certainty than there is


def tag_pictures(vectors: Vectors, encoder: Encoder, words: Vocabulary) -> Tags:
    """Tags of pictures by their vectors `(n, d)`, of the groups that the encoder can tell apart.

    Raises FailureError where there is none.
    """
    tagger = Tagger(encoder, words)
    tags = tagger(vectors)
    groups = reliable_groups(tags, tagger.named)
    # What the encoder can name it knows better than a picture's neighbours do.
    guessed = smooth_tags({name: tags[name] for name in groups if name not in tagger.named}, vectors)
    return {name: guessed.get(name, tags[name]) for name in groups}


def reliable_groups(tags: Tags, named: Collection[str] = ()) -> tuple[str, ...]:
    """The groups that the encoder can tell apart on the pictures that show them; `named` are those it learnt to name.

    Raises FailureError where there is none.
    """
    shown = {group: values[is_shown(values)] for group, values in tags.items()}
    sure = {group: float(values.max(axis=1).mean()) if len(values) else 0.0 for group, values in shown.items()}
    least = {group: _DECISIVE_BY_NAME if group in named else _DECISIVE for group in sure}
    kept = tuple(group for group, mean in sure.items() if mean >= least[group])
    for group in (name for name in sure if name not in kept):
        say(f"mine: leaving out {group!r}: the encoder is not sure of its words ({sure[group]:.2f} on average)")
    if not kept:
        raise FailureError("mine: the encoder is not sure of any group of the vocabulary; use words of these pictures")
    return kept
