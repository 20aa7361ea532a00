"""Clusters of unit vectors, and the nearest centre of each vector, by products of 8-bit matrices.

The nearest centre by 8 bits is the nearest one or one that is about as near, which is enough for the lists of an index.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from triptych.core.progress import progress
from triptych.core.vectors import Vectors, unit
from triptych.retrieval.stores.integer_product import BASE, MOST, IntegerProduct

_PRODUCTS = 16_000_000  # products held at once: 64 MB


class NearestCentre:
    """Finds the centre with the highest inner product.

    Args:
        centres: unit vectors `(m, d)`, not empty.
    """

    def __init__(self, centres: Vectors) -> None:
        # What all centres have in common changes no order, and would take most of the 8 bits.
        centred = centres - centres.mean(axis=0)
        self._scale = np.maximum(np.abs(centred).max(axis=0), 1e-12) / np.float32(MOST)  # of each component
        self._product = IntegerProduct(np.rint(centred / self._scale).astype(np.int8))
        self._block = max(1, _PRODUCTS // len(centres))

    def __call__(self, vectors: Vectors) -> NDArray[np.int64]:
        """The row `(n,)` of the nearest centre of each vector `(n, d)`."""
        nearest = np.empty(len(vectors), np.int64)
        for start in range(0, len(vectors), self._block):
            scaled = vectors[start : start + self._block].astype(np.float32) * self._scale
            step = np.maximum(np.abs(scaled).max(axis=1, keepdims=True), 1e-30) / np.float32(BASE - 1)
            digits = np.rint(scaled / step) + np.float32(BASE)
            nearest[start : start + self._block] = self._product(digits.astype(np.uint8)).argmax(axis=1)
        return nearest


def centres_of(vectors: Vectors, count: int, rounds: int, seed: int = 0) -> Vectors:
    """The centres `(count, d)` of clusters, by spherical k-means (Dhillon and Modha, Machine Learning 2001).

    Args:
        vectors: unit vectors `(n, d)`, at least `count`.
        count: the number of clusters.
        rounds: iterations.
        seed: chooses the vectors to start from.
    """
    random = np.random.default_rng(seed)
    centres = vectors[np.sort(random.choice(len(vectors), count, replace=False))].astype(np.float32)
    for _ in progress(range(rounds), "clusters", total=rounds, unit="round"):
        sums, sizes = np.zeros_like(centres), np.zeros(count, np.int64)
        for block, rows in _assigned(vectors, NearestCentre(centres)):
            order = np.argsort(rows, kind="stable")
            present, firsts = np.unique(rows[order], return_index=True)
            sums[present] += np.add.reduceat(block[order], firsts, axis=0)
            sizes += np.bincount(rows, minlength=count)
        empty = np.flatnonzero(sizes == 0)  # start again from other vectors
        sums[empty] = vectors[random.choice(len(vectors), len(empty), replace=False)]
        centres = unit(sums)
    return centres


def _assigned(vectors: Vectors, nearest: NearestCentre) -> Iterator[tuple[Vectors, NDArray[np.int64]]]:
    for start in range(0, len(vectors), 16_384):
        block = vectors[start : start + 16_384].astype(np.float32)
        yield block, nearest(block)
