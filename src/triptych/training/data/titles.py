"""Texts about titled photos: their titles, and requests for some of the terms in the titles."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych.encoders.lexicon import spellings_of

_FRAMES = ("{}", "in {}", "a {}", "with {}", "this, but {}")
_MIN_TITLES = 5  # a term must be in this many titles; rarer ones have too few examples. Not tuned
_MAX_SHARE = 0.6  # a term in a larger share of the titles distinguishes nothing. Not tuned
_SETS_PER_TITLE = 3  # sets of terms drawn from each title. Not tuned
_MAX_SETS = 5000  # distinct sets of terms in all: each becomes a text to encode


@dataclass(frozen=True)
class TitleTexts:
    """Distinct texts about photos. Each is a title, or asks for one to three terms."""

    texts: list[str]
    title_of: NDArray[np.int64]
    """The row of each photo's title `(n,)`."""
    sets_of: list[NDArray[np.int64]]
    """For each photo, the rows of texts that ask for some of its terms; an array may be empty."""
    single: NDArray[np.int64]
    """For each term, the rows of texts that ask for it alone, `(terms, frames)`."""
    terms: list[str]
    """The terms: words in at least 5 titles and in at most 60 % of them."""
    asked: NDArray[np.bool_]
    """Whether each text asks for each term, `(texts, terms)`; a title asks for none."""
    said: NDArray[np.bool_]
    """Whether each photo's title contains each term, `(n, terms)`."""


def title_texts(titles: Sequence[str], seed: int) -> TitleTexts:
    """Make training texts from titles: the titles themselves, and requests for random sets of their terms."""
    words = [spellings_of(title) for title in titles]
    counts = Counter(word for said in words for word in said)
    most = _MAX_SHARE * len(titles)
    terms = sorted(word for word, count in counts.items() if _MIN_TITLES <= count <= most)
    column = {term: place for place, term in enumerate(terms)}
    spelling = {term: spelled_as for said in words for term, spelled_as in said.items() if term in column}
    rows: dict[str, int] = {}
    asked: list[tuple[int, ...]] = []

    def row(text: str, *wanted: int) -> int:
        if text not in rows:
            rows[text] = len(rows)
            asked.append(wanted)
        return rows[text]

    single = [[row(frame.format(spelling[term]), column[term]) for frame in _FRAMES] for term in terms]
    title_of = [row(title) for title in titles]
    random = np.random.default_rng([seed, 7])
    sets_of: list[list[int]] = []
    said = np.zeros((len(titles), len(terms)), np.bool_)
    for place, known in enumerate(words):
        usable = [term for term in known if term in column]
        said[place, [column[term] for term in usable]] = True
        mine = [int(random.choice(single[column[term]])) for term in usable]
        for _ in range(_SETS_PER_TITLE if len(rows) < _MAX_SETS and len(usable) > 1 else 0):
            size = min(len(usable), int(random.integers(2, 4)))
            chosen = [usable[index] for index in np.sort(random.choice(len(usable), size, replace=False))]
            text = _FRAMES[random.integers(len(_FRAMES))].format(" ".join(known[term] for term in chosen))
            if text not in rows or asked[rows[text]]:  # unless it is also a title
                mine.append(row(text, *(column[term] for term in chosen)))
        sets_of.append(mine)
    table = np.zeros((len(rows), len(terms)), np.bool_)
    for place, wanted in enumerate(asked):
        table[place, list(wanted)] = True
    return TitleTexts(
        list(rows),
        np.array(title_of, np.int64),
        [np.array(mine, np.int64) for mine in sets_of],
        np.array(single, np.int64).reshape(len(terms), len(_FRAMES)),
        terms,
        table,
        said,
    )
