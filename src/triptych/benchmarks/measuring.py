"""A protocol's metrics from the ranks of its targets, whether a model or a submission file put them there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from triptych.benchmarks.protocol import Measures, Query
from triptych.metrics import Rows, summarise


@dataclass(frozen=True)
class Ranks:
    """For every query, ascending ranks from 1: of its targets, of its single target, of its target in its group.

    A part is None where it was not asked for, or is not known. A target that was not ranked has a rank beyond any
    cut-off.
    """

    targets: Sequence[Rows] | None
    single: Sequence[Rows] | None = None
    subset: Sequence[Rows] | None = None


def measure(measures: Measures, queries: Sequence[Query], ranks: Ranks) -> dict[str, Any]:
    """The part of a result row that says how good it is: `metrics`, in percent, and `aspects` where there are any.

    R_subset@k is CIRR's, and Avg its mean of R@5 and R_subset@1 (Liu et al., ICCV 2021). `aspects` is CIRCO's mAP@10
    by kind of change.
    """
    metrics: dict[str, float] = {}
    facts: dict[str, Any] = {"metrics": metrics}
    if ranks.targets is not None:
        recall = summarise(ranks.targets if ranks.single is None else ranks.single, measures.recall, ())
        precision = summarise(ranks.targets, (), measures.precision)
        metrics |= precision | recall if measures.single else recall | precision  # the first is the main one
    if ranks.subset is not None:
        subset = summarise(ranks.subset, measures.subset, ())
        metrics |= {name.replace("R@", "R_subset@"): value for name, value in subset.items()}
    if "R@5" in metrics and "R_subset@1" in metrics:
        metrics["Avg"] = fmean((metrics["R@5"], metrics["R_subset@1"]))
    facts["metrics"] = rounded(metrics)
    if measures.aspects is not None and ranks.targets is not None:
        facts["aspects"] = rounded(_by_aspect(measures.aspects, queries, ranks.targets))
    return facts


def mean_row(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A further row, of the task "mean": the unweighted means over a method's rows, and the sums of what they count.

    What all the rows have in common stays.
    """
    shared = {name: value for name, value in rows[0].items() if all(row.get(name) == value for row in rows)}
    metrics = {name: fmean(row["metrics"][name] for row in rows) for name in rows[0]["metrics"]}
    sums = {name: sum(row[name] for row in rows) for name in ("queries", "gallery", "unreadable", "lost_queries")}
    return {**shared, "task": "mean", "metrics": rounded(metrics), **sums}


def rounded(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics as a result file holds them, with four decimals."""
    return {name: round(value, 4) for name, value in metrics.items()}


def _by_aspect(k: int, queries: Sequence[Query], ranks: Sequence[Rows]) -> dict[str, float]:
    grouped: dict[str, list[Rows]] = {}
    for query, found in zip(queries, ranks, strict=True):
        for aspect in query.aspects:
            grouped.setdefault(aspect, []).append(found)
    return {name: summarise(grouped[name], (), (k,))[f"mAP@{k}"] for name in sorted(grouped)}
