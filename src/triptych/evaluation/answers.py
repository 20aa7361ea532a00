"""A method's ranking of the gallery for each query: by vectors, by scores, or with the first answers reordered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from triptych.composers.protocol import Fused
from triptych.core.vectors import Vectors, nearest
from triptych.metrics.ranking import Rows, RowsLike, ranks_of_targets
from triptych.metrics.scored import best_by_scores, ranks_after, ranks_by_scores

Lists = Sequence[Rows]
"""Rows of the gallery for each query, ascending."""
Closed = Sequence[Rows | None]
"""The rows that are ranked for each query; None for all."""


class Answers(Protocol):
    """A method's ranking of the gallery for each query of a task."""

    def ranks(self, targets: Lists, excluded: Lists, candidates: Closed) -> list[Rows]:
        """The ascending ranks of each query's targets, as in `metrics.ranking.ranks_of_targets`."""
        ...

    def best(self, k: int, excluded: Lists, candidates: Closed) -> list[Rows]:
        """The `k` best rows for each query, best first. Equal scores are in the gallery's order."""
        ...


@dataclass(frozen=True)
class VectorAnswers:
    """Ranks by inner products of query vectors `(n, e)` and gallery vectors `(m, e)`."""

    queries: Vectors
    gallery: Vectors

    def ranks(self, targets: Lists, excluded: Lists, candidates: Closed) -> list[Rows]:
        """See `Answers.ranks`."""
        return ranks_of_targets(self.queries, self.gallery, targets, excluded, candidates)

    def best(self, k: int, excluded: Lists, candidates: Closed) -> list[Rows]:
        """See `Answers.best`."""
        most = max(map(len, excluded), default=0)
        found: list[Rows] = list(nearest(self.queries, self.gallery, k + most)[0])
        for number, rows in enumerate(candidates):
            if rows is not None:
                places, _ = nearest(self.queries[number : number + 1], self.gallery[rows], k + most)
                found[number] = rows[places[0]]
        return [rows[~np.isin(rows, out)][:k] for rows, out in zip(found, excluded, strict=True)]


class ScoreAnswers:
    """Ranks by a method's scores of queries over a gallery. A query is a reference vector and a text vector, `(n, d)`
    each."""

    def __init__(self, fused: Fused, references: Vectors, texts: Vectors) -> None:
        self._fused = fused
        self._references = references
        self._texts = texts

    def scores(self, start: int, stop: int) -> NDArray[np.float64]:
        """Compute the scores `(stop - start, m)` of some queries."""
        return self._fused(self._references[start:stop], self._texts[start:stop])

    def ranks(self, targets: Lists, excluded: Lists, candidates: Closed) -> list[Rows]:
        """See `Answers.ranks`."""
        return ranks_by_scores(self.scores, targets, excluded, candidates)

    def best(self, k: int, excluded: Lists, candidates: Closed) -> list[Rows]:
        """See `Answers.best`."""
        return [
            best_by_scores(self.scores(number, number + 1)[0], k, out, allowed)
            for number, (out, allowed) in enumerate(zip(excluded, candidates, strict=True))
        ]


@dataclass(frozen=True)
class Reordered:
    """Another ranking, with each query's first answers reordered."""

    before: Answers
    first: Lists
    """For each query the first rows of the other ranking, in their new order."""

    def ranks(self, targets: Lists, excluded: Lists, candidates: Closed) -> list[Rows]:
        """See `Answers.ranks`."""
        ranks = self.before.ranks(targets, excluded, candidates)
        return ranks_after(self.first, ranks, targets, excluded, candidates)

    def best(self, k: int, excluded: Lists, candidates: Closed) -> list[Rows]:
        """See `Answers.best`."""
        found = []
        lists = zip(self.first, self.before.best(k, excluded, candidates), excluded, candidates, strict=True)
        for order, rows, out, allowed in lists:
            left = order[~np.isin(order, out)]
            if allowed is not None:
                left = left[np.isin(left, allowed)]
            found.append(np.concatenate([left, rows[~np.isin(rows, left)]])[:k])
        return found


def excluding(excluded: Lists, more: Sequence[RowsLike]) -> list[Rows]:
    """Add rows to each query's excluded rows. Returns them ascending."""
    return [np.union1d(out, np.asarray(rows, np.int64)) for out, rows in zip(excluded, more, strict=True)]
