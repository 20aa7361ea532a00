"""Unit vectors, and exact nearest neighbours by inner product, found in blocks to limit memory."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.core.errors import FailureError

Vectors = NDArray[np.float32]
"""Shape `(n, d)`, float32, each row of unit length."""

_BLOCK_SCORES = 16_000_000  # scores held at once: 64 MB
_TOGETHER = 240  # queries in one product, if there are so many; so 65,536 rows, as in `core.neighbours`, are one part
_MERGED = 4096  # results; of more, parts of a gallery are not merged


def unit(vectors: NDArray[np.floating]) -> Vectors:
    """Scale rows to length one, as float32. A zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)


def without_last(vectors: Vectors, count: int) -> Vectors:
    """Rows `(n, d - count)` without their last `count` components, scaled to
    length one again; `vectors` itself for 0."""
    return unit(vectors[:, :-count]) if count else vectors


def require_finite_rows(
    vectors: NDArray[np.floating], name: Callable[[int], str], maker: str, remedy: str = "check its weights"
) -> None:
    """Check that all numbers are finite, since a row with others has no nearest neighbours.

    Args:
        vectors: shape `(n, d)`.
        name: gives the name of row `i` for the message, such as a picture's name.
        maker: what made the vectors, for the message, such as an encoder's name.
        remedy: what to do about it, for the message.

    Raises:
        FailureError: a number is not finite; the message names the first such row.
    """
    # Sums instead of a mask of all numbers, which would take memory: a sum is finite only if its parts are.
    with np.errstate(invalid="ignore"):
        wrong = np.flatnonzero(~np.isfinite(vectors.sum(axis=1, dtype=np.float64)))
    if len(wrong):
        raise FailureError(
            f"{name(int(wrong[0]))}: {maker} made a vector of it that is not finite, like {len(wrong)} of "
            f"{len(vectors)} here; {remedy}"
        )


def nearest(
    queries: Vectors, gallery: Vectors, k: int, *, allowed: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the `k` rows of a gallery with the highest inner products with each query.

    Args:
        queries: unit vectors `(n, d)`.
        gallery: unit vectors `(m, d)`.
        k: how many rows to find. Fewer columns are returned if the gallery has fewer rows.
        allowed: booleans `(m,)` or `(n, m)` that restrict the gallery before the choice.

    Returns:
        The rows and their scores, two arrays `(n, k)`, best first. Equal scores are ordered by row. If a query has
        fewer allowed rows than others, its last scores are minus infinity.
    """
    rows: NDArray[np.int64] | None = None
    if allowed is not None and allowed.ndim == 1:
        few = int(allowed.sum())
        k = min(k, few)
        # Copying most of the gallery would take longer than scoring all of it.
        if 2 * few < len(gallery):
            rows, allowed = np.flatnonzero(allowed), None
    pool = gallery if rows is None else gallery[rows]
    k = min(k, len(pool))
    best = np.empty((len(queries), k), np.int64)
    scores = np.empty((len(queries), k), np.float32)
    # A product with few queries reads the pool more often, so a large pool is divided instead.
    width = max(k, _BLOCK_SCORES // max(1, min(len(queries), _TOGETHER)))
    if width >= len(pool) or k > _MERGED:
        width = max(1, len(pool))
    block = max(1, _BLOCK_SCORES // width)
    for start in range(0, len(queries), block):
        some = slice(start, start + block)
        mask = allowed if allowed is None or allowed.ndim == 1 else allowed[some]
        chosen, values = _nearest_of_block(queries[some], pool, mask, k, width)
        best[some], scores[some] = chosen if rows is None else rows[chosen], values
    return best, scores


def _nearest_of_block(
    queries: Vectors, pool: Vectors, allowed: NDArray[np.bool_] | None, k: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """`nearest` for a few queries, by parts of the pool with `width` rows."""
    best, scores = np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
    for start in range(0, len(pool), width):
        values = queries @ pool[start : start + width].T
        if allowed is not None:
            values[~np.broadcast_to(allowed[..., start : start + width], values.shape)] = -np.inf
        chosen = _top(values, min(k, values.shape[1]))
        values = np.take_along_axis(values, chosen, axis=1)
        if not start:
            best, scores = chosen, values
        else:
            best, scores = _merged(best, scores, chosen + start, values, k)
    return best, scores


def _merged(
    best: NDArray[np.int64], scores: NDArray[np.float32], more: NDArray[np.int64], values: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The `k` best of two rankings."""
    best, scores = np.hstack([best, more]), np.hstack([scores, values])
    order = np.lexsort((best, -scores), axis=1)[:, :k]
    return np.take_along_axis(best, order, axis=1), np.take_along_axis(scores, order, axis=1)


def nearest_in_pieces(
    queries: Vectors, pieces: Iterable[tuple[NDArray[np.int64], Vectors]], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """As `nearest`, exactly, over a gallery that comes in pieces: of each piece its rows, and their vectors.

    Pieces may come from anywhere, in any order: from files, or from other machines. One is held at a time.
    """
    best, scores = np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
    for rows, vectors in pieces:
        if np.any(rows[1:] < rows[:-1]):  # pieces that are in order need no copy
            ascending = np.argsort(rows)
            rows, vectors = rows[ascending], vectors[ascending]
        places, values = nearest(queries, vectors, k)
        best, scores = _merged(best, scores, rows[places], values, k)
    return best, scores


def _top(values: NDArray[np.float32], k: int) -> NDArray[Any]:
    if k == 0:
        return np.empty((len(values), 0), np.int64)
    if k < values.shape[1]:
        least = np.partition(values, -k, axis=1)[:, -k]
        chosen = values >= least[:, None]
        # Of rows that tie for the last places, the first ones are returned.
        for row in np.flatnonzero(np.count_nonzero(chosen, axis=1) > k):
            equal = np.flatnonzero(values[row] == least[row])
            chosen[row, equal[k - np.count_nonzero(chosen[row]) :]] = False
        candidates = np.nonzero(chosen)[1].reshape(len(values), k)
    else:
        candidates = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    order = np.argsort(-np.take_along_axis(values, candidates, axis=1), axis=1, kind="stable")
    return np.take_along_axis(candidates, order, axis=1)
