"""Exact ranks of targets, streamed over queries and gallery.

A score is exact by definition: a unit vector's components are rounded to multiples of 2⁻²⁶, finer than float32 is near
1, so that every product is a multiple of 2⁻⁵² and every sum of products stays below 2: float64 holds each without
rounding. A score, and with it a tie, therefore depends neither on the order of summation nor on block sizes, threads
or the BLAS in use, and equal vectors score exactly alike.

Most comparisons do not need that much. A float32 product differs from the exact score by at most `_slack`, so an item
that lies further from a target's score is distinguished at once, and only the few in between are scored exactly.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych.core.errors import FailureError

Vectors = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
RowsLike = Sequence[int] | npt.NDArray[np.integer]

_GRID = 2.0**26  # see the module's first paragraph
_NO_ROWS = np.zeros(0, np.int64)
_LONGEST = 1.001  # a vector's length, by what `_require_unit_length` lets through
_QUERY_BLOCK = 512  # rows compared at once: with the next, 4 MB of scores
_GALLERY_BLOCK = 2048  # with the queries a million scores: they stay near the processor
_PAIRS = 128  # scored exactly at once: they fit a processor's cache
_MANY = 1 / 64  # of a block in doubt: cheaper to score all of it exactly


def ranks_of_targets(
    query_vectors: Vectors,
    gallery_vectors: Vectors,
    targets: Sequence[RowsLike],
    excluded: Sequence[RowsLike],
    candidates: Sequence[RowsLike | None],
    *,
    query_block: int = _QUERY_BLOCK,
    gallery_block: int = _GALLERY_BLOCK,
) -> list[Rows]:
    """Rank the targets of each query among the gallery rows that may answer it.

    These are all rows, or the query's `candidates`, without its `excluded` rows. Ranks count from 1, and each target
    has a rank of its own. Ties count against the method: an item with a target's score ranks before it, unless the item
    is a target itself.

    Args:
        query_vectors: shape (n, d), unit length.
        gallery_vectors: shape (m, d), unit length.
        targets: n arrays of gallery rows.
        excluded: n arrays of gallery rows, none of them a target.
        candidates: n arrays of gallery rows that hold every target, or None for the whole gallery.
        query_block, gallery_block: rows compared at once. They change memory and time, not the result.

    Returns:
        n ascending arrays of ranks. Memory grows with the blocks, never with n·m.

    Raises:
        FailureError: a vector is not of unit length.
        ValueError: a target is excluded or not a candidate, a row is outside the gallery, or the lengths disagree.
    """
    query_vectors, gallery_vectors = np.asarray(query_vectors, np.float32), np.asarray(gallery_vectors, np.float32)
    _require_unit_length(query_vectors)
    _require_unit_length(gallery_vectors)
    count, size = len(query_vectors), len(gallery_vectors)
    if not len(targets) == len(excluded) == len(candidates) == count:
        raise ValueError(f"{count} queries need as many targets, excluded and candidates")
    wanted, out = _Pairs.of(targets, size), _Pairs.of(excluded, size)
    closed = np.array([rows is not None for rows in candidates], np.bool_)
    allowed = _Pairs.of([_NO_ROWS if rows is None else rows for rows in candidates], size)
    bound = wanted.keys[closed[wanted.queries]]
    if np.isin(wanted.keys, out.keys).any() or not np.isin(bound, allowed.keys).all():
        raise ValueError("a target is excluded or is not a candidate")
    hidden = _Pairs(np.union1d(wanted.keys, out.keys), size)
    rivals = _Pairs(np.setdiff1d(allowed.keys, hidden.keys, assume_unique=True), size)

    bars = _Bars.of(wanted, _pair_scores(query_vectors, gallery_vectors, wanted.queries, wanted.rows), count)
    rival_scores = _pair_scores(query_vectors, gallery_vectors, rivals.queries, rivals.rows)
    for depth in range(bars.deepest(closed)):
        deep = bars.counts[rivals.queries] > depth
        places = bars.starts[rivals.queries[deep]] + depth
        bars.count(places[rival_scores[deep] >= bars.scores[places]])

    # Queries with the most targets first, so that those with more than a given number begin every block.
    numbers = np.flatnonzero(~closed)
    numbers = numbers[np.argsort(-bars.counts[numbers], kind="stable")]
    for start in range(0, len(numbers), query_block):
        block = numbers[start : start + query_block]
        _count_over_gallery(query_vectors, gallery_vectors, block, hidden, bars, gallery_block)
    return bars.ranks()


@dataclass(frozen=True)
class _Pairs:
    """Pairs of a query and a gallery row, each once, ascending: as keys `query * size + row`."""

    keys: Rows
    size: int

    @classmethod
    def of(cls, lists: Sequence[RowsLike], size: int) -> "_Pairs":
        """The pairs of n lists of rows of a gallery of that size."""
        arrays = [rows if isinstance(rows, np.ndarray) else np.asarray(rows, np.int64) for rows in lists]
        rows = np.concatenate([_NO_ROWS, *arrays], dtype=np.int64, casting="unsafe")  # NumPy's empty array is of floats
        if len(rows) and (rows.min() < 0 or rows.max() >= size):
            raise ValueError(f"a row is outside of the gallery of {size}")
        keys = np.sort(np.repeat(np.arange(len(lists)), [len(rows) for rows in arrays]) * size + rows)
        return cls(keys[np.diff(keys, prepend=-1) > 0], size)

    @property
    def queries(self) -> Rows:
        return self.keys // max(1, self.size)

    @property
    def rows(self) -> Rows:
        return self.keys % max(1, self.size)


@dataclass(frozen=True)
class _Bars:
    """The targets' exact scores, descending for each query, and how many other items have reached each so far."""

    scores: Scores
    ahead: Rows
    starts: Rows
    """Where each query's targets begin, and after the last query the end."""
    counts: Rows

    @classmethod
    def of(cls, wanted: _Pairs, scores: Scores, count: int) -> "_Bars":
        queries = wanted.queries  # ascending, and so the order leaves them in place
        starts = np.searchsorted(queries, np.arange(count + 1))
        return cls(scores[np.lexsort((-scores, queries))], np.zeros(len(scores), np.int64), starts, np.diff(starts))

    def deepest(self, among: npt.NDArray[Any]) -> int:
        """The most targets of a query, among some."""
        return int(self.counts[among].max(initial=0))

    def count(self, places: Rows) -> None:
        """Add one for every time that a place is named."""
        np.add.at(self.ahead, places, 1)

    def ranks(self) -> list[Rows]:
        """For each query, ascending: before a target are the better targets and the others that reach it."""
        ranks = self.ahead + np.arange(1, len(self.ahead) + 1) - np.repeat(self.starts[:-1], self.counts)
        return [ranks[start:end] for start, end in pairwise(self.starts.tolist())]


