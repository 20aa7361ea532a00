"""The exact nearest neighbours of every row of a matrix, by blocks of queries and shards of the matrix."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from triptych.core.cluster import HERE, Workers
from triptych.core.vectors import Vectors, nearest_in_pieces

_QUERIES = 1024  # query rows in one item of work
SHARD = 65_536
"""Rows of the matrix in one shard. The results of shards are merged exactly."""

Found = tuple[NDArray[np.int64], NDArray[np.float32]]


def shards(vectors: Vectors) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
    """The rows and vectors of each shard, in order."""
    for start in range(0, len(vectors), SHARD):
        rows = np.arange(start, min(start + SHARD, len(vectors)))
        yield rows, vectors[start : start + SHARD]


def nearest_of_each(vectors: Vectors, k: int, workers: Workers = HERE) -> Found:
    """Find the `k` rows that are nearest to each row, itself among them, as `nearest(vectors, vectors, k)` does.

    Blocks and shards do not depend on the workers, so the results are bit-identical on equal processors.

    Args:
        vectors: unit vectors `(n, d)`.
        k: how many rows to find, at most `n`.
        workers: the processes that do the work. Each worker's machine holds all vectors.

    Returns:
        The rows and their scores, two arrays `(n, k)`, best first. Equal scores are ordered by row.
    """
    starts = range(0, len(vectors), _QUERIES)
    rows, scores = np.empty((len(vectors), k), np.int64), np.empty((len(vectors), k), np.float32)
    for start, found in zip(starts, workers.map(_Search, (vectors, k), starts), strict=True):
        rows[start : start + _QUERIES], scores[start : start + _QUERIES] = found
    return rows, scores


class _Search:
    """Finds the neighbours of a block of rows, which is given by the number of its first row."""

    def __init__(self, vectors: Vectors, k: int) -> None:
        self._vectors, self._k = vectors, k

    def __call__(self, start: int) -> Found:
        return nearest_in_pieces(self._vectors[start : start + _QUERIES], shards(self._vectors), self._k)
