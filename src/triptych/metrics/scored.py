"""Ranks of targets by scores that are no inner product, and by an order with the first pictures rearranged."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from triptych.core.errors import FailureError
from triptych.metrics.ranking import Rows, RowsLike, Scores

ScoresOf = Callable[[int, int], npt.NDArray[np.floating]]
"""`scores_of(start, stop)`: the scores `(stop - start, m)` of those queries with every gallery row; higher is better.
"""

_BLOCK = 64  # queries at once


def ranks_by_scores(
    scores_of: ScoresOf,
    targets: Sequence[RowsLike],
    excluded: Sequence[RowsLike],
    candidates: Sequence[RowsLike | None],
    *,
    block: int = _BLOCK,
) -> list[Rows]:
    """Like `ranking.ranks_of_targets`, for scores instead of vectors. Ranks count from 1, and ties count against the
    method.

    Raises:
        FailureError: a score is not finite.
    """
    ranks: list[Rows] = []
    for start in range(0, len(targets), block):
        stop = min(start + block, len(targets))
        scores = np.asarray(scores_of(start, stop), np.float64)
        if not np.isfinite(scores).all():
            raise FailureError("a score is not finite: this method gave one for a picture")
        for row, number in enumerate(range(start, stop)):
            ranks.append(_ranks(scores[row], targets[number], excluded[number], candidates[number]))
    return ranks


def best_by_scores(scores: Scores, k: int, excluded: RowsLike, candidates: RowsLike | None = None) -> Rows:
    """The `k` best rows of one query's scores `(m,)`, best first; equal scores in the gallery's order."""
    allowed = _allowed(len(scores), excluded, candidates)
    rows = np.flatnonzero(allowed)
    if k < len(rows):  # equal scores at the border are all kept until they are ordered
        bar = np.partition(scores[rows], len(rows) - k)[len(rows) - k]
        rows = rows[scores[rows] >= bar]
    return rows[np.argsort(-scores[rows], kind="stable")][:k]


def ranks_after(
    first: Sequence[Rows],
    ranks: Sequence[Rows],
    targets: Sequence[RowsLike],
    excluded: Sequence[RowsLike],
    candidates: Sequence[RowsLike | None],
) -> list[Rows]:
    """The ranks after the first pictures of every query were rearranged.

    Args:
        first: for each query the rows that now come first, best first; the same rows came first before, in any order.
        ranks: for each query the ascending ranks of its targets before.
        targets, excluded, candidates: as in `ranking.ranks_of_targets`.

    Returns:
        For each query the ascending ranks of its targets, from 1.
    """
    found = []
    for order, before, wanted, out, allowed in zip(first, ranks, targets, excluded, candidates, strict=True):
        left = np.asarray(out, np.int64)
        places = order[~np.isin(order, left)]
        if allowed is not None:
            places = places[np.isin(places, np.asarray(allowed, np.int64))]
        here = np.flatnonzero(np.isin(places, np.asarray(wanted, np.int64))) + 1
        # Whatever is not among the first keeps its rank; those are the last of the targets.
        found.append(np.concatenate([here, np.maximum(before[len(here) :], len(places) + 1)]).astype(np.int64))
    return found


def _allowed(size: int, excluded: RowsLike, candidates: RowsLike | None) -> npt.NDArray[np.bool_]:
    allowed = np.ones(size, np.bool_) if candidates is None else np.zeros(size, np.bool_)
    if candidates is not None:
        allowed[np.asarray(candidates, np.int64)] = True
    allowed[np.asarray(excluded, np.int64)] = False
    return allowed


def _ranks(scores: Scores, targets: RowsLike, excluded: RowsLike, candidates: RowsLike | None) -> Rows:
    wanted = np.asarray(targets, np.int64)
    others = _allowed(len(scores), excluded, candidates)
    others[wanted] = False
    rivals = np.sort(scores[others])
    bars = np.sort(scores[wanted])[::-1]
    ahead = len(rivals) - np.searchsorted(rivals, bars, side="left")
    return (ahead + np.arange(1, len(bars) + 1)).astype(np.int64)
