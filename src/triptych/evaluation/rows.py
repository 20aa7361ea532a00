"""Compute a protocol's metrics from the ranks of targets, by a method or from a submission file."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import fmean
from typing import Any

import numpy as np

from triptych.benchmarks.task import MetricCutoffs, Query
from triptych.evaluation.results.row import ResultRow
from triptych.metrics.measures import Values, per_query, shares_at, trapezoid_precision
from triptych.metrics.ranking import Rows

Metrics = Mapping[str, float]
"""Maps a metric's name to its mean, in percent."""

_LATER = frozenset({"more_references", "negatives", "listed", "family"})
_LESS_IS_BETTER = ("NegRecall", "_range", "_std")


@dataclass(frozen=True)
class Ranks:
    """Ascending ranks from 1 for every query: of its targets, of its single target, and of its target in its group.

    A part is None if it is not needed or unknown. A target that was not ranked has a rank beyond any cut-off.
    """

    targets: Sequence[Rows] | None
    single: Sequence[Rows] | None = None
    subset: Sequence[Rows] | None = None
    negatives: Sequence[Rows] | None = None
    """The ranks of the query's negatives."""
    without_negatives: Sequence[Rows] | None = None
    """The ranks of its targets, if the negatives are removed from the ranking."""
    listed: Sequence[tuple[int, int]] | None = None
    """The numbers of targets and negatives of each query, as divisors; None for the numbers of ranks."""

    def due(self, which: int) -> list[int] | None:
        """The number of targets (0) or negatives (1) of each query, as a divisor; None for the number of ranks."""
        return None if self.listed is None else [counts[which] for counts in self.listed]


def values(measures: MetricCutoffs, ranks: Ranks) -> dict[str, Values]:
    """Compute each query's metrics, the protocol's main ones first.

    R_subset@k is CIRR's, and Avg is its mean of R@5 and R_subset@1 (Liu et al., ICCV 2021).
    """
    found: dict[str, Values] = {}
    if ranks.targets is not None:
        recalled = ranks.targets if ranks.single is None else ranks.single
        recall = per_query(recalled, measures.recall, ())
        precision = per_query(ranks.targets, (), measures.map_at, positives=ranks.due(0))
        found |= precision | recall if measures.single else recall | precision
        over_all = _over_all(measures, ranks.targets, ranks.due(0))
        found = over_all | found if measures.whole else found | over_all
    if ranks.negatives is not None and ranks.without_negatives is not None:
        due = ranks.due(1) or [len(each) for each in ranks.negatives]
        for k in measures.negatives:
            found[f"NegRecall@{k}"] = shares_at(ranks.negatives, k, [min(count, k) for count in due])
        clean = per_query(ranks.without_negatives, (), measures.negatives, positives=ranks.due(0))
        found |= {f"{name}_noNeg": each for name, each in clean.items()}
    if ranks.subset is not None:
        subset = per_query(ranks.subset, measures.subset, ())
        found |= {name.replace("R@", "R_subset@"): each for name, each in subset.items()}
    if "R@5" in found and "R_subset@1" in found:
        found["Avg"] = (found["R@5"] + found["R_subset@1"]) / 2
    return found


def _over_all(measures: MetricCutoffs, targets: Sequence[Rows], due: Sequence[int] | None) -> dict[str, Values]:
    """Compute the metrics over all targets of a query, except mAP@k."""
    counts = due or [len(each) for each in targets]
    found = {f"P@{k}": shares_at(targets, k) for k in measures.precision_at}
    found |= {f"PosRecall@{k}": shares_at(targets, k, counts) for k in measures.target_recall_at}
    return found | ({"mAP": trapezoid_precision(targets, counts)} if measures.whole else {})


def by_family(measures: MetricCutoffs, queries: Sequence[Query], found: Mapping[str, Values]) -> dict[str, float]:
    """Compute the metrics over families of queries, in percent.

    `P@k_range` and `P@k_std`: the range and the standard deviation of P@k over the wordings of a request, as a mean
    over families (PinPoint's linguistic sensitivity; families of one query do not count). `mmAP`: the mean over
    families of their mean mAP (i-CIR, whose families are instances).
    """
    families: dict[str, list[int]] = {}
    for row, query in enumerate(queries):
        if query.family:
            families.setdefault(query.family, []).append(row)
    summed: dict[str, float] = {}
    if measures.spread is not None and families:
        shares = found[f"P@{measures.spread}"]
        several = [shares[rows] for rows in families.values() if len(rows) > 1]
        for name, how in (("range", np.ptp), ("std", np.std)):
            each = np.array([float(how(values)) for values in several] or [0.0])
            summed[f"P@{measures.spread}_{name}"] = _percent(each)
    if measures.whole and families:
        summed["mmAP"] = _percent(np.array([found["mAP"][rows].mean() for rows in families.values()]))
    return summed


