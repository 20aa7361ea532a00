"""A protocol's metrics from the ranks of its targets, whether a model or a submission file put them there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.benchmarks.protocol import Measures, Query
from triptych.metrics import Rows, average_precision_at, recall_at

Values = NDArray[np.float64]
"""One number a query, between 0 and 1."""


@dataclass(frozen=True)
class Ranks:
    """For every query, ascending ranks from 1: of its targets, of its single target, of its target in its group.

    A part is None where it was not asked for, or is not known. A target that was not ranked has a rank beyond any
    cut-off.
    """

    targets: Sequence[Rows] | None
    single: Sequence[Rows] | None = None
    subset: Sequence[Rows] | None = None


def values(measures: Measures, ranks: Ranks) -> dict[str, Values]:
    """Each query's metrics, the main ones of the protocol first.

    R_subset@k is CIRR's, and Avg its mean of R@5 and R_subset@1 (Liu et al., ICCV 2021).
    """
    found: dict[str, Values] = {}
    if ranks.targets is not None:
        recalled = ranks.targets if ranks.single is None else ranks.single
        recall = {f"R@{k}": _recall(recalled, k) for k in measures.recall}
        precision = {
            f"mAP@{k}": np.array([average_precision_at(each, k, len(each)) for each in ranks.targets])
            for k in measures.precision
        }
        found |= precision | recall if measures.single else recall | precision
    if ranks.subset is not None:
        found |= {f"R_subset@{k}": _recall(ranks.subset, k) for k in measures.subset}
    if "R@5" in found and "R_subset@1" in found:
        found["Avg"] = (found["R@5"] + found["R_subset@1"]) / 2
    return found


def summary(measures: Measures, queries: Sequence[Query], found: Mapping[str, Values]) -> dict[str, Any]:
    """The part of a result row that says how good it is: `metrics`, the means in percent.

    Where the protocol has them also `aspects`: CIRCO's mAP@10 over the queries that ask for a kind of change.
    """
    facts: dict[str, Any] = {"metrics": {name: _percent(each) for name, each in found.items()}}
    precision = found.get(f"mAP@{measures.aspects}")
    if precision is not None:
        names = sorted({aspect for query in queries for aspect in query.aspects})
        asked = {name: np.array([name in query.aspects for query in queries]) for name in names}
        facts["aspects"] = {name: _percent(precision[rows]) for name, rows in asked.items()}
    return facts


def mean_row(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A further row, of the task "mean": the unweighted means over a method's rows, and the sums of what they count.

    What all the rows have in common stays.
    """
    shared = {name: value for name, value in rows[0].items() if all(row.get(name) == value for row in rows)}
    metrics = {name: round(fmean(row["metrics"][name] for row in rows), 4) for name in rows[0]["metrics"]}
    sums = {name: sum(row[name] for row in rows) for name in ("queries", "gallery", "unreadable", "lost_queries")}
    return {**shared, "task": "mean", "metrics": metrics, **sums}


def _recall(ranks: Sequence[Rows], k: int) -> Values:
    return np.array([recall_at(each, k) for each in ranks])


def _percent(each: Values) -> float:
    """The mean in percent, as a result file holds it, with four decimals."""
    return round(100 * float(np.mean(each)), 4)
