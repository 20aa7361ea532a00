"""Exact nearest neighbours by inner product, in blocks, so that memory does not grow with queries times gallery."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.encoders.protocol import Vectors

_BLOCK_SCORES = 16_000_000  # scores held at once: 64 MB


def nearest(
    queries: Vectors, gallery: Vectors, k: int, *, allowed: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The `k` best gallery rows for each query, best first, and their scores: two arrays `(n, k)`.

    `allowed` (m,) restricts the gallery before the choice, never after. Fewer than `k` columns come back where the
    gallery has fewer. Equal scores are ordered by row.
    """
    rows = np.arange(len(gallery)) if allowed is None else np.flatnonzero(allowed)
    pool = gallery if allowed is None else gallery[rows]
    k = min(k, len(rows))
    best = np.empty((len(queries), k), np.int64)
    scores = np.empty((len(queries), k), np.float32)
    block = max(1, _BLOCK_SCORES // max(1, len(rows)))
    for start in range(0, len(queries), block):
        values = queries[start : start + block] @ pool.T
        chosen = _top(values, k)
        best[start : start + block] = rows[chosen]
        scores[start : start + block] = np.take_along_axis(values, chosen, axis=1)
    return best, scores


def _top(values: NDArray[np.float32], k: int) -> NDArray[Any]:
    if k == 0:
        return np.empty((len(values), 0), np.int64)
    if k < values.shape[1]:
        chosen = np.argpartition(-values, k - 1, axis=1)[:, :k]
        bars = np.take_along_axis(values, chosen, axis=1).min(axis=1)
        # Of the rows that tie for the last places, a partition takes any; the first ones are due.
        for row in np.flatnonzero((values >= bars[:, None]).sum(axis=1) > k):
            better, equal = np.flatnonzero(values[row] > bars[row]), np.flatnonzero(values[row] == bars[row])
            chosen[row] = np.concatenate([better, equal])[:k]
        candidates = np.sort(chosen, axis=1)
    else:
        candidates = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    order = np.argsort(-np.take_along_axis(values, candidates, axis=1), axis=1, kind="stable")
    return np.take_along_axis(candidates, order, axis=1)
