"""An approximate index in memory, on request: faster than an exact search from about a million pictures on.

Malkov and Yashunin, *Efficient and robust approximate nearest neighbor search using Hierarchical Navigable Small World
graphs* (arXiv 1603.09320), as FAISS implements it.
"""

from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.core.environment import require_extra
from triptych.core.progress import say
from triptych.core.vectors import Vectors, nearest
from triptych.retrieval.stores.exact import ExactStore
from triptych.retrieval.stores.gallery import Gallery
from triptych.retrieval.stores.protocol import Rows, SearchTerms, StoreHit

_LINKS = 32
_BUILD_CANDIDATES = 80  # candidates while building
_SEARCH_CANDIDATES = 96  # candidates while searching, at least
_FEW = (
    0.1  # share of the gallery below which a filtered search is exact: it is faster, and the graph would lose its way
)
_SAMPLE = 200


class HnswStore:
    """A store with an approximate graph over the vectors. Conditions are applied while the graph is searched, not
    after.

    `recall` is the share of the ten exactly nearest vectors that it finds, measured and printed when it is built.

    Raises:
        UsageError: the extra `faiss` is not installed.
    """

    def __init__(self, gallery: Gallery, vectors: Vectors) -> None:
        self._exact = ExactStore(gallery, vectors)
        self._graph = build_graph(vectors)
        self._lock = Lock()  # a graph may not be searched while it grows
        self.recall = measure_recall(self._graph, vectors)
        say(f"hnsw: finds {self.recall:.1%} of the exactly nearest 10, over {min(_SAMPLE, len(vectors))} pictures")

    def search(self, queries: Vectors, terms: Sequence[SearchTerms]) -> list[list[StoreHit]]:
        """See `Store.search`. Finds `recall` of the nearest."""
        return [self._one(query, term) for query, term in zip(queries, terms, strict=True)]

    def vector(self, name: str) -> Vectors:
        """See `Store.vector`."""
        return self._exact.vector(name)

    def add(self, rows: Rows) -> None:
        """See `Store.add`."""
        with self._lock:
            self._exact.add(rows)
            self._graph.add(np.ascontiguousarray(rows.vectors))

    def check(self) -> None:
        """Does nothing, since memory always answers."""

    def remove(self, names: Sequence[str]) -> None:
        """See `Store.remove`. The graph keeps their places and skips them."""
        self._exact.remove(names)

    def _one(self, query: Vectors, term: SearchTerms) -> list[StoreHit]:
        gallery = self._exact.gallery
        allowed = gallery.allowed(term)
        if allowed.mean() < _FEW or term.k > len(allowed) // 4:
            return self._exact.search(query[None], [term])[0]
        with self._lock:
            scores, rows = search_graph(self._graph, query[None], term.k, allowed)
        if (rows < 0).any():  # the walk ended too early
            return self._exact.search(query[None], [term])[0]
        found = zip(rows[0].tolist(), scores[0].tolist(), strict=True)
        return [StoreHit(gallery.names[row], score) for row, score in found]


def build_graph(vectors: Vectors) -> Any:
    """Build an HNSW index over vectors `(n, d)` by inner product.

    Raises:
        UsageError: the extra `faiss` is not installed.
    """
    faiss = import_faiss()
    graph = faiss.IndexHNSWFlat(vectors.shape[1], _LINKS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = _BUILD_CANDIDATES
    graph.add(np.ascontiguousarray(vectors))
    return graph


def search_graph(
    graph: Any, queries: Vectors, k: int, allowed: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Scores and rows `(n, k)` by the graph; row -1 if it found fewer."""
    faiss = import_faiss()
    settings = faiss.SearchParametersHNSW(efSearch=max(_SEARCH_CANDIDATES, 2 * k))
    if allowed is not None:
        # The graph may just have grown beyond the snapshot that was asked.
        known = np.zeros(graph.ntotal, bool)
        known[: len(allowed)] = allowed
        bits = np.packbits(known, bitorder="little")
        settings.sel = selector = faiss.IDSelectorBitmap(bits)
        assert selector is not None  # it, and its bits, must outlive the search
    scores, rows = graph.search(np.ascontiguousarray(queries), k, params=settings)
    return scores, rows


def measure_recall(graph: Any, vectors: Vectors, k: int = 10) -> float:
    """The share of the exactly nearest `k` that the graph finds, over a sample of the vectors."""
    if not len(vectors):
        return 1.0
    sample = vectors[np.random.default_rng(0).permutation(len(vectors))[:_SAMPLE]]
    k = min(k, len(vectors))
    exact, _ = nearest(sample, vectors, k)
    _, found = search_graph(graph, sample, k)
    return float(np.mean([np.isin(right, rows).mean() for right, rows in zip(exact, found, strict=True)]))


def import_faiss() -> Any:
    """Import the library.

    Raises:
        UsageError: it is not installed.
    """
    require_extra("faiss", "a FAISS index")
    import faiss

    return faiss
