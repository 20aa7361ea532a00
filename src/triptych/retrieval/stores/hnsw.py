"""An approximate index in memory, faster than an exact search from about a million pictures on.

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

_LINKS = 32  # links of a node (M); FAISS's default
_BUILD_CANDIDATES = 80  # candidates while building (efConstruction); not tuned
_SEARCH_CANDIDATES = 96  # candidates while searching, at least (efSearch); not tuned
_FEW = 0.1  # if conditions leave a smaller share of the gallery, the search is exact: faster, and the graph finds few
_SAMPLE = 200  # vectors with which the recall is measured


class HnswStore:
    """A store with an approximate graph over the vectors. Conditions are applied during the search of the graph.

    `recall` is the share of the ten nearest vectors that the graph finds. It is measured and printed when the graph is
    built.

    Raises:
        UsageError: the extra `faiss` is not installed.
    """

    def __init__(self, gallery: Gallery, vectors: Vectors) -> None:
        self._exact = ExactStore(gallery, vectors)
        self._graph = build_graph(vectors)
        self._lock = Lock()  # a graph must not be searched while it grows
        self.recall = measure_recall(self._graph, vectors)
        say(f"hnsw: the graph finds {self.recall:.1%} of the 10 nearest, by {min(_SAMPLE, len(vectors))} pictures")

    def search(self, queries: Vectors, terms: Sequence[SearchTerms]) -> list[list[StoreHit]]:
        """See `Store.search`. It is approximate and finds the share `recall` of the nearest."""
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
        """See `Store.remove`. The graph keeps removed vectors and skips them."""
        self._exact.remove(names)

    def _one(self, query: Vectors, term: SearchTerms) -> list[StoreHit]:
        gallery = self._exact.gallery
        allowed = gallery.allowed(term)
        if allowed.mean() < _FEW or term.k > len(allowed) // 4:
            return self._exact.search(query[None], [term])[0]
        with self._lock:
            scores, rows = search_graph(self._graph, query[None], term.k, allowed)
        if (rows < 0).any():  # the graph found fewer than wanted
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
    """Search the graph. Returns scores and rows `(n, k)`; row -1 stands for a missing result."""
    faiss = import_faiss()
    settings = faiss.SearchParametersHNSW(efSearch=max(_SEARCH_CANDIDATES, 2 * k))
    if allowed is not None:
        # The graph may have grown since the searched snapshot was taken.
        known = np.zeros(graph.ntotal, bool)
        known[: len(allowed)] = allowed
        bits = np.packbits(known, bitorder="little")
        settings.sel = selector = faiss.IDSelectorBitmap(bits)
        assert selector is not None  # keeps the selector and its bits alive during the search
    scores, rows = graph.search(np.ascontiguousarray(queries), k, params=settings)
    return scores, rows


def measure_recall(graph: Any, vectors: Vectors, k: int = 10) -> float:
    """Measure the share of the exact `k` nearest that the graph finds, over a sample of the vectors."""
    if not len(vectors):
        return 1.0
    sample = vectors[np.random.default_rng(0).permutation(len(vectors))[:_SAMPLE]]
    k = min(k, len(vectors))
    exact, _ = nearest(sample, vectors, k)
    _, found = search_graph(graph, sample, k)
    return float(np.mean([np.isin(right, rows).mean() for right, rows in zip(exact, found, strict=True)]))


def import_faiss() -> Any:
    """Import FAISS.

    Raises:
        UsageError: the extra `faiss` is not installed.
    """
    require_extra("faiss", "a FAISS index")
    import faiss

    return faiss
