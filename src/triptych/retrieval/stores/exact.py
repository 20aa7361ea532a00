"""The default store: a matrix in memory, searched exactly. Suitable for up to about a million pictures."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from triptych.core.vectors import Vectors, nearest
from triptych.retrieval.stores.gallery import Gallery
from triptych.retrieval.stores.protocol import Rows, SearchTerms, StoreHit
from triptych.retrieval.stores.shortlist import Shortlist

_WORTH = 10_000  # vectors from which on a shortlist is faster
_FEW = 0.25  # if the share of allowed rows is below this, only these are scored, without a shortlist
_LONG = 0.25  # if a shortlist has a larger share of the rows, all rows are scored

_State = tuple[Gallery, Vectors, Shortlist | None]


class ExactStore:
    """Vectors `(n, d)` of a gallery's rows. Any thread may search while another one adds or removes pictures."""

    def __init__(self, gallery: Gallery, vectors: Vectors) -> None:
        self._buffer = vectors
        self._state: _State = (gallery, vectors, None)

    @property
    def gallery(self) -> Gallery:
        """The rows that a search now uses."""
        return self._state[0]

    def prepare(self) -> None:
        """Prepare for many searches: they become faster with the same results, and take a quarter more memory."""
        gallery, vectors, shortlist = self._state
        if shortlist is None and len(vectors) >= _WORTH:
            self._state = (gallery, vectors, Shortlist(vectors))

    def search(self, queries: Vectors, terms: Sequence[SearchTerms]) -> list[list[StoreHit]]:
        """See `Store.search`. Equal scores are ordered by row."""
        gallery, vectors, shortlist = self._state
        masks = [gallery.allowed(term) for term in terms]
        if shortlist is not None:
            return _by_shortlist(queries, terms, masks, gallery, vectors, shortlist)
        allowed = masks[0] if len(masks) == 1 else np.stack(masks)
        rows, scores = nearest(queries, vectors, max(term.k for term in terms), allowed=allowed)
        return [_hits(gallery, *found) for found in zip(rows, scores, terms, strict=True)]

    def vector(self, name: str) -> Vectors:
        """See `Store.vector`."""
        gallery, vectors, _ = self._state
        vector: Vectors = vectors[gallery.row_of[name]]
        return vector

    def add(self, rows: Rows) -> None:
        """Append rows. The matrix doubles when it is full, so that not every addition copies it."""
        gallery, vectors, shortlist = self._state
        count = len(vectors) + len(rows.vectors)
        if count > len(self._buffer):
            self._buffer = np.empty((max(2 * len(vectors), count), rows.vectors.shape[1]), np.float32)
            self._buffer[: len(vectors)] = vectors
        # The new rows are beyond the end of what a search in progress reads.
        self._buffer[len(vectors) : count] = rows.vectors
        self._state = (gallery.extended(rows.names, rows.hashes, rows.metadata), self._buffer[:count], shortlist)

    def check(self) -> None:
        """Does nothing, since memory always answers."""

    def remove(self, names: Sequence[str]) -> None:
        """Hide rows. Their space is freed when the catalog is opened again."""
        gallery, vectors, shortlist = self._state
        self._state = (gallery.without(names), vectors, shortlist)


def _by_shortlist(
    queries: Vectors,
    terms: Sequence[SearchTerms],
    masks: Sequence[NDArray[np.bool_]],
    gallery: Gallery,
    vectors: Vectors,
    shortlist: Shortlist,
) -> list[list[StoreHit]]:
    """Find the same rows as `nearest`, by scoring only the shortlist, and rows added since, in full precision."""
    known, later = len(shortlist), np.arange(len(shortlist), len(vectors))
    shares = [np.count_nonzero(mask) / len(mask) for mask in masks]
    short = [place for place, share in enumerate(shares) if share >= _FEW]
    limits = [None if shares[place] == 1 else masks[place][:known] for place in short]
    found = shortlist.candidates(queries[short], limits, [terms[place].k for place in short])
    rows_of = dict(zip(short, found, strict=True))
    answers = []
    for place, (query, term, mask) in enumerate(zip(queries, terms, masks, strict=True)):
        rows = rows_of.get(place)
        if rows is None or len(rows) > _LONG * known:
            best, scores = nearest(query[None], vectors, term.k, allowed=mask)
            answers.append(_hits(gallery, best[0], scores[0], term))
            continue
        rows = np.concatenate([rows, later[mask[known:]]])
        places, scores = nearest(query[None], vectors[rows], term.k)
        answers.append(_hits(gallery, rows[places[0]], scores[0], term))
    return answers


def _hits(gallery: Gallery, rows: NDArray[np.int64], scores: NDArray[np.float32], term: SearchTerms) -> list[StoreHit]:
    return [
        StoreHit(gallery.names[row], float(score))
        for row, score in zip(rows[: term.k].tolist(), scores[: term.k].tolist(), strict=True)
        if score > -np.inf
    ]
