"""Tags of a catalog's pictures: restricted to words that they show, calibrated, and smoothed over neighbours."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych.core.cluster import HERE, Workers
from triptych.core.errors import FailureError
from triptych.core.neighbours import nearest_of_each
from triptych.core.progress import say
from triptych.core.vectors import Vectors, unit
from triptych.encoders.protocol import Encoder
from triptych.tagging.tagger import GroupReport, Tagger, Tags
from triptych.tagging.vocabulary import Vocabulary

_NEIGHBOURS = 10
_SHARPNESS = 10.0  # a neighbour whose cosine is 0.1 below the nearest one's has 1/e of its weight
_MOST = 3.0  # largest total weight of the neighbours; the picture itself has weight 1
_WORDS = 6  # words of a group named in one line of output


@dataclass(frozen=True)
class TaggedPictures:
    """The tags of pictures, and the words that they are in."""

    tags: Tags
    """The probabilities `(n, words)` of each group that is kept."""
    vocabulary: Vocabulary
    """The groups and words of the tags."""
    reports: tuple[GroupReport, ...]
    """A report about each group; empty for fewer than twenty pictures, for which all groups are kept."""


def tag_pictures(vectors: Vectors, encoder: Encoder, words: Vocabulary, workers: Workers = HERE) -> TaggedPictures:
    """Tag pictures by their vectors `(n, d)`, with those of the `words` that the pictures show.

    `workers` find the neighbours of every picture.

    Raises:
        FailureError: no group of words has information about the pictures.
    """
    tagger = Tagger(encoder, words, vectors)
    if not tagger.vocabulary.groups:
        raise FailureError(
            "the encoder finds no word of the vocabulary in these pictures; use words for what they show, "
            "or an encoder of such pictures"
        )
    tags = tagger(vectors)
    # What the encoder can name it knows better than a picture's neighbours do.
    guesses = {group: values for group, values in tags.items() if group not in tagger.named}
    guessed = smooth_tags(guesses, vectors, workers)
    return TaggedPictures({group: guessed.get(group, tags[group]) for group in tags}, tagger.vocabulary, tagger.reports)


def report_tags(reports: tuple[GroupReport, ...]) -> None:
    """Print one line about each group."""
    for report in reports:
        say(f"mine: {describe(report)}")


def describe(report: GroupReport) -> str:
    """A group's line: its words, the confidence of its tags, and what was dropped; or why it is left out."""
    if report.reason:
        return f"{report.group}: left out, {report.reason}"
    named = ", ".join(report.words[:_WORDS]) + (", …" if len(report.words) > _WORDS else "")
    beside = [
        f"{count} {what}"
        for count, what in (
            (len(report.merged), "not distinguished from a broader one"),
            (len(report.not_shown), "not shown"),
        )
        if count
    ]
    rest = f"; of the others {' and '.join(beside)}" if beside else ""
    figures = f"{report.agreement:.0%} of neighbours agree, {report.information:.2f} nats"
    if report.beyond_kind is not None:
        figures += f" ({report.beyond_kind:.2f} beyond the kind)"
    return f"{report.group}: {len(report.words)} words ({named}); {figures}{rest}"


def smooth_tags(tags: Tags, vectors: Vectors, workers: Workers = HERE) -> dict[str, NDArray[np.float32]]:
    """Average each picture's tags with those of the most similar pictures, weighted by similarity.

    An encoder's mistakes about single pictures are scattered, and what it finds in a neighbourhood is not. The more
    often neighbours share a word of a group, the more they count: colours differ among the nearest pictures, kinds
    hardly do. An average is flatter than its parts, so each group is sharpened until its average confidence is
    as before. `vectors` `(n, d)` are those that were tagged.
    """
    if not tags or len(vectors) < 2:  # finding neighbours is slow, and there is nothing to average
        return dict(tags)
    centred = unit(vectors - vectors.mean(axis=0))  # an encoder may give all pictures a large part in common
    neighbours, similarity = nearest_of_each(centred, min(_NEIGHBOURS + 1, len(vectors)), workers)
    weights = np.minimum(1, np.exp(_SHARPNESS * (similarity - similarity[:, 1:2]))).astype(np.float32)
    weights[neighbours == np.arange(len(neighbours))[:, None]] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    return {group: _smoothed(values, neighbours, weights) for group, values in tags.items()}


def _smoothed(
    values: NDArray[np.float32], neighbours: NDArray[np.int64], weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """One group's tags `(n, words)`, averaged with those of the neighbours."""
    mean, likeliest, same = np.zeros_like(values), values.argmax(axis=1), 0.0
    for place in range(weights.shape[1]):  # one neighbour at a time: memory stays that of the tags
        mean += weights[:, place, None] * values[neighbours[:, place]]
        same += float((weights[:, place] * (likeliest[neighbours[:, place]] == likeliest)).mean())
    weight_of_others = min(_MOST, 0.5 * same / max(1 - same, 1e-6))
    averaged = (values + weight_of_others * mean) / (1 + weight_of_others)
    return _sharpened(averaged.astype(np.float32), sureness=float(values.max(axis=1).mean()))


def _sharpened(values: NDArray[np.float32], sureness: float) -> NDArray[np.float32]:
    """Tags `(n, words)` to the power at which the likeliest word has probability
    `sureness` on average. Sums stay the same."""
    sums = values.sum(axis=1, keepdims=True)
    logarithms = np.log(np.maximum(values, 1e-9))
    low, high = 1.0, 16.0
    for _ in range(12):
        power = (low + high) / 2
        sharper = np.exp(power * (logarithms - logarithms.max(axis=1, keepdims=True)))
        sharper *= sums / sharper.sum(axis=1, keepdims=True)
        low, high = (low, power) if sharper.max(axis=1).mean() > sureness else (power, high)
    return np.asarray(sharper, np.float32)


def summary(reports: tuple[GroupReport, ...]) -> Mapping[str, Mapping[str, object]]:
    """For a file's note: the words of each group, or why it is left out."""
    return {
        one.group: {"left out": one.reason}
        if one.reason
        else {
            "words": list(one.words),
            "merged": dict(one.merged),
            "not shown": list(one.not_shown),
            "agreement": one.agreement,
            "information": one.information,
            "beyond kind": one.beyond_kind,
        }
        for one in reports
    }
