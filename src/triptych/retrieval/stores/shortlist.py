"""Exact search with 8-bit vectors: a quarter of the bytes is read, and the best rows are scored again exactly.

The error of an 8-bit score has a known bound for each vector. The shortlist contains every row that could be among the
best k by these bounds, so the results are exact. This is filter and refinement as in the VA-file (Weber, Schek and
Blott, VLDB 1998).
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from triptych.core.vectors import Vectors
from triptych.retrieval.stores.integer_product import BASE, MOST, Codes, IntegerProduct

_SHARD = 131_072  # vectors in one product of matrices
_LARGEST = (BASE - 1) * BASE + BASE // 2 - 1  # the largest value of two 7-bit digits to the base 64
_COLUMNS = 64  # rows of a table of scores; only the best score of each column is used
_ROUNDING = 4e-6  # upper bound of the rounding error of single precision, for unit vectors


class Shortlist:
    """The vectors `(n, d)` in 8 bits, ready for products with queries.

    Args:
        vectors: unit vectors `(n, d)`, not empty. They are read but not kept.
    """

    def __init__(self, vectors: Vectors) -> None:
        self._count = len(vectors)
        self._mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        starts = range(0, len(vectors), _SHARD)
        largest = np.max([np.abs(vectors[at : at + _SHARD] - self._mean).max(axis=0) for at in starts], axis=0)
        self._scale = np.maximum(largest, 1e-12) / np.float32(MOST)  # of each component
        self._errors = np.empty(len(vectors), np.float32)
        self._longest = 0.0
        self._products = []
        for at in starts:
            codes = self._rounded(vectors, at)
            self._products.append(IntegerProduct(codes))
            self._longest = max(self._longest, float(np.sqrt(np.square(codes, dtype=np.float32).sum(axis=1).max())))

    def __len__(self) -> int:
        return self._count

    def candidates(
        self, queries: Vectors, allowed: Sequence[NDArray[np.bool_] | None], counts: Sequence[int]
    ) -> Iterator[NDArray[np.int64]]:
        """Find rows for each query, ascending, that contain its best rows and some more.

        Args:
            queries: unit vectors `(m, d)`.
            allowed: for each query a mask `(n,)` of the allowed rows; None for all.
            counts: the number of best rows for each query.
        """
        scaled = (queries * self._scale).astype(np.float64)
        steps = np.maximum(np.abs(scaled).max(axis=1), 1e-30) / _LARGEST
        whole = np.rint(scaled / steps[:, None])
        high = np.rint(whole / BASE)
        digits = np.concatenate([high, whole - BASE * high]) + BASE
        lost = np.linalg.norm(scaled - whole * steps[:, None], axis=1) * self._longest
        sums = np.concatenate([product(digits.astype(np.uint8)) for product in self._products], axis=1)
        doubt = self._errors * np.float32(np.linalg.norm(queries, axis=1).max(initial=0))
        doubt += np.float32(lost.max(initial=0) + _ROUNDING)
        twice = 2 * doubt
        for row, (rows, count) in enumerate(zip(allowed, counts, strict=True)):
            scores = sums[row].astype(np.float32)
            scores *= np.float32(BASE)
            scores += sums[row + len(queries)].astype(np.float32)
            scores *= np.float32(steps[row])
            if rows is not None:
                scores[~rows] = -np.inf
            scores -= doubt
            least = _least_of(scores, count)
            scores += twice
            yield np.flatnonzero(scores >= least if least > -np.inf else scores > -np.inf)

    def _rounded(self, vectors: Vectors, at: int) -> Codes:
        """Compute the codes of a shard, and store their errors."""
        centred = vectors[at : at + _SHARD] - self._mean
        codes: Codes = np.rint(centred / self._scale).astype(np.int8)
        self._errors[at : at + _SHARD] = np.linalg.norm(centred - codes * self._scale, axis=1)
        return codes


def _least_of(scores: NDArray[np.float32], count: int) -> float:
    """A value that at least `count` scores reach. For many scores it is close to the highest such value."""
    if len(scores) > _COLUMNS * 8 * count:  # use the best of each column; few of the best rows share a column
        scores = scores[: len(scores) // _COLUMNS * _COLUMNS].reshape(_COLUMNS, -1).max(axis=0)
    count = min(count, len(scores))
    return float(np.partition(scores, -count)[-count]) if count else np.inf
