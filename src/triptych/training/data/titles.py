"""Texts about titled photos: their titles, and requests for some of the terms in the titles."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych.encoders.lexicon import spellings_of

_FRAMES = ("{}", "in {}", "a {}", "with {}", "this, but {}")
_AT_LEAST = 5  # titles that must contain a term for it to be asked for
_AT_MOST = 0.6  # of the titles; a term in almost all of them distinguishes nothing
_SETS = 3  # of a title's terms
_MOST_SETS = 5000  # of terms, in all


@dataclass(frozen=True)
class TitleTexts:
    """Distinct texts about photos. Each is a title, or asks for one to three terms."""

    texts: list[str]
    title_of: NDArray[np.int64]
    """The row of each photo's title `(n,)`."""
    sets_of: list[NDArray[np.int64]]
    """For each photo, the rows of texts that ask for some of its terms. May be empty."""
    single: NDArray[np.int64]
    """For each term, the rows of texts that ask for it alone, `(terms, frames)`."""
    terms: list[str]
    """The words that enough titles contain, and not almost all."""
    asked: NDArray[np.bool_]
    """Which terms each text asks for, `(texts, terms)`; none for a title."""
    said: NDArray[np.bool_]
    """Which terms each photo's title contains, `(n, terms)`."""


def title_texts(titles: Sequence[str], seed: int) -> TitleTexts:
    """Make the texts to learn titles by. The sets of terms that are asked for follow from the seed."""
    words = [spellings_of(title) for title in titles]
    counts = Counter(word for said in words for word in said)
    most = _AT_MOST * len(titles)
    terms = sorted(word for word, count in counts.items() if _AT_LEAST <= count <= most)
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
        for _ in range(_SETS if len(rows) < _MOST_SETS and len(usable) > 1 else 0):
            size = min(len(usable), int(random.integers(2, 4)))
            chosen = [usable[index] for index in np.sort(random.choice(len(usable), size, replace=False))]
            text = _FRAMES[random.integers(len(_FRAMES))].format(" ".join(known[term] for term in chosen))
            if text not in rows or asked[rows[text]]:  # a title may be spelled so, too
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
