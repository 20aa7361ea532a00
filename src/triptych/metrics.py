"""Ranks, recall@k and average precision: the one place where a metric is computed.

Scores are exact. A unit vector's components are rounded to multiples of 2⁻²⁶, finer than float32 is near 1,
so that every product is a multiple of 2⁻⁵² and every sum of products stays below 2: float64 holds each
without rounding. A score, and with it a tie, therefore depends neither on the order of summation nor on block
sizes, threads or the BLAS in use, and equal vectors score exactly alike.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from triptych.errors import FailureError

Vectors = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
RowsLike = Sequence[int] | npt.NDArray[np.integer]

_GRID = 2.0**26
_QUERY_BLOCK = 256
_GALLERY_BLOCK = 8192


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
    """Rank every query's targets among the gallery rows it may answer with.

    Those are all rows, or the query's `candidates`, without its `excluded` ones. Ranks count from 1, and each
    target has a rank of its own. Ties count against the method: an item whose score equals a target's ranks
    before it, unless it is itself a target.

    Args:
        query_vectors: shape (n, d), unit length.
        gallery_vectors: shape (m, d), unit length.
        targets: n arrays of gallery rows.
        excluded: n arrays of gallery rows, none of them a target.
        candidates: n arrays of gallery rows that hold every target, or None for the whole gallery.

    Returns:
        n ascending arrays of ranks, the same for any block sizes. Memory grows with the blocks, never with
        n·m.

    Raises:
        FailureError: a vector is not of unit length.
        ValueError: a target is excluded or not a candidate, or the lengths disagree.
    """
    _require_unit_length(query_vectors)
    _require_unit_length(gallery_vectors)
    count = len(query_vectors)
    if not len(targets) == len(excluded) == len(candidates) == count:
        raise ValueError(f"{count} queries need as many targets, excluded and candidates")
    wanted = [np.unique(_rows(rows)) for rows in targets]
    hidden = [np.union1d(_rows(out), rows) for out, rows in zip(excluded, wanted, strict=True)]
    lists = [None if rows is None else _rows(rows) for rows in candidates]
    for rows, out, allowed in zip(wanted, excluded, lists, strict=True):
        if np.isin(rows, _rows(out)).any() or (allowed is not None and not np.isin(rows, allowed).all()):
            raise ValueError("a target is excluded or is not a candidate")

    thresholds: list[Scores] = []  # each query's target scores, ascending
    ahead: list[Rows] = []  # for each threshold, how many other items score at least as much
    for start, queries in _blocks(query_vectors, query_block):
        for offset, query in enumerate(queries):
            number = start + offset
            bar = np.sort(_exact(gallery_vectors[wanted[number]]) @ query)
            thresholds.append(bar)
            allowed = lists[number]
            rivals = _rows([]) if allowed is None else np.setdiff1d(allowed, hidden[number])
            ahead.append(_at_least(_exact(gallery_vectors[rivals]) @ query, bar))

    open_numbers = [number for number, rows in enumerate(lists) if rows is None]
    open_vectors = query_vectors[open_numbers]
    for row, items in _blocks(gallery_vectors, gallery_block):
        for start, queries in _blocks(open_vectors, query_block):
            for offset, scores in enumerate(queries @ items.T, start):
                number = open_numbers[offset]
                scores[_within(hidden[number], row, len(items))] = -np.inf
                ahead[number] += _at_least(scores, thresholds[number])
    # From the best target down: those before it are other items at least as good, and the better targets.
    return [others[::-1] + np.arange(1, len(others) + 1) for others in ahead]


def recall_at(ranks: Rows, k: int) -> float:
    """1 if any target ranks within k, else 0: the recall@k of composed image retrieval (CIRR, FashionIQ)."""
    return float(bool((ranks <= k).any()))


def average_precision_at(ranks: Rows, k: int, positives: int) -> float:
    """AP@k as CIRCO defines it (Baldrati et al., ICCV 2023, section 4).

    The sum of the precision at each target within k, divided by min(k, positives); `ranks` are ascending.
    """
    hits = ranks[ranks <= k]
    return float((np.arange(1, len(hits) + 1) / hits).sum() / min(k, positives))


def summarise(
    ranks_per_query: Sequence[Rows], recall: Sequence[int] = (1, 5, 10, 50), map_at: Sequence[int] = (10,)
) -> dict[str, float]:
    """Mean recall@k ("R@1") and mean average precision ("mAP@10") over queries, in percent."""
    if not ranks_per_query:
        raise ValueError("no queries to summarise")
    means = {f"R@{k}": np.mean([recall_at(ranks, k) for ranks in ranks_per_query]) for k in recall}
    means |= {
        f"mAP@{k}": np.mean([average_precision_at(ranks, k, len(ranks)) for ranks in ranks_per_query]) for k in map_at
    }
    return {name: 100 * float(mean) for name, mean in means.items()}


def _rows(rows: RowsLike) -> Rows:
    return np.asarray(rows, dtype=np.int64)


def _require_unit_length(vectors: Vectors) -> None:
    if not np.allclose(np.einsum("nd,nd->n", vectors, vectors), 1, rtol=0, atol=2e-3):
        raise FailureError("vectors to compare must be of unit length: this encoder or composer gave others")


def _exact(vectors: Vectors) -> Scores:
    """Unit vectors on the grid where float64 dot products are exact."""
    return np.rint(vectors.astype(np.float64) * _GRID) / _GRID


def _blocks(vectors: Vectors, size: int) -> Iterator[tuple[int, Scores]]:
    for start in range(0, len(vectors), size):
        yield start, _exact(vectors[start : start + size])


def _at_least(scores: Scores, thresholds: Scores) -> Rows:
    """For each of the ascending `thresholds`, how many `scores` reach it."""
    reached = np.searchsorted(thresholds, scores, side="right")  # how many thresholds each score reaches
    below = np.cumsum(np.bincount(reached, minlength=len(thresholds) + 1))[:-1]
    return len(scores) - below


def _within(rows: Rows, start: int, length: int) -> Rows:
    """Those of the ascending `rows` that fall in a block, counted from its start."""
    first, last = np.searchsorted(rows, (start, start + length))
    return rows[first:last] - start