def _count_over_gallery(
    query_vectors: Vectors, gallery_vectors: Vectors, numbers: Rows, hidden: _Pairs, bars: _Bars, size: int
) -> None:
    """Count, for the queries `numbers`, what reaches their targets in the whole gallery without the `hidden` pairs.

    `numbers` are in descending order of their number of targets.
    """
    queries = query_vectors[numbers]
    slack = _slack(queries.shape[1])
    hidden_rows, hidden_at = _of_queries(hidden, numbers)
    for start in range(0, len(gallery_vectors), size):
        items = gallery_vectors[start : start + size]
        scores = queries @ items.T
        first, last = np.searchsorted(hidden_rows, (start, start + len(items)))
        scores[hidden_at[first:last], hidden_rows[first:last] - start] = -np.inf
        exact: Scores | None = None
        for depth in range(bars.deepest(numbers)):
            deep = numbers[bars.counts[numbers] > depth]
            places = bars.starts[deep] + depth
            bar = bars.scores[places]
            near = scores[: len(deep)] >= _down(bar - slack)[:, None]
            certain = scores[: len(deep)] >= _up(bar + slack)[:, None]
            bars.ahead[places] += certain.sum(axis=1, dtype=np.int32)  # twice as fast as in 64 bits
            at, rows = np.divmod(np.flatnonzero(near ^ certain), len(items))
            if len(at) > _MANY * near.size:
                exact = _exact(queries) @ _exact(items).T if exact is None else exact
                in_doubt = exact[at, rows]
            else:
                in_doubt = _pair_scores(queries, items, at, rows)
            bars.count(places[at[in_doubt >= bar[at]]])


def _of_queries(pairs: _Pairs, numbers: Rows) -> tuple[Rows, Rows]:
    """The gallery rows that are paired with the queries `numbers`, ascending, and the position in `numbers` of each."""
    firsts, lasts = np.searchsorted(pairs.keys, (numbers * pairs.size, (numbers + 1) * pairs.size))
    keys = np.concatenate([pairs.keys[first:last] for first, last in zip(firsts, lasts, strict=True)])
    rows, at = keys % pairs.size, np.repeat(np.arange(len(numbers)), lasts - firsts)
    order = np.argsort(rows, kind="stable")
    return rows[order], at[order]


def _pair_scores(query_vectors: Vectors, gallery_vectors: Vectors, queries: Rows, rows: Rows) -> Scores:
    """The exact score of every pair; `queries` ascend."""
    scores = np.empty(len(rows))
    for start in range(0, len(rows), _PAIRS):
        part = slice(start, start + _PAIRS)
        first = np.diff(queries[part], prepend=-1) > 0  # a query's vector is rounded once for all its pairs
        left = _exact(query_vectors[queries[part][first]])[np.cumsum(first) - 1]
        np.einsum("pd,pd->p", left, _exact(gallery_vectors[rows[part]]), out=scores[part])
    return scores


def _require_unit_length(vectors: Vectors) -> None:
    if not np.allclose(np.einsum("nd,nd->n", vectors, vectors), 1, rtol=0, atol=2e-3):
        raise FailureError("vectors to compare must be of unit length: this encoder or composer gave others")


def _exact(vectors: Vectors) -> Scores:
    """Unit vectors on the grid where float64 dot products are exact."""
    # Scaling by a power of two and rounding to whole numbers are exact in float32, too, and half as much to move.
    grid = vectors * np.float32(_GRID)
    np.rint(grid, out=grid)
    grid *= np.float32(1 / _GRID)
    return grid.astype(np.float64)


def _slack(dim: int) -> float:
    """How far a float32 dot product of two vectors can be from their exact score.

    In whatever order they are summed, with or without fused multiplication, d products in arithmetic of unit roundoff
    u are off by at most d·u / (1 - d·u) times |x|ᵀ|y|, which is at most the product of the lengths (Higham, *Accuracy
    and Stability of Numerical Algorithms*, 2nd ed., section 3.1). Rounding to the grid moves a component by at most
    2⁻²⁷, and the score by that times √d and the lengths. A hundredth more covers second orders and underflow.
    """
    summed = dim * 2.0**-24 / (1 - dim * 2.0**-24) * _LONGEST**2
    rounded = 2 * math.sqrt(dim) * 2.0**-27 * _LONGEST
    return 1.01 * (summed + rounded)


def _down(values: Scores) -> Vectors:
    """The float32 values just below."""
    return np.nextafter(values.astype(np.float32), np.float32(-np.inf))


def _up(values: Scores) -> Vectors:
    """The float32 values just above."""
    return np.nextafter(values.astype(np.float32), np.float32(np.inf))
