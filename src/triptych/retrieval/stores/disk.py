"""A store for catalogs larger than memory: vectors on disk in half precision, and a compressed index of them in memory.

A search gets candidates from the index (IVF-PQ: Jégou et al., *Product Quantization for Nearest Neighbor Search*, 2011,
in FAISS's implementation) and scores them again by their vectors. `disk_index` writes vectors and index once, into the
catalog's folder. Pictures that are added later are searched exactly. When they exceed 5 %, the files are written again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triptych.core.errors import FailureError, StoreError
from triptych.core.progress import say
from triptych.core.vectors import Vectors, nearest
from triptych.retrieval.stores.disk_index import DiskIndex, Numbers, build_index, open_index
from triptych.retrieval.stores.gallery import Gallery
from triptych.retrieval.stores.protocol import Blocks, Rows, SearchTerms, StoreHit

_LATER = 0.05  # the share of pictures that may be newer than the index; they are searched exactly. Not tuned
_FEW = 0.02  # if conditions leave a smaller share of the pictures, all of these are scored exactly. Not tuned


@dataclass(frozen=True)
class _State:
    """Everything that a search uses, as an immutable snapshot."""

    gallery: Gallery
    row_of: Numbers
    """The gallery row of each vector on disk; -1 if that picture is gone."""
    later: Numbers
    """Gallery rows whose vectors are not on disk."""
    later_vectors: Vectors

    @cached_property
    def there(self) -> NDArray[np.bool_]:
        """A mask of the vectors on disk whose pictures are alive."""
        return self.among(self.gallery.alive)

    def among(self, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask of the vectors on disk whose gallery rows are allowed."""
        known = self.row_of >= 0
        known[known] = allowed[self.row_of[known]]
        return known


class DiskStore:
    """Searches vectors that need not fit in memory. Its recall is measured when the index is made.

    It needs about `dim / 8 + 16` bytes of memory for each picture. Any thread may search while another one adds or
    removes pictures.

    Args:
        gallery: the pictures.
        blocks: yields their vectors.
        folder: the folder of the index, which is created if needed. It belongs to one space of one catalog.
        dim: the length of a vector.

    Raises:
        UsageError: the extra `faiss` is not installed.
        BusyError: another process is making the index.
        FailureError: the folder cannot be written.
    """

    def __init__(self, gallery: Gallery, blocks: Blocks, folder: Path, dim: int) -> None:
        index = open_index(folder, dim)
        row_of = _rows_of(index, gallery) if index else np.empty(0, np.int64)
        new = gallery.alive.copy()
        new[row_of[row_of >= 0]] = False
        later = np.flatnonzero(new)
        if index is None or len(later) > _LATER * len(gallery):
            try:
                index = build_index(folder, gallery.names, gallery.hashes, blocks(), dim)
            except OSError as error:
                raise FailureError(
                    f"{folder}: the vectors cannot be written ({error.strerror or error}); open the catalog once with "
                    "--store disk on a machine that can write there"
                ) from None
            row_of, later = np.arange(len(gallery.names)), np.empty(0, np.int64)
            say(f"disk: the index finds {index.recall:.1%} of the 10 nearest among {len(row_of)} pictures")
        self._index = index
        self._state = _State(gallery, row_of, later, _some_vectors(blocks, later, dim))

    @property
    def recall(self) -> float:
        """The share of the ten nearest pictures that the index found when it was made."""
        return self._index.recall

    def search(self, queries: Vectors, terms: Sequence[SearchTerms]) -> list[list[StoreHit]]:
        """See `Store.search`. It is approximate and finds the share `recall`. Equal scores are ordered by row."""
        state = self._state
        masks = [state.gallery.allowed(term) for term in terms]
        together: dict[tuple[int, int], list[int]] = {}  # queries with one mask and one k go through the index at once
        for place, (mask, term) in enumerate(zip(masks, terms, strict=True)):
            together.setdefault((id(mask), term.k), []).append(place)
        hits: list[list[StoreHit]] = [[] for _ in terms]
        for (_, k), places in together.items():
            for place, found in zip(
                places, _found(state, self._index, queries[places], k, masks[places[0]]), strict=True
            ):
                hits[place] = found
        return hits

    def vector(self, name: str) -> Vectors:
        """See `Store.vector`. Vectors on disk have half precision."""
        state = self._state
        row = state.gallery.row_of[name]
        place = np.flatnonzero(state.later == row)
        vector: Vectors
        if len(place):
            vector = state.later_vectors[place[-1]]
        else:
            vector = self._index.vectors[int(np.flatnonzero(state.row_of == row)[0])].astype(np.float32)
        return vector

    def add(self, rows: Rows) -> None:
        """See `Store.add`."""
        state = self._state
        gallery = state.gallery.extended(rows.names, rows.hashes, rows.metadata)
        new = np.arange(len(state.gallery.names), len(gallery.names))
        vectors = np.concatenate([state.later_vectors, rows.vectors])
        self._state = _State(gallery, state.row_of, np.concatenate([state.later, new]), vectors)

    def remove(self, names: Sequence[str]) -> None:
        """See `Store.remove`. The space on disk is freed when the index is made again."""
        state = self._state
        self._state = _State(state.gallery.without(names), state.row_of, state.later, state.later_vectors)

    def check(self) -> None:
        """See `Store.check`."""
        if not self._index.is_there():
            raise StoreError(f"{self._index.folder}: the vectors on disk are gone; open the catalog again")


