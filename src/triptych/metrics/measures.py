"""Recall@k, average precision and nDCG from ranks, for each query and over all queries."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from triptych.metrics.ranking import Rows

Values = npt.NDArray[np.float64]
"""Shape (n,), one value between 0 and 1 for each query."""


def recall_at(ranks: Rows, k: int) -> float:
    """Recall@k of composed image retrieval (CIRR, FashionIQ): 1 if any target ranks within k, else 0."""
    return float(_Ranked([ranks]).recall(k)[0])


def average_precision_at(ranks: Rows, k: int, positives: int) -> float:
    """AP@k as CIRCO defines it (Baldrati et al., ICCV 2023, section 4).

    The sum of the precision at each target within k, divided by min(k, positives).

    Args:
        ranks: ascending ranks of the query's targets, from 1.
        k: the cut-off.
        positives: the number of targets that the query has.
    """
    return float(_Ranked([ranks], [positives]).average_precision(k)[0])


def per_query(
    ranks_per_query: Sequence[Rows],
    recall: Sequence[int] = (1, 5, 10, 50),
    map_at: Sequence[int] = (10,),
    ndcg: Sequence[int] = (),
    positives: Sequence[int] | None = None,
) -> dict[str, Values]:
    """Compute each query's recall ("R@1"), average precision ("mAP@10") and nDCG ("nDCG@10"), between 0 and 1.

    nDCG@k is that of Järvelin and Kekäläinen (TOIS 2002), with a gain of 1 for a target and the discount log₂(1 +
    rank).

    Args:
        ranks_per_query: n arrays of ascending ranks, from 1.
        recall, map_at, ndcg: cut-offs.
        positives: how many targets each query has, if not all of them are ranked, as in a list that was cut.

    Returns:
        For each metric an array `(n,)`.
    """
    ranked = _Ranked(ranks_per_query, positives)
    values = {f"R@{k}": ranked.recall(k) for k in recall}
    values |= {f"mAP@{k}": ranked.average_precision(k) for k in map_at}
    return values | {f"nDCG@{k}": ranked.ndcg(k) for k in ndcg}


def summarise(
    ranks_per_query: Sequence[Rows],
    recall: Sequence[int] = (1, 5, 10, 50),
    map_at: Sequence[int] = (10,),
    ndcg: Sequence[int] = (),
) -> dict[str, float]:
    """The means over queries, in percent, of the metrics that `per_query` computes."""
    if not len(ranks_per_query):
        raise ValueError("no queries to summarise")
    return means(per_query(ranks_per_query, recall, map_at, ndcg))


def means(values: Mapping[str, Values]) -> dict[str, float]:
    """The mean of each metric over queries, in percent."""
    return {name: 100 * float(each.mean()) for name, each in values.items()}


def shares_at(ranks_per_query: Sequence[Rows], k: int, of: Sequence[int] | None = None) -> Values:
    """Of each query's ranks the number within k, divided by k, or by `of` where that is given.

    Divided by k it is the precision P@k; divided by the number of targets the share of them that was found; of
    unwanted pictures, divided by at most k of them, it is PinPoint's NegRecall@k (Mahadev et al., CVPR 2026). A query
    with a divisor of 0 has 0.
    """
    counts = np.array([(ranks <= k).sum() for ranks in ranks_per_query], np.float64)
    divisors = np.full(len(counts), float(k)) if of is None else np.asarray(of, np.float64)
    return np.where(divisors > 0, counts / np.maximum(divisors, 1), 0.0)


def trapezoid_precision(ranks_per_query: Sequence[Rows], positives: Sequence[int]) -> Values:
    """Average precision over whole rankings, by the trapezoidal rule, as i-CIR's evaluation computes it.

    Between two targets it takes the mean of the precision just before the later one and at it; a divisor that is larger
    by 1e-5 than the number of targets is theirs as well (Psomas et al., *Instance-Level Composed Image Retrieval*,
    NeurIPS 2025, utils.py). It is a little below what `average_precision_at` gives.
    """
    found = []
    for ranks, count in zip(ranks_per_query, positives, strict=True):
        places = np.asarray(ranks, np.float64) - 1
        before = np.arange(len(places), dtype=np.float64)
        first = np.where(places == 0, 1.0, before / np.maximum(places, 1))
        found.append(float((first + (before + 1) / (places + 1)).sum()) / (2 * (count + 1e-5)))
    return np.array(found, np.float64)


class _Ranked:
    """The ranks of all queries, one after the other."""

    def __init__(self, ranks_per_query: Sequence[Rows], positives: Sequence[int] | None = None) -> None:
        counts = np.array([len(ranks) for ranks in ranks_per_query], np.int64)
        self._ranks = np.concatenate([np.zeros(0, np.int64), *ranks_per_query])
        self._query = np.repeat(np.arange(len(counts)), counts)
        # The place of each target among its query's, from 1: how many targets there are up to its rank.
        self._place = np.arange(1, len(self._ranks) + 1) - np.repeat(np.cumsum(counts) - counts, counts)
        self._positives = counts if positives is None else np.asarray(positives, np.int64)

    def recall(self, k: int) -> Values:
        return np.minimum(self._total(np.ones(len(self._ranks)), k), 1)

    def average_precision(self, k: int) -> Values:
        return self._total(self._place / self._ranks, k) / np.maximum(1, np.minimum(k, self._positives))

    def ndcg(self, k: int) -> Values:
        ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])
        best = ideal[np.minimum(k, self._positives)]
        return self._total(1 / np.log2(self._ranks + 1), k) / np.where(best > 0, best, 1)

    def _total(self, gains: Values, k: int) -> Values:
        """The sum of each query's gains within the first k."""
        within = self._ranks <= k
        return np.bincount(self._query[within], gains[within], minlength=len(self._positives)).astype(np.float64)
