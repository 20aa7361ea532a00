"""`compare`: compare two methods on the same queries, with significance tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from triptych.core.errors import DataError, UsageError
from triptych.core.files import made_by, output_file, write_json
from triptych.evaluation.options import CompareOptions
from triptych.evaluation.results.reading import MethodRuns, group_runs, read_rows, require_comparable
from triptych.evaluation.results.row import ResultRow, without_none
from triptych.metrics.measures import Values
from triptych.metrics.resampling import bootstrap_intervals, sign_flip_test

LEVEL = 0.95
_NONE = "–"


@dataclass(frozen=True)
class ComparedMethod:
    """One of the two sides of a comparison."""

    method: str
    encoder: str
    runs: int
    """How many runs were averaged, query by query."""


@dataclass(frozen=True)
class ComparedMetric:
    """A metric of both sides, in percent. Intervals are 95 % intervals, or None if there are no per-query values."""

    first: float
    second: float
    difference: float
    """The second side's value minus the first's."""
    first_interval: list[float] | None = None
    second_interval: list[float] | None = None
    difference_interval: list[float] | None = None
    p: float | None = None
    """Two-sided p-value of a paired randomisation test."""


@dataclass(frozen=True)
class Comparison:
    """Two methods on one benchmark, task and split."""

    benchmark: str
    task: str
    split: str
    queries: int
    gallery: int
    first: ComparedMethod
    second: ComparedMethod
    metrics: Mapping[str, ComparedMetric]

    @property
    def heading(self) -> str:
        """The benchmark, task and split of both."""
        return f"{self.benchmark} · {self.task} · {self.split}"


@dataclass(frozen=True)
class CompareResult:
    """The result of `compare`."""

    comparisons: list[Comparison]
    made_by: Mapping[str, Any]

    def __str__(self) -> str:
        return format_comparison(self)


def compare(
    first: Path | str,
    second: Path | str | None = None,
    options: CompareOptions = CompareOptions(),
    *,
    output: Path | str | None = None,
) -> CompareResult:
    """Compare the methods of two result files on every benchmark, task and split that both have.

    Methods are paired by name. If options are given, `method` of the first file is compared with `against` (by default
    the same name) of the second file, or of the first if there is no second. If each file has one method, these are
    paired whatever their names. Several runs of a method are averaged, query by query.

    If both files have values for each query (`triptych eval --per-query`), every metric gets 95 % bootstrap intervals
    of both means and of their difference, and the p-value of a paired randomisation test; see `triptych.metrics`.
    Otherwise only the means are compared. The figures do not include the variation over training seeds or galleries.

    Args:
        first: a result file that `evaluate` wrote.
        second: another result file; without it the methods of the first are compared with each other.
        options: the methods to compare, and the number of random draws.
        output: a file to write the result to, as documented in docs/reference/formats.md.

    Raises:
        DataError: a file is no result file.
        MismatchError: protocol, queries or gallery differ; the message names the setting.
        UsageError: the files have nothing in common, or the pairing is ambiguous.
    """
    if second is None and (options.method is None or options.against is None):
        raise UsageError("one result file: choose the methods to compare with --method and --against")
    output = output_file(output, ".json", flag="--output") if output else None
    paths = Path(first), Path(second or first)
    names = str(paths[0]), str(paths[1])
    sides = [_by_task(read_rows(path)) for path in paths]
    tasks = [task for task in sides[0] if task in sides[1]]
    if not tasks:
        raise UsageError(f"{names[0]} and {names[1]}: no benchmark, task and split is in both")
    wanted = options.method or options.against, options.against or options.method
    pairs = [pair for task in tasks for pair in _pair(sides[0][task], sides[1][task], wanted, names)]
    for one, other in pairs:
        for row in (*one.rows[1:], *other.rows):
            require_comparable(one.rows[0], row, names)
    settings = {"files": list(names), **vars(options), "level": LEVEL}
    result = CompareResult([_comparison(one, other, options) for one, other in pairs], made_by("compare", settings))
    if output:
        write_json(output, without_none(result))
    return result


def _by_task(rows: Sequence[ResultRow]) -> dict[str, list[MethodRuns]]:
    ordered = sorted(rows, key=attrgetter("heading"))
    return {task: group_runs(same) for task, same in groupby(ordered, attrgetter("heading"))}


def _pair(
    ours: list[MethodRuns], theirs: list[MethodRuns], wanted: tuple[str | None, str | None], names: tuple[str, str]
) -> list[tuple[MethodRuns, MethodRuns]]:
    """Choose the methods of one task that are compared with each other."""
    task = ours[0].rows[0].heading
    if wanted[1] is not None:
        return [(_only(ours, wanted[0], names[0]), _only(theirs, wanted[1], names[1]))]
    if len(ours) == len(theirs) == 1:
        return [(ours[0], theirs[0])]
    shared = [(one, other) for one in ours for other in theirs if one.method == other.method]
    methods = [one.method for one, _ in shared]
    if not shared or len(set(methods)) < len(methods):
        listed = " and ".join(
            f"{', '.join(line.method for line in side)} in {file}"
            for side, file in zip((ours, theirs), names, strict=True)
        )
        raise UsageError(f"{task}: several methods could be compared ({listed}); choose with --method and --against")
    return shared


def _only(side: list[MethodRuns], method: str | None, file: str) -> MethodRuns:
    """The runs of a method.

    Raises:
        UsageError: there is no such method, or it has several encoders.
    """
    found = [line for line in side if line.method == method]
    if len(found) != 1:
        how = "has results of several encoders for the method" if found else "has no method"
        raise UsageError(f"{file}: {side[0].rows[0].heading} {how} {method!r}; give a file with one encoder")
    return found[0]


def _comparison(one: MethodRuns, other: MethodRuns, options: CompareOptions) -> Comparison:
    row = one.rows[0]
    metrics: dict[str, dict[str, Any]] = {}
    for name in row.metrics:
        ours, theirs = one.figure(name), other.figure(name)
        if ours and theirs:
            metrics[name] = {
                "first": round(ours.mean, 4),
                "second": round(theirs.mean, 4),
                "difference": round(theirs.mean - ours.mean, 4),
            }
    if not metrics:
        raise DataError(f"{row.heading}: {one.method} and {other.method} have no metric in common")
    for name, found in _significance(one, other, list(metrics), options).items():
        metrics[name] |= found
    return Comparison(
        benchmark=row.benchmark,
        task=row.task,
        split=row.split,
        queries=row.queries,
        gallery=row.gallery,
        first=ComparedMethod(one.method, one.encoder, len(one.rows)),
        second=ComparedMethod(other.method, other.encoder, len(other.rows)),
        metrics={name: ComparedMetric(**found) for name, found in metrics.items()},
    )


def _significance(
    one: MethodRuns, other: MethodRuns, metrics: Sequence[str], options: CompareOptions
) -> dict[str, dict[str, Any]]:
    """Intervals and p-values of the metrics for which both sides have per-query values."""
    queries = one.rows[0].queries
    paired = {name: (_values(one, name), _values(other, name)) for name in metrics}
    paired = {name: values for name, values in paired.items() if len(values[0]) == len(values[1]) == queries}
    if not paired:
        return {}
    mine, its = (np.stack(side, axis=1) for side in zip(*paired.values(), strict=True))
    columns = np.concatenate([mine, its, its - mine], axis=1)
    drawn = {"resamples": options.resamples, "seed": options.seed}
    intervals = 100 * bootstrap_intervals(columns, level=LEVEL, **drawn)
    chances = sign_flip_test(its - mine, **drawn)
    found: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(paired):
        found[name] = {"p": float(chances[number])}
        for part, side in enumerate(("first", "second", "difference")):
            found[name][f"{side}_interval"] = intervals[part * len(paired) + number].round(4).tolist()
    return found


def _values(runs: MethodRuns, metric: str) -> Values:
    """The metric of each query, averaged over runs; empty if a run lacks it."""
    each = [values for row in runs.rows if (values := (row.per_query or {}).get(metric)) is not None]
    # Values are paired only if the digests show the same queries in the same order.
    if len(each) < len(runs.rows) or not all(row.queries_sha256 for row in runs.rows):
        return np.empty(0)
    mean: Values = np.mean([np.asarray(values, np.float64) for values in each], axis=0)
    return mean


def format_comparison(result: CompareResult) -> str:
    """Format each comparison as lines: both means, their difference with its interval, and p."""
    return "\n\n".join(_format(comparison) for comparison in result.comparisons)


def _format(comparison: Comparison) -> str:
    counts = f"({comparison.queries} queries, {comparison.gallery} pictures)"
    sides = comparison.first, comparison.second
    shown = [side.method + (f", {side.runs} runs" if side.runs > 1 else "") for side in sides]
    table = [["", "first", "second", "difference", f"{LEVEL:.0%} interval", "p"]]
    for name, found in comparison.metrics.items():
        interval, chance = found.difference_interval, found.p
        evidence = [_NONE if interval is None else f"{interval[0]:+.2f} to {interval[1]:+.2f}"]
        evidence.append(_NONE if chance is None else f"{chance:.4f}")
        table.append([name, f"{found.first:.2f}", f"{found.second:.2f}", f"{found.difference:+.2f}", *evidence])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        f"{comparison.heading} {counts}",
        f"  first: {shown[0]} ({sides[0].encoder});  second: {shown[1]} ({sides[1].encoder})",
    ]
    for cells in table:
        text = "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        lines.append(f"  {text}".rstrip())
    if any(found.p is None for found in comparison.metrics.values()):
        lines.append("  no per-query values, so significance is not tested; run both with eval --per-query")
    return "\n".join(lines)