def percents(found: Mapping[str, Values]) -> dict[str, float]:
    """The mean of each metric over the queries, in percent."""
    return {name: _percent(each) for name, each in found.items()}


def by_aspect(
    measures: MetricCutoffs, queries: Sequence[Query], found: Mapping[str, Values]
) -> dict[str, float] | None:
    """CIRCO's mAP@10 for each kind of change; None if the protocol has no such kinds."""
    precision = found.get(f"mAP@{measures.aspects}")
    if precision is None:
        return None
    names = sorted({aspect for query in queries for aspect in query.aspects})
    asked = {name: np.array([name in query.aspects for query in queries]) for name in names}
    return {name: _percent(precision[rows]) for name, rows in asked.items()}


def mean_row(rows: Sequence[ResultRow]) -> ResultRow:
    """Make a row of the task "mean": the unweighted means over a method's rows, and the sums of their counts.

    Other values are kept if they are equal in all rows.
    """
    shared = {item.name: getattr(rows[0], item.name) for item in fields(ResultRow)}
    shared = {name: value for name, value in shared.items() if all(getattr(row, name) == value for row in rows)}
    metrics = _means([row.metrics for row in rows])
    alone = [[getattr(row, part) for row in rows] for part in ("picture_only", "text_only")]
    gap = {} if None in alone[0] else composition_gap(metrics, *map(_means, alone))
    counted = ("queries", "gallery", "unreadable", "lost_queries")
    counts = {name: [getattr(row, name) for row in rows] for name in counted}
    sums = {name: sum(values) for name, values in counts.items() if None not in values}
    return ResultRow(**{**shared, "task": "mean", "metrics": rounded(metrics), **sums, **gap})


def _means(rows: Sequence[Metrics]) -> dict[str, float]:
    return {name: fmean(row[name] for row in rows) for name in rows[0]}


def _percent(each: Values) -> float:
    """The mean in percent with four decimals, as in a result file."""
    return round(100 * float(np.mean(each)), 4)


def digests(queries: Sequence[Query], gallery: Sequence[str]) -> dict[str, Any]:
    """SHA-256 of the queries in their order, and of the gallery's names: equal for the same queries and gallery."""
    return {"queries_sha256": _digest(map(vars, queries)), "gallery_sha256": _digest(gallery)}


def _digest(items: Iterable[Any]) -> str:
    hashed = hashlib.sha256()
    for item in items:
        if isinstance(item, Mapping):  # newer fields count only if they are set, so that older digests stay valid
            item = {name: value for name, value in item.items() if value or name not in _LATER}
        # Sets are sorted, since they have no order.
        hashed.update(json.dumps(item, default=sorted, sort_keys=True, ensure_ascii=False).encode() + b"\n")
    return hashed.hexdigest()


def listed(values: Mapping[str, Values]) -> dict[str, list[float]]:
    """Each query's metrics, from 0 to 1, as lists for JSON."""
    return {name: [_short(float(value)) for value in each] for name, each in values.items()}


def _short(value: float) -> float:
    return int(value) if value.is_integer() else round(value, 6)


def composition_gap(metrics: Metrics, picture: Metrics, text: Metrics) -> dict[str, Any]:
    """A method's lead in points over the better of its two inputs alone, with the metrics of these.

    Many published queries can be answered from the picture alone or the words alone. Only the lead over both is due to
    composition.
    """
    more = [name for name in metrics if not any(part in name for part in _LESS_IS_BETTER)]
    gap = {name: metrics[name] - max(picture[name], text[name]) for name in more}
    return {"picture_only": rounded(picture), "text_only": rounded(text), "gap": rounded(gap)}


def rounded(metrics: Metrics) -> dict[str, float]:
    """Metrics with four decimals, as in result files."""
    return {name: round(value, 4) for name, value in metrics.items()}
