"""The default store: a matrix in memory, searched exactly. Suitable for up to about a million pictures."""

from collections.abc import Sequence

import numpy as np

from triptych.core.vectors import Vectors, nearest
from triptych.retrieval.stores.gallery import Gallery
from triptych.retrieval.stores.protocol import Rows, SearchTerms, StoreHit


class ExactStore:
    """Vectors `(n, d)` of a gallery's rows. Any thread may search while another one adds or removes pictures."""

    def __init__(self, gallery: Gallery, vectors: Vectors) -> None:
        self._buffer = vectors
        self._state = (gallery, vectors)

    @property
    def gallery(self) -> Gallery:
        """The rows that a search now uses."""
        return self._state[0]

    def search(self, queries: Vectors, terms: Sequence[SearchTerms]) -> list[list[StoreHit]]:
        """See `Store.search`. Equal scores are ordered by row."""
        gallery, vectors = self._state
        masks = [gallery.allowed(term) for term in terms]
        allowed = masks[0] if len(masks) == 1 else np.stack(masks)
        rows, scores = nearest(queries, vectors, max(term.k for term in terms), allowed=allowed)
        return [
            [
                StoreHit(gallery.names[row], float(score))
                for row, score in zip(best[: term.k].tolist(), values[: term.k].tolist(), strict=True)
                if score > -np.inf
            ]
            for best, values, term in zip(rows, scores, terms, strict=True)
        ]

    def vector(self, name: str) -> Vectors:
        """See `Store.vector`."""
        gallery, vectors = self._state
        vector: Vectors = vectors[gallery.row_of[name]]
        return vector

    def add(self, rows: Rows) -> None:
        """Append rows. The matrix doubles when it is full, so that not every addition copies it."""
        gallery, vectors = self._state
        count = len(vectors) + len(rows.vectors)
        if count > len(self._buffer):
            self._buffer = np.empty((max(2 * len(vectors), count), rows.vectors.shape[1]), np.float32)
            self._buffer[: len(vectors)] = vectors
        # The new rows are beyond the end of what a search in progress reads.
        self._buffer[len(vectors) : count] = rows.vectors
        self._state = (gallery.extended(rows.names, rows.hashes, rows.metadata), self._buffer[:count])

    def check(self) -> None:
        """Does nothing, since memory always answers."""

    def remove(self, names: Sequence[str]) -> None:
        """Hide rows. Their space is freed when the catalog is opened again."""
        gallery, vectors = self._state
        self._state = (gallery.without(names), vectors)
