"""What can be measured about a group of words without labels: which words the pictures show, how confident tags are.

There are two opinions. The first is another phrasing of the same words; the second is a picture's nearest
neighbours, which mostly show what the picture shows. Where a picture's tag in one phrasing and its neighbours' tags in
the other agree, the tag is right about as often (measured in docs/concepts/tags.md). Agreement between two classifiers
as an estimate of their accuracy is from Jiang et al., Assessing Generalization of SGD via Disagreement, ICLR 2022.
"""

import numpy as np
from numpy.typing import NDArray

from triptych.core.vectors import Vectors, nearest, unit

Scores = NDArray[np.float32]
"""Logarithms of probabilities up to a constant, or probabilities, `(n, words)`."""

Labels = NDArray[np.int64]

NEIGHBOURS = 5
_SHARES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the frequencies alone in a prediction
_RANGE = (0.02, 50.0)  # range of the factor that corrects a temperature
_LEAST_COUNT, _LEAST_SHARE = 2.0, 0.002  # pictures that must show a word
_PRIOR = 20.0  # pseudo-counts: the frequencies among all pictures count as so many pictures of a kind
_APART = 0.3  # agreement beyond chance from which a narrower word counts as distinguished from its family


def neighbours_of(vectors: Vectors) -> Labels:
    """The rows of each picture's nearest neighbours, `(n, k)`.

    The mean is subtracted from the vectors first, since an encoder may give all pictures a large part in common.
    """
    centred = unit(vectors - vectors.mean(axis=0))
    count = min(NEIGHBOURS, len(vectors) - 1)
    rows, _ = nearest(centred, centred, count + 1)
    # A copy of a picture may come before the picture itself.
    others = rows != np.arange(len(rows))[:, None]
    others[others.all(axis=1), -1] = False
    return np.asarray(rows[others], np.int64).reshape(len(rows), count)


def softmax(scores: Scores) -> Scores:
    """The softmax of each row, `(n, words)`."""
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def words_shown(first: Scores, second: Scores) -> NDArray[np.bool_]:
    """Find the words that pictures show. Returns a mask `(words,)`, from the scores `(n, words)` of two phrasings.

    A word's mean over the pictures is subtracted first: of hundreds of words, some are near everything (Dinu et al.
    2015 on hubs). A word counts if it is then the likeliest one of a few pictures in both phrasings.
    """
    likeliest = (first - first.mean(axis=0)).argmax(axis=1)
    same = likeliest == (second - second.mean(axis=0)).argmax(axis=1)
    counts = np.bincount(likeliest[same], minlength=first.shape[1])
    return np.asarray(counts >= least_pictures(len(first)), np.bool_)


def least_pictures(count: int) -> float:
    """How many of `count` pictures must show a word to be above chance."""
    return _LEAST_COUNT + _LEAST_SHARE * count


def merged(values: Scores, columns: Labels) -> Scores:
    """Add up the probabilities `(n, words)` of words that share a column, to `(n, columns)`."""
    sums = np.zeros((len(values), int(columns.max()) + 1), np.float32)
    np.add.at(sums.T, columns, values.T)
    return sums


def spread(cosines: Scores) -> float:
    """How much cosines `(n, words)` vary beyond the means of each picture and each word: a root mean square."""
    rows, columns = cosines.mean(axis=1, keepdims=True), cosines.mean(axis=0, keepdims=True)
    return float(np.sqrt(np.square(cosines - rows - columns + cosines.mean()).mean()))


def agreement(first: Labels, second: Labels, neighbours: Labels) -> float:
    """How often a picture's label in one phrasing is that of a neighbour in the other, from 0 to 1."""
    return float((first[:, None] == second[neighbours]).mean() + (second[:, None] == first[neighbours]).mean()) / 2


def fit_scale(scores: Scores, columns: Labels, confidence: float) -> float:
    """The factor on scores with which the likeliest column has the probability `confidence` on average."""
    low, high = _RANGE
    for _ in range(16):
        middle = float(np.sqrt(low * high))
        mean = merged(softmax(middle * scores), columns).max(axis=1).mean()
        low, high = (low, middle) if mean > confidence else (middle, high)
    return middle


def information(values: Scores, labels: Labels, neighbours: Labels, kinds: Labels | None = None) -> float:
    """The information, in nats, of probabilities `(n, words)` about the neighbours' `labels` `(n,)`.

    A lower estimate of the mutual information between picture and word: the mean logarithm of how many times as
    probable a neighbour's label is by the picture as by its frequency alone. Since neighbours do differ, the best
    possible share of the frequencies is mixed in. It is zero for tags that have nothing to do with the pictures.

    Args:
        values: probabilities of the words.
        labels: the likeliest word of each picture in another phrasing.
        neighbours: rows of each picture's nearest others, `(n, k)`.
        kinds: what each picture is of, `(n,)`. With it, frequencies are those among pictures of the same kind: what
            follows from the kind alone, as denim does from jeans, is no information.
    """
    found = labels[neighbours]
    probability = np.take_along_axis(values / values.sum(axis=1, keepdims=True), found, axis=1)
    if kinds is None:
        kinds = np.zeros(len(labels), np.int64)
    times = probability / _frequencies(labels, kinds, values.shape[1])[kinds[:, None], found]
    return max(float(np.log(share + (1 - share) * times).mean()) for share in _SHARES)


def _frequencies(labels: Labels, kinds: Labels, words: int) -> NDArray[np.float64]:
    """How frequent each word is among pictures of each kind `(kinds, words)`; of rare kinds, nearly as among all."""
    counts = np.zeros((int(kinds.max()) + 1, words))
    np.add.at(counts, (kinds, labels), 1)
    overall = counts.sum(axis=0) / len(labels)
    return np.asarray((counts + _PRIOR * overall) / (counts.sum(axis=1, keepdims=True) + _PRIOR))


def distinguished(labels: Labels, families: Labels, neighbours: Labels) -> NDArray[np.bool_]:
    """Which words `(words,)` are distinguished from others of their family, by the pictures' labels `(n,)`.

    A word is, if the neighbours of its pictures show it more often than by chance, among neighbours of the family
    (Cohen's kappa). `families` `(words,)` has each word's family.
    """
    apart = np.zeros(len(families), bool)
    nearby = labels[neighbours]
    for word in np.unique(labels):
        own, family = labels == word, families == families[word]
        within = nearby[own][family[nearby[own]]]
        share = own.sum() / max(1, family[labels].sum())
        if len(within) and own.sum() >= least_pictures(len(labels)) and share < 1:
            apart[word] = ((within == word).mean() - share) / (1 - share) >= _APART
    return apart