def _found(
    state: _State, index: DiskIndex, queries: Vectors, k: int, allowed: NDArray[np.bool_]
) -> Iterator[list[StoreHit]]:
    """The best `k` allowed pictures of each query, among those on disk and those added later."""
    names = state.gallery.names
    for query, (rows, scores) in zip(queries, _on_disk(state, index, queries, k, allowed), strict=True):
        if len(state.later):
            places, later = nearest(query[None], state.later_vectors, k, allowed=allowed[state.later])
            rows = np.concatenate([rows, state.later[places[0]]])
            scores = np.concatenate([scores, later[0]])
        order = np.lexsort((rows, -scores))[:k]
        yield [StoreHit(names[row], float(score)) for row, score in zip(rows[order], scores[order], strict=True)]


def _on_disk(
    state: _State, index: DiskIndex, queries: Vectors, k: int, allowed: NDArray[np.bool_]
) -> Iterator[tuple[Numbers, Vectors]]:
    """For each query the best gallery rows among those on disk, unordered, and their scores."""
    known = state.there if allowed is state.gallery.alive else state.among(allowed)
    count = int(known.sum())
    few = count <= _FEW * len(known)
    found = [] if few else index.candidates(queries, k, None if count == len(known) else known)
    for place, query in enumerate(queries):
        # Without candidates, or if the lists that were read hold too few, all allowed vectors are scored.
        all_of_them = few or len(found[place]) < min(k, count)
        best, scores = index.best(query, np.flatnonzero(known) if all_of_them else found[place], k)
        yield state.row_of[best], scores


def _rows_of(index: DiskIndex, gallery: Gallery) -> Numbers:
    """The gallery row of each vector of an index; -1 if its picture is gone or has changed."""
    rows = np.full(len(index.vectors), -1)
    start = 0
    if not len(gallery.names):
        return rows
    for names, hashes in index.pictures():
        end = start + len(names)
        own = np.arange(start, end)
        if not (names.equals(gallery.names.column[start:end]) and (hashes == gallery.hashes[start:end]).all()):
            own = np.array([gallery.row_of.get(name, -1) for name in names.to_pylist()], np.int64)
            own[(own >= 0) & (gallery.hashes[own] != hashes)] = -1
        rows[start:end] = np.where((own >= 0) & gallery.alive[own], own, -1)
        start = end
    return rows


def _some_vectors(blocks: Blocks, rows: Numbers, dim: int) -> Vectors:
    """The vectors `(n, dim)` of some rows, in their order."""
    vectors = np.empty((len(rows), dim), np.float32)
    if len(rows):
        for places, block in blocks():
            wanted = np.isin(places, rows)
            vectors[np.searchsorted(rows, places[wanted])] = block[wanted]
    return vectors
